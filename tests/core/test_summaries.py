"""TensorBoard events, read back by TensorBoard and by TensorFlow's own decoders."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from svdam.core.summaries import Summaries


def read(folder) -> EventAccumulator:
    """All that TensorBoard finds in a folder."""
    return EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def values(events: EventAccumulator, name: str) -> list[np.ndarray]:
    """A summary's tensors, in the order in which they were written."""
    return [tf.make_ndarray(event.tensor_proto) for event in events.Tensors(name)]


def test_curves_and_distributions_come_back(tmp_path):
    responses = np.random.default_rng(0).normal(size=200)
    with Summaries(tmp_path / "new/run") as summaries:
        summaries.scalars({"loss": 0.5, "gan/score": -2.0}, 3)
        summaries.scalars({"loss": 0.25}, 4)
        summaries.scalars({}, 5)
        summaries.histogram("responses", responses, 7)
    (path,) = (tmp_path / "new/run").iterdir()
    assert sum(1 for _ in tf.data.TFRecordDataset(str(path))) == 1 + 3  # The version comes first.
    events = read(tmp_path / "new/run")
    assert [event.step for event in events.Tensors("loss")] == [3, 4]
    assert values(events, "loss") == [0.5, 0.25] and values(events, "gan/score") == [-2.0]
    (buckets,) = values(events, "responses")
    counts, edges = np.histogram(responses, bins=len(buckets))
    np.testing.assert_allclose(buckets[:, 2], counts)
    np.testing.assert_allclose(buckets[:, 0], edges[:-1])


def test_pictures_are_the_pixels_with_their_size_and_labels(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (2, 20, 30, 3), np.uint8)
    with Summaries(tmp_path) as summaries:
        summaries.images("songs with labels", images, 2, "1. *first*")
    events = read(tmp_path)
    ((width, height, *pictures),) = values(events, "songs with labels")
    assert (width, height) == (b"30", b"20")
    for picture, image in zip(pictures, images, strict=True):
        np.testing.assert_array_equal(tf.image.decode_png(picture), image)
    metadata = events.SummaryMetadata("songs with labels")
    assert metadata.plugin_data.plugin_name == "images"
    assert metadata.summary_description == "1. *first*"


def test_sounds_are_16_bit_and_clipped(tmp_path):
    sounds = np.random.default_rng(2).normal(0, 0.5, (3, 4000))
    with Summaries(tmp_path) as summaries:
        summaries.audio("sounds", sounds, 1, 16000)
    events = read(tmp_path)
    (found,) = values(events, "sounds")
    assert found.shape == (3, 2) and events.SummaryMetadata("sounds").plugin_data.plugin_name
    for (content, name), sound in zip(found, sounds, strict=True):
        samples, rate = tf.audio.decode_wav(content)
        assert rate == 16000 and name == b""
        np.testing.assert_allclose(samples[:, 0], np.clip(sound, -1, 1), atol=2**-14)


def test_what_was_written_is_visible_before_the_end_and_after_another_start(tmp_path):
    summaries = Summaries(tmp_path)
    summaries.scalars({"loss": 1.0}, 1)
    assert values(read(tmp_path), "loss") == [1.0]  # Not closed: as while a command runs.
    with Summaries(tmp_path) as again:
        again.scalars({"loss": 2.0}, 2)
    assert values(read(tmp_path), "loss") == [1.0, 2.0]
    summaries.__exit__()


def test_every_event_is_an_event_of_tensorflows(tmp_path):
    with Summaries(tmp_path) as summaries:
        summaries.configuration({"rate": 0.1})
        summaries.hparams({"rate": 0.1}, {"distance": 2.0})
        summaries.hparams_columns({"rate": "Learning rate"}, {"distance": "Distance"})
    (path,) = tmp_path.iterdir()
    records = tf.data.TFRecordDataset(str(path))  # Compares the checksums.
    found = [tf.compat.v1.Event.FromString(record.numpy()) for record in records]
    assert found[0].file_version == "brain.Event:2"
    tags = [value.tag for event in found for value in event.summary.value]
    hparams = ["_hparams_/session_start_info", "distance", "_hparams_/experiment"]
    assert tags == ["configuration", *hparams]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left") as found, Summaries(tmp_path) as summaries:
        summaries._stream.close()
        summaries._stream = open("/dev/full", "wb")  # noqa: SIM115
        summaries.scalars({"loss": 1.0}, 1)
    assert found.value.filename == "/dev/full"


def test_summaries_do_without_tensorflow(tmp_path):
    """It takes seconds to load, and hundreds of megabytes, which not every command needs."""
    code = f"""
import sys
import numpy as np
from svdam.core.summaries import Summaries
with Summaries({str(tmp_path)!r}) as summaries:
    summaries.scalars({{"loss": 1.0}}, 0)
    summaries.histogram("responses", np.arange(9.0), 0)
    summaries.log_mels("examples", np.zeros((2, 115, 80)), 0)
    summaries.audio("sounds", np.zeros((1, 100)), 0, 22050)
    summaries.hparams({{"rate": 0.1}}, {{"distance": 2.0}})
    summaries.hparams_columns({{"rate": "Rate"}}, {{"distance": "Distance"}})
    summaries.configuration({{}})
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
