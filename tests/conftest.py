"""Prepared records that several tests read."""

import json
from pathlib import Path

import pytest

from svdam.audio.front_ends import get_front_end
from svdam.core.front_end import FrontEnd
from svdam.core.tensorflow_io import load_tensorflow_io
from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.small_corpora import SPLITS, write_events, write_jamendo


@pytest.fixture
def tensorflow_io():
    """The module; tests that need it are skipped where it does not load."""
    try:
        return load_tensorflow_io("test")
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """A corpus of six songs, not to be changed."""
    return write_jamendo(tmp_path_factory.mktemp("corpus"), SPLITS)


@pytest.fixture(scope="session")
def records_folder(corpus, tmp_path_factory) -> Path:
    """Its records, not to be changed: shards so small that they hold a song or two."""
    output = tmp_path_factory.mktemp("records")
    prepare_data(
        PrepareSettings(
            output=str(output), dataset="jamendo", data_dir=str(corpus), shard_megabytes=0.1
        )
    )
    return output


@pytest.fixture
def records(records_folder):
    """The records, opened anew."""
    return open_records(records_folder)


@pytest.fixture(scope="session")
def events(tmp_path_factory) -> Path:
    """A folder of songs with dogs, sirens and cars, not to be changed."""
    return write_events(tmp_path_factory.mktemp("events"))


@pytest.fixture(scope="session")
def events_folder(events, tmp_path_factory) -> Path:
    """Its records with two targets, dogs and sirens, not to be changed."""
    output = tmp_path_factory.mktemp("events_records")
    prepare_data(
        PrepareSettings(
            output=str(output), dataset="folder", data_dir=str(events), labels=("dog", "siren")
        )
    )
    return output


ODD = dict(base="librosa", sample_rate=11025, window_length=400, hop_length=220, num_mels=37,
           min_hz=40, max_hz=5000, excerpt_frames=50)  # fmt: skip


@pytest.fixture(scope="session")
def odd_file(tmp_path_factory) -> str:
    """The JSON file of a front end of odd numbers: centred, of powers, in decibels."""
    path = tmp_path_factory.mktemp("front_end") / "odd.json"
    path.write_text(json.dumps(ODD))
    return str(path)


@pytest.fixture(scope="session")
def odd(odd_file) -> FrontEnd:
    """That front end."""
    return get_front_end(odd_file)


@pytest.fixture(scope="session")
def odd_records_folder(corpus, odd_file, tmp_path_factory) -> Path:
    """The records of the corpus with it, not to be changed."""
    output = tmp_path_factory.mktemp("odd_records")
    prepare_data(
        PrepareSettings(
            output=str(output), dataset="jamendo", data_dir=str(corpus), front_end=odd_file
        )
    )
    return output
