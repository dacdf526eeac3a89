"""Excerpts cut while reading: shapes, labels, orders, and batches as pure functions."""

import itertools

import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.data.excerpts import (
    clip_batches,
    labelled_batches,
    num_spaced_excerpts,
    spaced_excerpts,
)


def _take(dataset, count):
    return [[np.asarray(part) for part in batch] for batch in _tuples(dataset, count)]


def _tuples(dataset, count):
    for batch in dataset.take(count):
        yield batch if isinstance(batch, tuple) else (batch,)


def _places(records, split, excerpts):
    """Finds each excerpt in the songs, by looking at all of them."""
    songs = {song.id: records.log_mel(song) for song in records.songs(split)}
    for excerpt in excerpts:
        found = [
            (name, start)
            for name, log_mel in songs.items()
            for start in np.flatnonzero((log_mel[: len(log_mel) - 114] == excerpt[0, :, 0]).all(1))
            if (log_mel[start : start + 115] == excerpt[..., 0]).all()
        ]
        assert len(found) == 1
        yield found[0]


@pytest.mark.parametrize("batches", [clip_batches, labelled_batches])
def test_starting_later_is_skipping(records, batches):
    whole = _take(batches(records, batch_size=3, seed=5), 7)
    late = _take(batches(records, batch_size=3, seed=5, start=4), 3)
    for one, other in zip(whole[4:], late, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)
    other_seed = _take(batches(records, batch_size=3, seed=6), 1)
    assert (whole[0][0] != other_seed[0][0]).any()


def test_an_epoch_of_clips_holds_every_clip_once(records):
    expected = sorted(
        (song.id, start)
        for song in records.songs("train")
        for start in range(0, song.num_frames - 114, 115)
    )
    dataset = clip_batches(records, batch_size=len(expected), seed=0)
    assert dataset.element_spec.shape == (len(expected), 115, 80, 1)
    epochs = [list(_places(records, "train", batch)) for (batch,) in _take(dataset, 2)]
    assert sorted(epochs[0]) == expected and sorted(epochs[1]) == expected
    assert epochs[0] != epochs[1]


def test_clip_spacing_and_clips_per_track(records):
    spacing = 40
    expected = {
        (song.id, start)
        for song in records.songs("train")
        for start in range(0, song.num_frames - 114, spacing)
    }
    (batch,) = _take(clip_batches(records, batch_size=len(expected), seed=0, clip_spacing=40), 1)[0]
    assert set(_places(records, "train", batch)) == expected
    (batch,) = _take(clip_batches(records, batch_size=12, seed=0, clips_per_track=3), 1)[0]
    places = sorted(_places(records, "train", batch))
    for name, starts in itertools.groupby(places, key=lambda place: place[0]):
        last = next(song for song in records.songs() if song.id == name).num_frames - 115
        assert [start for _, start in starts] == [0, round(last / 2), last]


def test_classifier_excerpts_start_anywhere_and_carry_the_centre_label(records):
    songs = {song.id: song for song in records.songs("train")}
    num_places = sum(song.num_frames - 114 for song in songs.values())
    dataset = labelled_batches(records, batch_size=num_places, seed=2)
    assert [spec.shape for spec in dataset.element_spec] == [
        (num_places, 115, 80, 1),
        (num_places,),
    ]
    excerpts, labels = _take(dataset, 1)[0]
    assert excerpts.dtype == labels.dtype == np.float32
    sample = slice(0, 60)
    places = list(_places(records, "train", excerpts[sample]))
    for (name, start), label in zip(places, labels[sample], strict=True):
        assert label == records.labels(songs[name])[start + 57]
    # All places, once: the singing begins at frame 35, before the first centre frame.
    assert labels.mean() == 1.0
    keys = {excerpt.tobytes() for excerpt in excerpts}
    assert len(keys) == num_places


def test_augmentation_gets_longer_excerpts_and_draws_of_its_own(records):
    class Reversed:
        num_frames = 121

        def __call__(self, excerpts, rng):
            assert excerpts.shape[1:] == (121, 80)
            return excerpts[:, 3:-3] + rng.normal()

    plain = _take(labelled_batches(records, batch_size=2, seed=1, augmentation=Reversed()), 3)
    again = _take(
        labelled_batches(records, batch_size=2, seed=1, augmentation=Reversed(), start=2), 1
    )
    np.testing.assert_array_equal(plain[2][0], again[0][0])
    assert plain[0][0].shape == (2, 115, 80, 1)


def test_spaced_excerpts_come_in_song_order(records):
    batches = list(spaced_excerpts(records, spacing=50, batch_size=4))
    excerpts, songs, starts = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    expected = [
        (index, start)
        for index, song in enumerate(records.songs("train"))
        for start in range(0, song.num_frames - 114, 50)
    ]
    assert list(zip(songs, starts, strict=True)) == expected
    assert songs.dtype == starts.dtype == np.int64 and excerpts.dtype == np.float32
    assert [len(part[0]) for part in batches[:-1]] == [4] * (len(batches) - 1)
    for excerpt, (index, start) in zip(excerpts, expected, strict=True):
        log_mel = records.log_mel(records.songs("train")[index])
        np.testing.assert_array_equal(excerpt[..., 0], log_mel[start : start + 115])
    assert num_spaced_excerpts(records, spacing=50) == len(expected)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda r: clip_batches(r, batch_size=0, seed=0), "--batch_size: found 0"),
        (
            lambda r: clip_batches(r, batch_size=1, seed=0, clip_spacing=0),
            "--clip_spacing: found 0",
        ),
        (
            lambda r: clip_batches(r, batch_size=1, seed=0, clip_spacing=9, clips_per_track=2),
            "one of them",
        ),
        (lambda r: clip_batches(r, batch_size=1, seed=0, start=-1), "start: found -1"),
        (lambda r: labelled_batches(r, batch_size=1, seed=0, split="tests"), "--split: found"),
        (lambda r: next(spaced_excerpts(r, spacing=0, batch_size=1)), "--spacing: found 0"),
    ],
)
def test_bad_numbers_are_refused(records, call, message):
    with pytest.raises(InputError, match=message):
        call(records)
