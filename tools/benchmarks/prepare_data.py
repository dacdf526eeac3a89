"""Measures songs a second of prepare_data against a pool of librosa processes.

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
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

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


def time_librosa(pool, paths: list[Path]) -> np.ndarray:
    """(wall, processor) seconds."""
    start, processor = time.perf_counter(), -time.process_time()
    for _, secs in pool.imap_unordered(librosa_song, map(str, paths)):
        processor += secs
    return np.array([time.perf_counter() - start, processor + time.process_time()])


def time_prepare_data(folder: Path, processes: int) -> np.ndarray:
    """(wall, processor) seconds of the whole command."""
    output = tempfile.mkdtemp(dir=folder.parent)
    command = [
        sys.executable,
        "-m",
        "svdam.prepare_data",
        "--dataset=folder",
        "--split_ratios=1,0,0",
    ]
    flags = [f"--data_dir={folder}", f"--output={output}", f"--num_workers={processes}"]
    start, before = time.perf_counter(), children_secs()
    subprocess.run([*command, *flags], check=True, capture_output=True)
    spent = np.array([time.perf_counter() - start, children_secs() - before])
    shutil.rmtree(output)
    return spent


def children_secs() -> float:
    """Processor seconds of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(folder: Path, sources: list[str], kind: str, options: argparse.Namespace, pool) -> None:
    """Prints one line for a kind of file."""
    many = make_songs(folder / "many", sources, kind, options.songs, options.secs)
    few = folder / "few"
    few.mkdir()
    for path in many[: options.processes]:
        os.link(path, few / path.name)
    time_librosa(pool, many[: 2 * options.processes])
    pool_runs, few_runs, many_runs = [], [], []
    for _ in range(options.turns):
        pool_runs.append(time_librosa(pool, many))
        few_runs.append(time_prepare_data(few, options.processes))
        many_runs.append(time_prepare_data(folder / "many", options.processes))
    extra_songs = options.songs - options.processes
    ours = np.median(np.subtract(many_runs, few_runs), axis=0) / extra_songs
    theirs = np.median(pool_runs, axis=0) / options.songs
    start_secs = np.median(few_runs, axis=0) - options.processes * ours
    print(
        f"{kind:14} librosa {1 / theirs[0]:6.2f} songs/s ({theirs[1]:.3f} processor s a song), "
        f"prepare_data {1 / ours[0]:6.2f} songs/s ({ours[1]:.3f}): "
        f"{theirs[0] / ours[0]:.2f} times (by processor seconds {theirs[1] / ours[1]:.2f}), "
        f"and {start_secs[0]:.1f} s to start",
        flush=True,
    )
    shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio", nargs="+", help="recordings to make songs from")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--songs", type=int, default=96)
    parser.add_argument("--secs", type=float, default=133, help="length of a song")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("spawn").Pool(options.processes) as pool,
    ):
        for kind in options.kinds.split(","):
            compare(Path(folder, kind), options.audio, kind, options, pool)


if __name__ == "__main__":
    main()
