"""Records of other labels than singing: which, how many, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.data.manifest import require_sound
from svdam.data.overview import song_picture
from svdam.data.records import open_records
from svdam.data.song_copies import SongCopies
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.small_corpora import EVENTS
from tests.data.small_stems import noise, voice, write


def heard(label, num_frames):
    """Whether an event of `write_events` is heard in each frame, by hand."""
    _, start, end = EVENTS[label]
    times_secs = np.arange(num_frames) / 70
    return (times_secs >= start) & (times_secs < end)


def settings(folder, output, **options):
    return PrepareSettings(
        output=str(output), dataset="folder", data_dir=str(folder), num_workers=1, **options
    )


def test_one_label_is_positive_and_all_others_are_negative(events, tmp_path, capsys):
    prepare_data(settings(events, tmp_path / "run", positive_label=("SIREN", "car")))
    records = open_records(tmp_path / "run")
    assert records.label_names == ("SIREN or car",)
    for song in records.songs():
        expected = heard("siren", song.num_frames) | heard("car", song.num_frames)
        np.testing.assert_array_equal(records.labels(song), expected)
    assert "\nlabels: SIREN or car\n" in capsys.readouterr().out


def test_several_labels_give_several_targets(events_folder):
    records = open_records(events_folder)
    assert records.label_names == ("dog", "siren")
    for song in records.songs():
        expected = np.stack([heard(name, song.num_frames) for name in ("dog", "siren")], axis=1)
        np.testing.assert_array_equal(records.labels(song), expected)
        for frame in (0, 100, 150, 200):
            assert records.label(song, frame) == expected[frame].tolist()
    picture = song_picture(records, song, secs=5)
    bars = picture[2 * 80 :: 2, : 2 * song.num_frames : 2, 0]
    for row in (3, 10):
        np.testing.assert_array_equal(
            bars[row] == 40, heard(records.label_names[row // 7], bars.shape[1])
        )


def test_copies_of_songs_hold_all_targets(events_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path))
    records = open_records(events_folder)
    song = records.songs("test")[0]
    copies = SongCopies(str(events_folder), 80 * 4, 2)
    for offset in (song.offset + 320, song.labels_offset, song.labels_offset + 2 * 150):
        path, place = copies.locate(song, offset)
        shard = (events_folder / song.shard).read_bytes()
        assert Path(path).read_bytes()[place : place + 9] == shard[offset : offset + 9]


def test_records_are_found_again(events, events_folder, capsys):
    prepare_data(settings(events, events_folder, labels=("dog", "siren")))
    assert "songs to log-mel" not in capsys.readouterr().err
    with pytest.raises(InputError, match=r"holds a run with labels=\['dog', 'siren'\]"):
        prepare_data(settings(events, events_folder, labels=("dog",)))


@pytest.mark.parametrize("names", [["a", "a"], [], "ab", [1]])
def test_a_manifest_with_senseless_names_is_damaged(events_folder, names):
    manifest = json.loads((events_folder / "manifest.json").read_text())
    del manifest["checksum"]
    require_sound(manifest)
    with pytest.raises(InputError, match="is damaged"):
        require_sound({**manifest, "label_names": names})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positive_label": ("dgo",)}, "--positive_label: no label file contains 'dgo'; name one "
         "of those that they contain: 'car', 'dog', 'siren'"),
        ({}, "--positive_label: no label file contains 'sing'; name one of those"),
        ({"labels": ("dog", "wolf")}, "--labels: no label file contains 'wolf'; name one of those"),
        ({"labels": ("dog", "Dog")}, "--labels: found dog,Dog, in which a label is repeated"),
        ({"labels": ("dog",), "positive_label": ("car",)}, "--labels: contradicts --positive_l"),
        ({"positive_label": ()}, "--positive_label: is empty"),
    ],
)  # fmt: skip
def test_refuses_labels(events, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        prepare_data(settings(events, tmp_path / "run", **options))
    assert not list((tmp_path).rglob("*.tfrecord"))


@pytest.mark.parametrize("dataset", ["builtin", "fma"])
def test_labels_are_for_data_sets_that_have_some(dataset):
    place = None if dataset == "builtin" else "x"
    with pytest.raises(InputError, match="--positive_label: is for --dataset=jamendo or folder"):
        PrepareSettings(dataset=dataset, data_dir=place, positive_label=("dog",))


def test_stems_have_the_label_of_their_stem(tmp_path):
    for name in ("train/a", "train/b"):
        write(tmp_path / f"music/{name}.drums.wav", voice(4, [(1.0, 2.0)]))
        write(tmp_path / f"music/{name}.backing.wav", noise(4, seed=1))
    (tmp_path / "music/train/b.lab").write_text("2 3 sing\n3 4 nosing\n")
    run = PrepareSettings(
        output=str(tmp_path / "run"),
        dataset="stems",
        data_dir=str(tmp_path / "music"),
        positive_stem="Drums",
    )
    prepare_data(run)
    records = open_records(tmp_path / "run")
    assert records.label_names == ("drums",)
    for song, start in zip(records.songs(), (1, 2), strict=True):
        (frames,) = np.nonzero(records.labels(song))
        assert abs(frames[0] / 70 - start) < 0.05 and abs(frames[-1] / 70 - start - 1) < 0.05
