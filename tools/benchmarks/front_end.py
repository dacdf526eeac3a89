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

Then the same without decoding, and each of the other named front ends against the implementation
that it equals: librosa, or TensorFlow's signal module. Before the clock starts, both must give the
same log-mel for the same samples. ``--kinds=`` leaves out what starts from files.
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
from svdam.audio.front_ends import get_front_end
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


LIBROSA, TENSORFLOW = "librosa", "TensorFlow's signal module"
REFERENCES = {"musicnn": LIBROSA, "librosa": LIBROSA, "yamnet": TENSORFLOW, "vggish": TENSORFLOW}
"""What the other named front ends equal."""
REFERENCE_TOLERANCE = 2e-4  # Of the largest value: TensorFlow's own rounding errors in yamnet.

loaded = functools.lru_cache(maxsize=1)(load_audio)


def reference_log_mel(front_end_name: str, samples: np.ndarray) -> np.ndarray:
    """A named front end, by the implementation that it equals."""
    front_end = get_front_end(front_end_name)
    if REFERENCES[front_end_name] == TENSORFLOW:
        return tensorflow_function()(samples, np.float32(front_end.log_offset)).numpy()
    import librosa

    power = librosa.feature.melspectrogram(
        y=samples,
        sr=front_end.sample_rate,
        n_fft=front_end.fft_length,
        hop_length=front_end.hop_length,
        n_mels=front_end.num_mels,
        fmin=front_end.min_hz,
        fmax=front_end.max_hz,
    ).T
    if front_end_name == "musicnn":
        return np.log10(1 + 10000 * power)
    return librosa.power_to_db(power, top_db=None)


@functools.lru_cache(maxsize=1)
def tensorflow_function() -> Callable:
    """Log-mel as YAMNet and VGGish compute it, on one thread."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    filterbank = tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, 7500.0)

    @tf.function(input_signature=[tf.TensorSpec([None]), tf.TensorSpec([])])
    def log_mel(samples, offset):
        magnitudes = tf.abs(tf.signal.stft(samples, 400, 160, 512))
        return tf.math.log(magnitudes @ filterbank + offset)

    return log_mel


def work_on_file(job: tuple[str, str]) -> float:
    """Does a song in a worker; returns the processor seconds, those of ffmpeg included."""
    name, path = job
    return processor_secs(FROM_FILES[name], path)


def work_on_samples(job: tuple[str, str]) -> float:
    name, path = job
    return processor_secs(FROM_SAMPLES[name], loaded(path))


def work_on_front_end(front_end_name: str, job: tuple[str, str]) -> float:
    name, path = job
    front_end = get_front_end(front_end_name)
    samples = loaded(path, front_end.sample_rate)
    if name == "svdam":
        return processor_secs(functools.partial(log_mel_spectrogram, front_end=front_end), samples)
    return processor_secs(functools.partial(reference_log_mel, front_end_name), samples)


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


def require_reference(front_end_name: str, path: str) -> None:
    front_end = get_front_end(front_end_name)
    samples = load_audio(path, front_end.sample_rate)[: 30 * front_end.sample_rate]
    expected = reference_log_mel(front_end_name, samples)
    difference = np.abs(log_mel_spectrogram(samples, front_end) - expected).max()
    if difference > REFERENCE_TOLERANCE * np.abs(expected).max():
        sys.exit(f"the log-mel of {front_end_name} differs by {difference} from its reference")


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
    tables, paths = [], options.audio
    for kind in filter(None, options.kinds.split(",")):
        paths = make_songs(folder / kind, options.audio, kind, options.songs, options.secs)
        title = f"{kind.replace('_', ' ')}, {options.secs:g} s"
        tables += compare(title, work_on_file, names, paths, pools, options.turns)
    samples, pool = load_audio(paths[0]), {1: pools[1]}
    notes = require_agreement(samples)
    title = f"Without decoding, {len(samples) / FRONT_END.sample_rate:.0f} s"
    few = [paths[0]] * options.songs
    tables += compare(title, work_on_samples, list(FROM_SAMPLES), few, pool, options.turns)
    for name, reference in REFERENCES.items():
        require_reference(name, paths[0])
        work = functools.partial(work_on_front_end, name)
        of_front_end = f"{name}: {title[0].lower()}{title[1:]}"
        tables += compare(of_front_end, work, ["svdam", reference], few, pool, options.turns)
    return tables, notes


if __name__ == "__main__":
    main()
