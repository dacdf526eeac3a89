"""Measures the songs per second of prepare_data against a pool of librosa processes.

    python tools/benchmarks/prepare_data.py AUDIO [AUDIO ...] [--kinds=mp3_44_stereo,ogg_22_mono]

From the given recordings, long songs are made: MP3 and OGG, at 22050 Hz mono and at 44100 Hz
stereo. Both ways take turns on the same songs, with as many processes. The pool runs librosa.load
and librosa.feature.melspectrogram, and hands each spectrogram back; its processes have imported
librosa and decoded a song before the clock starts. prepare_data is the whole command: it decodes,
computes log-mel and statistics, and writes records with checksums. Its time is given in two parts,
from runs with few and with many songs: what each song costs, and what it costs to start. On a
machine with other work the ratio of processor seconds is the one to trust.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
from measuring import Spread, Table, parser, report, speed_table, take_turns

OURS, LIBROSA = "prepare_data", "librosa"
KINDS = ("mp3_22_mono", "ogg_22_mono", "mp3_44_stereo", "ogg_44_stereo")
DIFFERENT = 12
FORMATS = {"mp3": "MPEG_LAYER_III", "ogg": "VORBIS"}


def make_song(path: Path, sound: np.ndarray, kind: str) -> None:
    """Writes 22050 Hz mono sound as a file of some kind."""
    suffix, rate, channels = kind.split("_")
    if rate == "44":
        sound = soxr.resample(sound, 22050, 44100)
    if channels == "stereo":
        sound = np.stack([sound, 0.7 * np.roll(sound, 331)], axis=1)
    frames = sound[:, None] if sound.ndim == 1 else sound
    rate, format_name = {"22": 22050, "44": 44100}[rate], suffix.upper()
    with soundfile.SoundFile(
        path, "w", rate, frames.shape[1], FORMATS[suffix], format=format_name
    ) as stream:
        for start in range(0, len(frames), 1 << 16):
            stream.write(frames[start : start + (1 << 16)])


def make_songs(folder: Path, sources: list[str], kind: str, count: int, secs: float) -> list[Path]:
    """Writes songs, each a recording repeated from another place; from the 13th on, again."""
    folder.mkdir(parents=True)
    sounds = []
    for source in sources:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
        sounds.append(soxr.resample(samples.mean(axis=1), rate, 22050))
    paths = []
    for number in range(count):
        if number >= DIFFERENT:
            paths.append(folder / f"{number:03d}.{kind[:3]}")
            os.link(paths[number % DIFFERENT], paths[-1])
            continue
        sound = np.roll(np.resize(sounds[number % len(sounds)], round(secs * 22050)), -number * 997)
        paths.append(folder / f"{number:03d}.{kind[:3]}")
        make_song(paths[-1], sound, kind)
    return paths


def librosa_song(path: str) -> tuple[np.ndarray, float]:
    """What the pool does with a song, and the processor seconds that it takes."""
    import librosa

    start = time.process_time()
    samples, rate = librosa.load(path)
    spectrogram = librosa.feature.melspectrogram(y=samples, sr=rate)
    return spectrogram, time.process_time() - start


def run_librosa(pool, paths: list[Path]) -> tuple[int, float]:
    """Songs, and the processor seconds that they took in the pool."""
    return len(paths), sum(secs for _, secs in pool.imap_unordered(librosa_song, map(str, paths)))


def run_prepare_data(folder: Path, processes: int) -> int:
    """The whole command, once; the records stay, as a user's do."""
    output = tempfile.mkdtemp(dir=folder.parent)
    command = [sys.executable, "-m", "svdam.prepare_data", "--dataset=folder"]
    flags = [f"--data_dir={folder}", f"--output={output}", f"--num_workers={processes}"]
    subprocess.run([*command, *flags, "--split_ratios=1,0,0"], check=True, capture_output=True)
    return 1


def compare(
    folder: Path, sources: list[str], kind: str, options: argparse.Namespace, pool
) -> Table:
    """A table for a kind of file."""
    many = make_songs(folder / "many", sources, kind, options.songs, options.secs)
    few = folder / "few"
    few.mkdir()
    for path in many[: options.processes]:
        os.link(path, few / path.name)
    run_librosa(pool, many[: 2 * options.processes])
    costs = take_turns(
        {
            LIBROSA: lambda: run_librosa(pool, many),
            "few": lambda: run_prepare_data(few, options.processes),
            "many": lambda: run_prepare_data(folder / "many", options.processes),
        },
        options.turns,
        rehearse=False,
    )
    shutil.rmtree(folder)
    ours = (costs["many"] - costs["few"]) / (options.songs - options.processes)
    start_secs = float(np.median(costs["few"] - options.processes * ours, axis=0)[0])
    table = speed_table(
        {OURS: ours, LIBROSA: costs[LIBROSA]},
        "song",
        OURS,
        f"{kind.replace('_', ' ')}, {options.secs:.0f} s, {options.processes} processes",
        {OURS: {"seconds to start": start_secs}},
    )
    whole = Spread.of(costs[LIBROSA][:, 0] * options.songs / costs["many"][:, 0])
    table.title += f"; librosa takes {whole} times as long as the whole command, its start included"
    for row in table.rows:
        row["songs per second"] = 1e3 / row["ms per song"]
    return table


def main() -> None:
    flags = parser(__doc__, turns=3)
    flags.add_argument("audio", nargs="+", help="recordings to make songs from")
    flags.add_argument("--kinds", default=",".join(KINDS))
    flags.add_argument("--songs", type=int, default=96)
    flags.add_argument("--secs", type=float, default=133, help="length of a song")
    flags.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = flags.parse_args()
    # One thread a process, as prepare_data's workers have: more would only be in each other's way.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("spawn").Pool(options.processes) as pool,
    ):
        kinds = options.kinds.split(",")
        tables = [compare(Path(folder, kind), options.audio, kind, options, pool) for kind in kinds]
    report("prepare_data", "Songs to records", tables, options.output, packages=["librosa"])


if __name__ == "__main__":
    main()
