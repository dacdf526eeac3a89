"""Prepared records that several tests read."""

from pathlib import Path

import pytest

from svdam.core.tensorflow_io import load_tensorflow_io
from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.small_corpora import SPLITS, write_jamendo


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
