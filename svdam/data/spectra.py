"""Spectrograms of the songs of records, for augmentation.

Stretching and shifting need spectra before the mel filterbank, six times the size of log-mel, so
records do not hold them. They are computed from the audio that the records were made from, once,
as spline coefficients (see `augmentation`), into memory-mapped files of the cache folder: 144 kB a
second of sound, 2.1 GB for Jamendo's 61 training songs.

`SpectrumRecords` is read like `Records`, with the wider frames.
"""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from svdam.audio.log_mel import spectrogram, with_margins
from svdam.core import storage
from svdam.core.config import FrontEnd
from svdam.core.files import atomic_path, read_json
from svdam.core.progress import progress
from svdam.core.runs import CONFIG_NAME
from svdam.core.storage import cache_folder
from svdam.core.validation import InputError
from svdam.corpus.cache import rendered_corpus
from svdam.corpus.demo_corpus import CorpusSettings
from svdam.data.augmentation import SPLINE_ORDER, log_mel_of, spline_coefficients
from svdam.data.mixing import load_song
from svdam.data.records import Records
from svdam.data.song_entry import SongEntry

_VERSION = 1
_BLOCK_FRAMES = 4096
# The spline filter's answer to one frame has fallen below 1e-16 of it after this number of frames.
_OVERLAP_FRAMES = 24
# Log-mel from the audio and from records may differ by the rounding of float16 records.
_LOG_MEL_TOLERANCE = 0.02


class SpectrumRecords:
    """Songs with labels, whose frames are spline coefficients of spectra.

    Attributes:
        folder: The records folder.
        front_end: How the spectra were computed.
        label_names: See `svdam.data.records.Records`.
    """

    def __init__(self, records: Records, split: str, files: dict[str, Path]):
        self.folder = records.folder
        self.front_end = records.front_end
        self.label_names = records.label_names
        self._records = records
        self._split = split
        self._coefficients = {song: np.load(path, mmap_mode="r") for song, path in files.items()}

    def songs(self, split: str | None = None) -> list[SongEntry]:
        """The songs of the split that was opened.

        Raises:
            InputError: If another split is asked for.
        """
        if split not in (None, self._split):
            raise InputError(f"spectra: of split {self._split!r}, but {split!r} is asked for")
        return [song for song in self._records.songs(self._split) if song.id in self._coefficients]

    def frames(self, song: SongEntry, start: int, count: int) -> np.ndarray:
        """Spline coefficients of some frames, (count, bins) float32."""
        return np.array(self._coefficients[song.id][start : start + count])

    def label(self, song: SongEntry, frame: int) -> bool | list[bool]:
        """Whether one frame is positive; one value per target, if there are several."""
        return self._records.label(song, frame)


def open_spectra(
    records: Records, *, split: str = "train", audio: str | None = None
) -> SpectrumRecords:
    """Opens the spectra of the labelled songs of a split; computes those that are not cached.

    Args:
        records: The songs.
        split: Split to take.
        audio: Folder or URL of the data set that the records were made from; by default where
            prepare_data found it.

    Raises:
        InputError: If the audio is not there any more, or is another recording, or the cache has no
            room.
    """
    cache = cache_folder() / "spectra"
    songs = [song for song in records.songs(split) if song.has_labels]
    files = {song.id: cache / f"{_key(song)}.npy" for song in songs}
    missing = [song for song in songs if not _is_whole(files[song.id], song, records.front_end)]
    if missing:
        root = audio or data_set_folder(
            records, "specify the folder of the data set with --audio, or use --noaugment"
        )
        _require_room(cache, missing, records.front_end)
        print(f"computing spectra of {len(missing)} songs, once, in {cache}", file=sys.stderr)
        # Mixes with the same backing follow each other: it is decoded once.
        missing.sort(key=lambda song: song.mix.others if song.mix else ())
        for song in progress(missing, description="spectra", unit="song"):
            _write_coefficients(files[song.id], records, song, root)
    return SpectrumRecords(records, split, files)


def _write_coefficients(path: Path, records: Records, song: SongEntry, root: str) -> None:
    """Computes a song's coefficients, block by block to bound the memory."""
    front_end = records.front_end
    source = storage.join(root, song.source)
    try:
        samples = load_song(song, root, front_end.sample_rate)
    except InputError as error:
        raise InputError(
            f"{error}; augmentation computes spectra from it: specify its folder with --audio, or "
            "use --noaugment"
        ) from error
    if front_end.num_frames(len(samples)) != song.num_frames:
        raise _other_recording(source, song)
    log_mel = records.log_mel(song)
    shape = (song.num_frames, front_end.num_bins)
    samples, front_end = with_margins(samples, front_end)
    with atomic_path(path) as temporary:
        coefficients = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        for start, spectra, block in _blocks(samples, front_end):
            coefficients[start : start + len(block)] = block
            found = log_mel_of(spectra, front_end)
            difference = np.abs(found - log_mel[start : start + len(block)]).max()
            if difference > _LOG_MEL_TOLERANCE * max(1, front_end.log_factor):
                raise _other_recording(source, song)
        coefficients.flush()
        del coefficients


def _blocks(
    samples: np.ndarray, front_end: FrontEnd
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields (first frame, spectra, spline coefficients) of consecutive blocks."""
    num_frames = front_end.num_frames(len(samples))
    for start in range(0, num_frames, _BLOCK_FRAMES):
        stop = min(start + _BLOCK_FRAMES, num_frames)
        first = max(start - _OVERLAP_FRAMES, 0)
        last = min(stop + _OVERLAP_FRAMES, num_frames)
        first_sample = first * front_end.hop_length
        part = samples[first_sample : first_sample + front_end.num_samples(last - first)]
        spectra = spectrogram(part, front_end)
        coefficients = spline_coefficients(spectra)
        inside = slice(start - first, stop - first)
        yield start, spectra[inside], coefficients[inside]


def data_set_folder(records: Records, way_out: str) -> str:
    """Where prepare_data found the audio of records.

    Raises:
        InputError: If they do not say so, with the way out.
    """
    path = storage.join(records.folder, CONFIG_NAME)
    if storage.is_remote(records.folder) or not storage.exists(path):
        raise InputError(
            f"--records: {records.folder} does not say where its audio is, which is needed; "
            f"{way_out}"
        )
    settings = read_json(path)["settings"]
    if settings["dataset"] == "builtin":
        size_and_seed = (settings[name] for name in ("num_songs", "song_secs", "corpus_seed"))
        return str(rendered_corpus(CorpusSettings(*size_and_seed)))
    return str(settings["data_dir"])


def _key(song: SongEntry) -> str:
    """Names a song's file by all that its content depends on."""
    return hashlib.sha256(f"{_VERSION} {SPLINE_ORDER} {song.fingerprint}".encode()).hexdigest()[:32]


def _is_whole(path: Path, song: SongEntry, front_end: FrontEnd) -> bool:
    if not path.exists():
        return False
    try:
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return False
    shape = (song.num_frames, front_end.num_bins)
    return found.shape == shape and found.dtype == np.float32


def _require_room(cache: Path, songs: list[SongEntry], front_end: FrontEnd) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{cache}: cannot be written ({error.strerror}); set SVDAM_CACHE to another folder"
        ) from error
    needed = 4 * sum(song.num_frames for song in songs) * front_end.num_bins
    free = shutil.disk_usage(cache).free
    if needed > 0.95 * free:
        raise InputError(
            f"{cache}: the spectra take {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are "
            "free; free some space, set SVDAM_CACHE to another folder, or use --noaugment"
        )


def _other_recording(source: str, song: SongEntry) -> InputError:
    return InputError(
        f"{source}: is not the recording that song {song.id!r} of the records was made from; "
        "prepare the records again"
    )
