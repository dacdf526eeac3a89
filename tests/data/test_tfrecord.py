"""TFRecord files and Examples, against TensorFlow's own writer and parser."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf

from svdam.core.record_framing import crc32c, write_record
from svdam.core.validation import InputError
from svdam.data.tfrecord import encode_example, scan_records

FEATURES = {
    "id": "s\u00f6ng",
    "count": 300,
    "negative": -5,
    "duration": 1.5,
    "labels": b"",
    "log_mel": b"\x00\xff" * 40000,
}


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 5000, 5_000_000])
def test_files_are_those_of_tensorflow(tmp_path, size):
    data = os.urandom(size)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        writer.write(data)
    with open(tmp_path / "ours", "wb") as stream:
        parts = [memoryview(data)[: size // 3], memoryview(data)[size // 3 :]]
        write_record(stream, parts, size)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_checksum_of_the_standard_example():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720 and every catalogue of checksums.
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283


def test_examples_are_read_by_tensorflow():
    encoded = encode_example(FEATURES)
    data = b"".join(encoded.parts)
    assert len(data) == encoded.length
    features = tf.train.Example.FromString(data).features.feature
    assert set(features) == set(FEATURES)
    assert features["id"].bytes_list.value[0].decode() == FEATURES["id"]
    assert [features[name].int64_list.value[0] for name in ("count", "negative")] == [300, -5]
    assert features["duration"].float_list.value[0] == 1.5
    assert features["labels"].bytes_list.value == [b""]
    assert features["log_mel"].bytes_list.value[0] == FEATURES["log_mel"]
    offset = encoded.offsets["log_mel"]
    assert data[offset : offset + 80000] == FEATURES["log_mel"]


def _two_records() -> bytes:
    stream = io.BytesIO()
    for number in range(2):
        encoded = encode_example({**FEATURES, "count": number})
        write_record(stream, encoded.parts, encoded.length)
    return stream.getvalue()


def test_scanning_finds_records_and_places():
    content = _two_records()
    found = list(scan_records(io.BytesIO(content), len(content), skip=("log_mel",)))
    assert [record.features["count"] for record in found] == [0, 1]
    assert found[0].length == found[1].start and sum(r.length for r in found) == len(content)
    for record in found:
        assert "log_mel" not in record.features
        offset, length = record.places["log_mel"]
        assert content[offset : offset + length] == FEATURES["log_mel"]
        assert record.features["id"].decode() == FEATURES["id"]
        assert record.features["duration"] == 1.5


@pytest.mark.parametrize("cut", [1, 5, 12, 100, 80000, 90000])
def test_files_that_are_cut_short_are_refused(cut):
    content = _two_records()[:-cut]
    with pytest.raises(InputError, match=r"truncated|damaged"):
        list(scan_records(io.BytesIO(content), len(content), skip=("log_mel",)))


def test_random_bytes_are_refused_or_harmless():
    rng = np.random.RandomState(0)
    content = bytearray(_two_records())
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.randint(12, 200)] = rng.randint(256)
        try:
            records = list(scan_records(io.BytesIO(damaged), len(damaged), skip=("log_mel",)))
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert len(records) == 2
    with pytest.raises(InputError, match="no TFRecord"):
        list(scan_records(io.BytesIO(rng.bytes(500)), 500))
