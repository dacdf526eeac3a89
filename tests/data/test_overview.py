"""What is shown of records: pictures with their labels, and what was skipped, in TensorBoard."""

import struct
import subprocess
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from svdam.core.images import log_mel_image
from svdam.data.overview import song_picture
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.small_corpora import SPLITS, write_jamendo


def test_a_picture_is_the_middle_of_a_song_over_its_labels(records):
    song = max(records.songs("train"), key=lambda song: song.num_frames)
    picture = song_picture(records, song, secs=1)
    assert picture.shape == (2 * 87, 2 * 70, 3)
    start = (song.num_frames - 70) // 2
    expected = log_mel_image(records.frames(song, start, 70))
    np.testing.assert_array_equal(picture[:160:2, ::2], expected)
    assert (picture[160:162] == 255).all() and (picture[-2:] == 40).all()


def test_short_songs_end_in_white_and_what_is_not_sung_is_light(records):
    song = records.songs("test")[0]
    picture = song_picture(records, song)
    assert picture.shape == (2 * 87, 2 * 700, 3)
    assert (picture[:, 2 * song.num_frames :] == 255).all()
    bar = picture[-1, : 2 * song.num_frames : 2, 0]
    np.testing.assert_array_equal(bar == 40, records.labels(song))
    assert (bar[:35] == 210).all()


def test_events_hold_pictures_counts_and_what_was_skipped(tmp_path):
    corpus = write_jamendo(tmp_path / "corpus", SPLITS)
    (corpus / "audio/b. with.dots.wav").write_bytes(b"")
    prepare_data(
        PrepareSettings(output=str(tmp_path / "run"), dataset="jamendo", data_dir=str(corpus))
    )
    events = EventAccumulator(str(tmp_path / "run/tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    (text,) = events.Tensors("skipped")[0].tensor_proto.string_val
    assert b"| b. with.dots.wav |" in text and b"is empty (0 bytes)" in text
    width, height, sheet = events.Tensors("songs with labels")[0].tensor_proto.string_val
    assert sheet[:4] == b"\x89PNG"
    assert (int(width), int(height)) == struct.unpack(">II", sheet[16:24])
    assert int(width) == 2 * 1400 + 4 and int(height) == 3 * 174 + 8
    description = events.SummaryMetadata("songs with labels").summary_description
    assert "1. f.wav\n2. a song.wav" in description  # As the manifest has them.


def test_records_and_summaries_are_made_without_tensorflow(tmp_path):
    """It would take longer to load than a hundred songs take."""
    corpus = write_jamendo(tmp_path / "corpus", SPLITS)
    settings = dict(output=str(tmp_path / "run"), dataset="jamendo", data_dir=str(corpus))
    code = f"""
import sys
from svdam.stages.prepare_data import PrepareSettings, prepare_data
prepare_data(PrepareSettings(**{settings!r}))
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
