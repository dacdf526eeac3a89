"""Records: what comes back equals what is computed directly; damage is named."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from svdam.audio.decoding import load_audio
from svdam.audio.log_mel import log_mel_spectrogram
from svdam.core.config import FRONT_END
from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data


def test_songs_come_back_as_computed(corpus, records):
    assert {song.split: song.id for song in records.songs()}.keys() == {"train", "valid", "test"}
    assert len(records.songs()) == 6
    for song in records.songs():
        log_mel = log_mel_spectrogram(load_audio(corpus / song.source))
        # Workers compute with one thread each; with several, BLAS adds in another order.
        np.testing.assert_allclose(records.log_mel(song), log_mel, rtol=0, atol=2e-6)
        np.testing.assert_array_equal(records.frames(song, 7, 120), records.log_mel(song)[7:127])
        labels = records.labels(song)
        # The corpus is sung from 0.5 s on, which is frame 35.
        assert not labels[:35].any() and labels[35:].all() and len(labels) == len(log_mel)
        assert [records.label(song, frame) for frame in (34, 35)] == [False, True]
        assert song.duration_secs == pytest.approx(
            FRONT_END.num_samples(len(log_mel)) / 22050, abs=0.02
        )


def test_mean_and_std_are_the_plain_statistics_of_the_training_songs(records):
    frames = np.concatenate([records.log_mel(song) for song in records.songs("train")])
    frames = frames.astype(np.float64)
    np.testing.assert_allclose(records.mean, frames.mean(axis=0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(records.std, frames.std(axis=0, ddof=1), rtol=0, atol=1e-10)


def test_shards_are_plain_tfrecords_of_examples(records_folder, records):
    features = {
        "id": tf.io.FixedLenFeature([], tf.string),
        "num_frames": tf.io.FixedLenFeature([], tf.int64),
        "duration": tf.io.FixedLenFeature([], tf.float32),
        "labels": tf.io.FixedLenFeature([], tf.string),
        "log_mel": tf.io.FixedLenFeature([], tf.string),
    }
    shards = sorted(map(str, records_folder.glob("*.tfrecord")))
    assert len(shards) > 3 and any("train-00001-of-" in shard for shard in shards)
    found = {}
    for example in tf.data.TFRecordDataset(shards):
        parsed = tf.io.parse_single_example(example, features)
        log_mel = tf.reshape(tf.io.decode_raw(parsed["log_mel"], tf.float32), (-1, 80))
        found[parsed["id"].numpy().decode()] = log_mel.numpy(), int(parsed["num_frames"])
    assert found.keys() == {song.id for song in records.songs()}
    for song in records.songs():
        np.testing.assert_array_equal(found[song.id][0], records.log_mel(song))
        assert found[song.id][1] == song.num_frames


def test_half_precision_halves_the_size(corpus, records, records_folder, tmp_path):
    settings = PrepareSettings(
        output=str(tmp_path), dataset="jamendo", data_dir=str(corpus), dtype="float16"
    )
    prepare_data(settings)
    half = open_records(tmp_path)
    sizes = [sum(s["bytes"] for s in r.manifest["shards"]) for r in (half, records)]
    assert 0.45 < sizes[0] / sizes[1] < 0.56
    for one, other in zip(half.songs(), records.songs(), strict=True):
        expected = records.log_mel(other).astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(half.log_mel(one), expected)
    frames = np.concatenate([half.log_mel(song) for song in half.songs("train")])
    np.testing.assert_allclose(half.mean, frames.astype(np.float64).mean(axis=0), atol=1e-10)
    assert half.fingerprint != records.fingerprint


def test_an_unknown_split_is_refused(records):
    with pytest.raises(InputError, match="'validation', expected one of train, valid, test"):
        records.songs("validation")


@pytest.fixture
def copy(records_folder, tmp_path):
    return shutil.copytree(records_folder, tmp_path / "copy")


def _train_shards(folder):
    return sorted(folder.glob("train-*.tfrecord"))


def test_a_missing_shard_is_named(copy):
    shard = _train_shards(copy)[1]
    shard.unlink()
    with pytest.raises(InputError, match=f"{shard}: no such file.*prepare_data --flagfile="):
        open_records(copy)


def test_a_shard_that_was_cut_is_named(copy):
    shard = _train_shards(copy)[0]
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{shard}: is damaged: has {size - 1} bytes"):
        open_records(copy)


@pytest.mark.parametrize("what", ["log_mel", "labels"])
def test_one_changed_byte_is_named(copy, what):
    records = open_records(copy)
    song = records.songs("train")[2]
    shard = copy / song.shard
    content = bytearray(shard.read_bytes())
    content[(song.offset if what == "log_mel" else song.labels_offset) + 100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=f"{shard.name}: song '{song.id}' is damaged"):
        records.frames(song, 0, 115)
    with pytest.raises(InputError, match="is damaged"):
        records.log_mel(song) if what == "log_mel" else records.labels(song)
    records.frames(records.songs("valid")[0], 0, 115)  # Others can still be read.


def test_swapped_shards_of_one_size_are_noticed(copy):
    records = open_records(copy)
    songs = records.songs("train")
    first, second = copy / songs[0].shard, copy / songs[-1].shard
    content = second.read_bytes()[: first.stat().st_size].ljust(first.stat().st_size, b"\0")
    first.write_bytes(content)
    with pytest.raises(InputError, match=f"{first.name}: song .* is damaged"):
        open_records(copy).frames(songs[0], 0, 115)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda m: m.update(format=99), "has format 99, expected 1: another version"),
        (lambda m: m.pop("songs"), "is not the manifest of a records folder"),
        (lambda m: m["front_end"].update(preemphasis=0.97), "front-end settings"),
        (lambda m: m["front_end"].update(window="hann"), "is damaged"),
    ],
)
def test_foreign_manifests_are_refused(copy, change, message):
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(InputError, match=f"manifest.json: .*{message}"):
        open_records(copy)


def test_a_folder_that_holds_no_records_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"--records: .* does not exist; create it with: python -m"
    ):
        open_records(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="is not a run folder"):
        open_records(tmp_path)


def test_the_fingerprint_is_that_of_the_content(records, copy):
    assert open_records(copy).fingerprint == records.fingerprint
    assert len(records.fingerprint) == 64
