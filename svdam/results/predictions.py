"""Prediction files, and truth that comes as arrays.

A prediction file is an .npz archive with one float array (frames, 1) or (frames,) a song, named as
the song's file: what the ``predict.py`` of Schlueter & Grill (ISMIR 2015) writes and its
``eval.py`` reads. Truth may come in the same form, with one 0 or 1 (or boolean) an entry, at any
number of entries a second.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.npz import read_npz, write_npz
from svdam.core.validation import InputError, quoted_list


def read_predictions(
    paths: Sequence[str | os.PathLike], num_labels: int = 1
) -> dict[str, np.ndarray]:
    """Reads prediction files; predictions of several files are averaged, song by song.

    Args:
        paths: Prediction files, of the same songs.
        num_labels: Number of probabilities per frame.

    Returns:
        (frames,) float32 probability, by song; (frames, num_labels) if there are several.

    Raises:
        InputError: If a file cannot be read, or its songs, lengths or values do not fit.
    """
    total: dict[str, np.ndarray] = {}
    for path in paths:
        found = {
            name: _checked(array, f"{path}: {name!r}", num_labels) for name, array in _songs(path)
        }
        if total and found.keys() != total.keys():
            different = quoted_list(sorted(found.keys() ^ total.keys()), 3)
            raise InputError(f"{path}: holds other songs than {paths[0]}: {different}")
        for name, prediction in found.items():
            if name in total and len(total[name]) != len(prediction):
                raise InputError(
                    f"{path}: {name!r} has {len(prediction)} frames, but {len(total[name])} in "
                    f"{paths[0]}"
                )
            share = prediction / np.float32(len(paths))
            total[name] = total[name] + share if name in total else share
    return total


def write_predictions(path: str | os.PathLike, predictions: Mapping[str, np.ndarray]) -> None:
    """Writes (frames,) or (frames, labels) probabilities by song, atomically."""
    columns = {
        name: np.asarray(values, np.float32).reshape(len(values), -1)
        for name, values in predictions.items()
    }
    write_npz(path, columns)


def read_truth(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads truth from an .npz archive: one array of 0 and 1 a song.

    Returns:
        (entries,) bool, by song.

    Raises:
        InputError: If it cannot be read, or holds other values.
    """
    truth = {}
    for name, array in _songs(path):
        flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        if flat.ndim != 1 or flat.dtype.kind not in "biuf" or not np.isin(flat, (0, 1)).all():
            raise InputError(
                f"{path}: {name!r} has shape {array.shape} and dtype {array.dtype}, expected "
                "(entries,) of 0 and 1"
            )
        truth[name] = flat.astype(bool)
    return truth


def truth_of_frames(
    truth: np.ndarray,
    num_frames: int,
    entries_per_second: float,
    song: str,
    front_end: FrontEnd = FRONT_END,
) -> np.ndarray:
    """Spreads truth over frames: entry i covers the seconds from i to i + 1 over the rate.

    Args:
        truth: (entries,) bool.
        num_frames: Frames of the song's prediction.
        entries_per_second: Rate of ``truth``. A last, incomplete entry may be there or not.
        song: How messages name the song.
        front_end: What the frames are those of.

    Returns:
        (num_frames,) bool.

    Raises:
        InputError: If truth and prediction differ in length by an entry or more.
    """
    frames_per_second = front_end.frames_per_second
    truth_secs, song_secs = len(truth) / entries_per_second, num_frames / frames_per_second
    if abs(truth_secs - song_secs) * entries_per_second > 1 - 1e-6 or not len(truth):
        raise InputError(
            f"{song}: the labels cover {truth_secs:.2f} s ({len(truth)} at {entries_per_second:g} "
            f"per second), but the predictions {song_secs:.2f} s; see --labels_per_second"
        )
    entries = np.floor(np.arange(num_frames) / frames_per_second * entries_per_second + 1e-9)
    return truth[np.minimum(entries.astype(np.int64), len(truth) - 1)]


def _songs(path: str | os.PathLike) -> list[tuple[str, np.ndarray]]:
    arrays = read_npz(path)
    if not arrays:
        raise InputError(f"{path}: contains no array, expected one per song")
    return list(arrays.items())


def _checked(array: np.ndarray, place: str, num_labels: int) -> np.ndarray:
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    found = 1 if flat.ndim == 1 else flat.shape[-1]
    if flat.ndim > 2 or found != num_labels or flat.dtype.kind != "f":
        raise InputError(
            f"{place} has shape {array.shape} and dtype {array.dtype}, expected (frames, "
            f"{num_labels}) probabilities"
        )
    if not ((flat >= 0) & (flat <= 1)).all():
        raise InputError(f"{place} holds values that are not probabilities from 0 to 1")
    return flat.astype(np.float32)
