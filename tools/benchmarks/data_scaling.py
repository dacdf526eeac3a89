"""Measures time, memory and output of prepare_data as the number of songs grows.

    python tools/benchmarks/data_scaling.py [--songs=100,1000,4000] [--secs=3]
    python tools/benchmarks/data_scaling.py --songs=1 --secs=10800

Songs are generated: MP3 files, a few different ones under many names. Memory is the highest that
the command and each of its worker processes ever had.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile
from measuring import Table, clock, parser, report

RATE = 44100
DIFFERENT = 20


def make_songs(folder: Path, count: int, secs: float) -> None:
    """Fills a folder with ``count`` MP3 files."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.mp3"
        path.parent.mkdir(exist_ok=True)
        if number < DIFFERENT:
            make_song(path, number, secs)
        else:
            os.link(folder / "000" / f"{number % DIFFERENT:06d}.mp3", path)


def make_song(path: Path, number: int, secs: float) -> None:
    """Writes a noisy tone, block by block: songs may last hours."""
    random, length, block = np.random.RandomState(number), round(secs * RATE), 30 * RATE
    with soundfile.SoundFile(path, "w", RATE, 2) as stream:
        for start in range(0, length, block):
            time_secs = np.arange(start, min(start + block, length)) / RATE
            tone = np.sin(2 * np.pi * (200 + 20 * number) * time_secs)[:, None]
            stream.write(0.3 * tone + 0.05 * random.normal(size=(len(time_secs), 2)))


def watch_memory(process: subprocess.Popen, peaks: dict[int, int]) -> None:
    """Notes the highest resident memory, in kB, of a process and its children."""
    while process.poll() is None:
        for entry in Path("/proc").glob("[0-9]*/status"):
            try:
                lines = dict(line.split(":", 1) for line in entry.read_text().splitlines())
            except (OSError, ValueError):
                continue
            pid = int(entry.parent.name)
            if process.pid in (pid, int(lines["PPid"])) and "VmHWM" in lines:
                peaks[pid] = max(peaks.get(pid, 0), int(lines["VmHWM"].split()[0]))
        time.sleep(0.2)


def measure(folder: Path, count: int, options: argparse.Namespace) -> dict[str, float]:
    """Prepares ``count`` songs; one row of the table."""
    songs, output = folder / "songs", folder / "output"
    make_songs(songs, count, options.secs)
    command = [sys.executable, "-m", "svdam.prepare_data", "--dataset=folder"]
    flags = [f"--data_dir={songs}", f"--output={output}", f"--num_workers={options.processes}"]
    peaks: dict[int, int] = {}
    start = clock()
    process = subprocess.Popen(
        [*command, *flags, "--split_ratios=1,0,0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    watcher = threading.Thread(target=watch_memory, args=(process, peaks))
    watcher.start()
    if process.wait():
        sys.exit("prepare_data failed")
    secs, processor_secs = clock() - start
    watcher.join()
    own = peaks.pop(process.pid) / 1024
    return {
        "songs": count,
        "seconds": secs,
        "processor seconds": processor_secs,
        "MiB of the command": own,
        "MiB of each worker": sum(peaks.values()) / 1024 / max(len(peaks), 1),
        "MB of records": sum(path.stat().st_size for path in output.glob("*.tfrecord")) / 1e6,
        "MB of the manifest": (output / "manifest.json").stat().st_size / 1e6,
    }


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The flags that `measure` reads, and which songs."""
    flags.add_argument("--songs", default="100,1000,4000")
    flags.add_argument("--secs", type=float, default=3, help="length of a song")
    flags.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))


def scaling_table(options: argparse.Namespace) -> Table:
    """One row for each number of songs; the last column is flat if time grows linearly."""
    table = Table(f"prepare_data: songs of {options.secs:g} s (MP3, 44.1 kHz, stereo)")
    for count in map(int, options.songs.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            table.rows.append(measure(Path(folder), count, options))
        row, first = table.rows[-1], table.rows[0]
        if count > first["songs"]:
            more = row["processor seconds"] - first["processor seconds"]
            row["processor ms per additional song"] = 1e3 * more / (count - first["songs"])
        print(row, file=sys.stderr, flush=True)
    return table


def main() -> None:
    flags = parser(__doc__)
    add_flags(flags)
    options = flags.parse_args()
    report(
        "data_scaling",
        "Number of songs",
        [scaling_table(options)],
        options.output,
        packages=["tensorflow"],
    )


if __name__ == "__main__":
    main()
