"""The front end, from files to log-mel: against librosa, and NumPy in the manner of ismir2015.

    python tools/benchmarks/front_end.py AUDIO [AUDIO ...] [--kinds=mp3_44_stereo,ogg_44_stereo]

From the given recordings, long songs are made. On one core and on all, each of its own process,
these take turns on the same files:

- svdam: what the workers of prepare_data do with a song, without writing the record;
- librosa, its defaults: librosa.load and librosa.feature.melspectrogram (2048 samples, hop 512, 128
  bands), which gives 1.6 times fewer frames;
- librosa, the paper's parameters: the same calls with the paper's window, hop, bands and logarithm;
- NumPy: as the code of Schlueter & Grill (ISMIR 2015) does it: ffmpeg decodes and resamples, then
  windows of 50 frames at a time, numpy.fft.rfft, a matrix product and a logarithm. Without ffmpeg
  (`apt-get install ffmpeg`) it is left out.

Then the same without decoding. Before the clock starts, NumPy and svdam must give the same log-mel
for the same samples.
"""

import argparse
import functools
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import Table, parser, report, speed_table, take_turns
from prepare_data import make_songs

from svdam.audio.decoding import audio_blocks, load_audio
from svdam.audio.log_mel import log_mel_blocks, log_mel_spectrogram, mel_filterbank
from svdam.core.config import FRONT_END

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
BATCH_FRAMES = 50  # Of the original.
TOLERANCE = 1e-5
NUMPY = "NumPy as in ismir2015"


def svdam_song(path: str) -> np.ndarray:
    return np.concatenate(list(log_mel_blocks(audio_blocks(path))))


def librosa_default_song(path: str) -> np.ndarray:
    import librosa

    samples, rate = librosa.load(path)
    return librosa.feature.melspectrogram(y=samples, sr=rate)


def librosa_paper_song(path: str) -> np.ndarray:
    import librosa

    return librosa_paper(librosa.load(path, sr=FRONT_END.sample_rate)[0])


def librosa_paper(samples: np.ndarray) -> np.ndarray:
    import librosa

    mel = librosa.feature.melspectrogram(
        y=samples,
        sr=FRONT_END.sample_rate,
        n_fft=FRONT_END.window_length,
        hop_length=FRONT_END.hop_length,
        n_mels=FRONT_END.num_mels,
        fmin=FRONT_END.min_hz,
        fmax=FRONT_END.max_hz,
        center=False,
        power=1,
        htk=True,
    )
    return np.log(np.maximum(mel, FRONT_END.magnitude_floor)).T


def numpy_song(path: str) -> np.ndarray:
    command = ["ffmpeg", "-v", "quiet", "-i", path, "-f", "f32le", "-ac", "1"]
    command += ["-ar", str(FRONT_END.sample_rate), "pipe:1"]
    samples = subprocess.run(command, check=True, capture_output=True).stdout
    return numpy_log_mel(np.frombuffer(samples, np.float32))


def numpy_log_mel(samples: np.ndarray) -> np.ndarray:
    """As the original: single precision windows, batches of frames, the filterbank as a matrix."""
    length, hop = FRONT_END.window_length, FRONT_END.hop_length
    window = np.hanning(length).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    spectra = [
        np.abs(np.fft.rfft(frames[start : start + BATCH_FRAMES] * window).astype(np.complex64))
        for start in range(0, len(frames), BATCH_FRAMES)
    ]
    mel = np.vstack(spectra) @ mel_filterbank().astype(np.float32)
    return np.log(np.maximum(mel, FRONT_END.magnitude_floor))


FROM_FILES = {
    "svdam": svdam_song,
    "librosa, the paper's parameters": librosa_paper_song,
    "librosa, its defaults": librosa_default_song,
    NUMPY: numpy_song,
}
FROM_SAMPLES = {
    "svdam": log_mel_spectrogram,
    "librosa, the paper's parameters": librosa_paper,
    NUMPY: numpy_log_mel,
}


loaded = functools.lru_cache(maxsize=1)(load_audio)


def work_on_file(job: tuple[str, str]) -> float:
    """Does a song in a worker; returns the processor seconds, those of ffmpeg included."""
    name, path = job
    return processor_secs(FROM_FILES[name], path)


def work_on_samples(job: tuple[str, str]) -> float:
    name, path = job
    return processor_secs(FROM_SAMPLES[name], loaded(path))


def processor_secs(function: Callable, argument: str | np.ndarray) -> float:
    start = os.times()
    function(argument)
    return float(np.subtract(os.times(), start)[:4].sum())


def compare(
    title: str, work: Callable, names: list[str], paths: list[Path], pools: dict, turns: int
) -> list[Table]:
    """A table for each pool, that is, each number of cores."""
    tables = []
    for cores, pool in pools.items():

        def running(name: str, pool=pool) -> Callable[[], tuple[int, float]]:
            jobs = [(name, str(path)) for path in paths]
            return lambda: (len(jobs), sum(pool.imap_unordered(work, jobs)))

        costs = take_turns({name: running(name) for name in names}, turns)
        cores_title = f"{title}, {cores} core{'s' * (cores > 1)}"
        tables.append(speed_table(costs, "song", "svdam", cores_title))
        for row in tables[-1].rows:
            row["songs per second"] = 1e3 / row["ms per song"]
            row["songs per second and core"] = row["songs per second"] / cores
    return tables


def require_agreement(samples: np.ndarray) -> str:
    difference = np.abs(numpy_log_mel(samples) - log_mel_spectrogram(samples)).max()
    if difference > TOLERANCE:
        sys.exit(f"the log-mel of NumPy and of svdam differ by {difference}")
    return f"Log-mel spectrograms of NumPy and svdam differ by {difference:.0e}."


def main() -> None:
    flags = parser(__doc__, turns=3)
    flags.add_argument("audio", nargs="+", help="recordings to make songs from")
    flags.add_argument("--kinds", default="mp3_44_stereo,ogg_44_stereo")
    flags.add_argument("--songs", type=int, default=12)
    flags.add_argument("--secs", type=float, default=240, help="length of a song")
    options = flags.parse_args()
    os.environ.update(dict.fromkeys(THREADS, "1"))  # A worker is a core.
    spawn, cores = multiprocessing.get_context("spawn"), len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, spawn.Pool(1) as one, spawn.Pool(cores) as every:
        tables, notes = compare_all(Path(folder), options, {1: one, cores: every})
    report(
        "front_end", "The front end", tables, options.output, notes, packages=["librosa", "scipy"]
    )


def compare_all(folder: Path, options: argparse.Namespace, pools: dict) -> tuple[list[Table], str]:
    """The tables of all kinds of file, that of samples, and a line about agreement."""
    names = list(FROM_FILES)
    if not shutil.which("ffmpeg"):
        print("ffmpeg is missing, its rows are left out: apt-get install ffmpeg", file=sys.stderr)
        names.remove(NUMPY)
    tables = []
    for kind in options.kinds.split(","):
        paths = make_songs(folder / kind, options.audio, kind, options.songs, options.secs)
        title = f"{kind.replace('_', ' ')}, {options.secs:g} s"
        notes = require_agreement(load_audio(paths[0]))
        tables += compare(title, work_on_file, names, paths, pools, options.turns)
    title, pool = f"Without decoding, {options.secs:g} s", {1: pools[1]}
    few = [paths[0]] * options.songs
    tables += compare(title, work_on_samples, list(FROM_SAMPLES), few, pool, options.turns)
    return tables, notes


if __name__ == "__main__":
    main()
