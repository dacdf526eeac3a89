"""Excerpts cut from records while reading, for training and for real responses.

Batch i is a pure function of (seed, i): training that stops after batch i resumes with batch i + 1,
whatever happened in between, and workers can take batches of their own without talking to each
other. No buffer is shuffled: the places of the excerpts are shuffled by computation, in epochs that
hold every place once (see `sampling`), and a batch may span two epochs.

Axes are (batch, time, mel, channel) everywhere.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf

from svdam.core.config import RESPONSE_SPACING
from svdam.core.validation import InputError
from svdam.data.places import excerpt_places, numbered_clips, require_positive
from svdam.data.records import Records
from svdam.data.song_entry import SongEntry
from svdam.data.spectra import SpectrumRecords


class Augmentation(Protocol):
    """Turns longer excerpts into augmented ones of the usual length.

    Attributes:
        num_frames: Frames that it needs around the same centre frame.
    """

    num_frames: int

    def __call__(self, excerpts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augments (batch, num_frames, mels) float32 to (batch, excerpt frames, mels)."""


def clip_batches(
    records: Records,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    split: str = "train",
    clip_spacing: int | None = None,
    clips_per_track: int | None = None,
) -> tf.data.Dataset:
    """Clips with equal spacing, for the GAN (Section 3.3).

    Args:
        records: Where from.
        batch_size: Clips of a batch.
        seed: Names the order.
        start: Number of the first batch.
        split: Split to take.
        clip_spacing: Frames from one clip's start to the next one's; the length of a clip by
            default, so that clips follow each other without a gap.
        clips_per_track: Instead, how many clips of each song, from its first to its last possible
            start. Starts that coincide in short songs are taken once.

    Returns:
        Endless Dataset of (batch_size, frames, mels, 1) float32, frames being an excerpt's.

    Raises:
        InputError: If a number is out of range, or the split has no song.
    """
    clips = numbered_clips(
        records,
        batch_size=batch_size,
        seed=seed,
        split=split,
        clip_spacing=clip_spacing,
        clips_per_track=clips_per_track,
    )
    shape = (batch_size, records.front_end.excerpt_frames, records.front_end.num_mels, 1)
    return _pipeline(start, clips, shape)


def labelled_batches(
    records: Records | SpectrumRecords,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    split: str = "train",
    augmentation: Augmentation | None = None,
) -> tf.data.Dataset:
    """Excerpts around any frame of labelled songs, for the classifier (Section 3.1).

    Args:
        records: Where from; songs without labels are left out. Their spectra, where an
            augmentation works on spectra.
        batch_size: Excerpts of a batch.
        seed: Names the order, and the augmentation's draws.
        start: Number of the first batch.
        split: Split to take.
        augmentation: Applied to each batch.

    Returns:
        Endless Dataset of ((batch_size, frames, mels, 1) float32 excerpts, (batch_size,) float32
        labels of their centre frames, 0 or 1); labels are (batch_size, targets) for records with
        several targets.

    Raises:
        InputError: If the split has no song with labels.
    """
    require_positive(batch_size=batch_size)
    length = records.front_end.excerpt_frames
    read_length = augmentation.num_frames if augmentation else length
    centre = read_length // 2
    songs = [song for song in records.songs(split) if song.has_labels]
    places = excerpt_places(
        records, split, songs, lambda song: range(song.num_frames - read_length + 1), "labelled "
    )

    def excerpts(number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = places.batch(number, batch_size, seed)
        read = np.stack([records.frames(song, frame, read_length) for song, frame in chosen])
        labels = [records.label(song, frame + centre) for song, frame in chosen]
        if augmentation is not None:
            read = augmentation(read, np.random.default_rng((seed, number)))
        return read[..., None].astype(np.float32), np.array(labels, np.float32)

    shape = (batch_size, length, records.front_end.num_mels, 1)
    num_targets = len(records.label_names)
    labels_shape = (batch_size, num_targets) if num_targets > 1 else (batch_size,)
    return _pipeline(start, excerpts, shape, labels_shape)


def spaced_excerpts(
    records: Records,
    *,
    spacing: int = RESPONSE_SPACING,
    batch_size: int,
    split: str = "train",
    songs: range | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Excerpts every few frames of every song, in song order, for real responses (Section 3.4).

    Args:
        records: Where from.
        spacing: Frames from one excerpt's start to the next one's, from each song's first frame on.
        batch_size: Excerpts of a batch; the last one has fewer.
        split: Split to take.
        songs: Indices of the songs to take, of those of the split; all by default.

    Yields:
        ((b, frames, mels, 1) float32 excerpts, (b,) int64 indices into ``records.songs(split)``,
        (b,) int64 first frames).

    Raises:
        InputError: If a number is out of range, or the split has no song.
    """
    require_positive(spacing=spacing, batch_size=batch_size)
    all_songs = records.songs(split)
    chosen = range(len(all_songs)) if songs is None else songs
    numbered = {index: all_songs[index] for index in chosen}
    excerpt_places(
        records, split, [*numbered.values()], lambda song: _spaced_starts(records, song, spacing)
    )
    excerpts = _spaced(records, numbered, spacing)
    while batch := list(itertools.islice(excerpts, batch_size)):
        frames, indices, starts = zip(*batch, strict=True)
        yield np.stack(frames)[..., None], np.array(indices), np.array(starts)


def num_spaced_excerpts(
    records: Records, *, spacing: int = RESPONSE_SPACING, split: str = "train"
) -> int:
    """How many excerpts `spaced_excerpts` yields in all.

    Raises:
        InputError: As `spaced_excerpts`.
    """
    require_positive(spacing=spacing)
    songs = records.songs(split)
    starts = excerpt_places(
        records, split, songs, lambda song: _spaced_starts(records, song, spacing)
    )
    return starts.num_places


def _spaced(
    records: Records, songs: dict[int, SongEntry], spacing: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    length = records.front_end.excerpt_frames
    for index, song in songs.items():
        log_mel = records.log_mel(song)
        for start in _spaced_starts(records, song, spacing):
            yield log_mel[start : start + length], index, start


def _spaced_starts(records: Records, song: SongEntry, spacing: int) -> range:
    return range(0, song.num_frames - records.front_end.excerpt_frames + 1, spacing)


def _pipeline(start: int, compute: Callable, *shapes: tuple[int, ...]) -> tf.data.Dataset:
    """``compute(number)`` for all numbers from ``start`` on, without end.

    Elements are computed when they are asked for, never ahead: see `svdam.data.prefetch`.
    """
    if start < 0:
        raise InputError(f"start: found {start}, expected a batch number from 0 on")
    numbers = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.inject_prefetch = False
    computed = numbers.map(lambda number: _computed(compute, number, *shapes))
    return computed.with_options(options)


def _computed(
    compute: Callable, number: tf.Tensor, *shapes: tuple[int, ...]
) -> tf.Tensor | tuple[tf.Tensor, ...]:
    """``compute(number)``, in Python, as tensors of known shapes."""
    kinds = tf.float32 if len(shapes) == 1 else [tf.float32] * len(shapes)
    # Plain Python: AutoGraph would only bury an error's message in its own frames.
    python = tf.autograph.experimental.do_not_convert(lambda i: compute(int(i)))
    found = tf.numpy_function(python, [number], kinds, stateful=False)
    tensors = [found] if len(shapes) == 1 else found
    shaped = [tf.ensure_shape(part, shape) for part, shape in zip(tensors, shapes, strict=True)]
    return shaped[0] if len(shapes) == 1 else tuple(shaped)
