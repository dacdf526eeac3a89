"""The built-in corpus: rendered and prepared once."""

import functools
from pathlib import Path

import pytest

from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.stages import inputs
from svdam.stages.inputs import input_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data

TINY = {"num_songs": 3, "song_secs": 3.0}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(inputs, "PrepareSettings", functools.partial(PrepareSettings, **TINY))
    return tmp_path / "cache"


def test_rendered_and_prepared_once_and_mended(cache, capsys, tmp_path):
    records = input_records("builtin")
    assert "rendering the built-in corpus, once, in" in capsys.readouterr().err
    assert {song.split for song in records.songs()} == {"train", "valid", "test"}
    assert all(song.has_labels for song in records.songs()) and len(records.songs()) == 3
    times = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    assert input_records("builtin").folder == records.folder and capsys.readouterr().err == ""
    assert times == {path: path.stat().st_mtime_ns for path in times}

    # The command prepares the same records, from the same rendered songs.
    settings = PrepareSettings(output=str(tmp_path / "run"), dataset="builtin", **TINY)
    prepare_data(settings)
    assert open_records(tmp_path / "run").fingerprint == records.fingerprint

    (Path(records.folder) / records.songs("train")[0].shard).unlink()
    assert input_records("builtin").fingerprint == records.fingerprint


def test_other_values_are_paths_or_addresses(monkeypatch):
    opened = []
    monkeypatch.setattr(inputs, "open_records", opened.append)
    input_records("runs/data")
    input_records("s3://bucket/records")
    assert opened == [Path("runs/data"), "s3://bucket/records"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot be written .*set SVDAM_CACHE"):
        input_records("builtin")
