"""Measures time, memory and output of prepare_data for more and more songs.

    python tools/benchmarks/data_scaling.py [--songs=100,1000,4000] [--secs=3]

Songs are generated: a few different ones, under many names. Memory is the highest that the command
and each of its worker processes ever had, added up; the command's own part is mostly TensorFlow,
which writes the summaries.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 44100
DIFFERENT = 50


def make_songs(folder: Path, count: int, secs: float) -> None:
    """Fills a folder with ``count`` OGG files."""
    folder.mkdir()
    time_secs = np.arange(round(secs * RATE)) / RATE
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.ogg"
        path.parent.mkdir(exist_ok=True)
        if number >= DIFFERENT:
            os.link(folder / "000" / f"{number % DIFFERENT:06d}.ogg", path)
            continue
        noise = np.random.RandomState(number).normal(size=(len(time_secs), 2))
        tone = np.sin(2 * np.pi * (200 + 20 * number) * time_secs)[:, None]
        soundfile.write(path, 0.3 * tone + 0.05 * noise, RATE, format="OGG", subtype="VORBIS")


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


def measure(folder: Path, count: int, options: argparse.Namespace) -> None:
    """Prepares ``count`` songs and prints a line."""
    songs, output = folder / "songs", folder / "output"
    make_songs(songs, count, options.secs)
    command = [
        sys.executable,
        "-m",
        "svdam.prepare_data",
        "--dataset=folder",
        "--split_ratios=1,0,0",
    ]
    flags = [f"--data_dir={songs}", f"--output={output}", f"--num_workers={options.processes}"]
    peaks: dict[int, int] = {}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    watcher = threading.Thread(target=watch_memory, args=(process, peaks))
    watcher.start()
    if process.wait():
        sys.exit("prepare_data failed")
    secs = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_secs = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    watcher.join()
    own = peaks.pop(process.pid) / 1024
    written = sum(path.stat().st_size for path in output.glob("*.tfrecord"))
    manifest = (output / "manifest.json").stat().st_size
    print(
        f"{count:6d} songs: {secs:7.1f} s ({processor_secs:.1f} processor s), "
        f"{own:6.0f} MiB of the command and "
        f"{sum(peaks.values()) / 1024 / max(len(peaks), 1):6.0f} MiB of each worker, "
        f"records {written / 1e6:8.1f} MB, manifest {manifest / 1e6:6.2f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", default="100,1000,4000")
    parser.add_argument("--secs", type=float, default=3)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    for count in map(int, options.songs.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), count, options)


if __name__ == "__main__":
    main()
