"""The built-in corpus: rendered and prepared once."""

import functools
from pathlib import Path

import pytest

from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.stages import builtin_records as builtin
from svdam.stages.builtin_records import resolve_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data

TINY = {"num_songs": 3, "song_secs": 3.0}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(builtin, "PrepareSettings", functools.partial(PrepareSettings, **TINY))
    return tmp_path / "cache"


def test_rendered_and_prepared_once_and_mended(cache, capsys, tmp_path):
    folder = resolve_records("builtin")
    assert "preparing the built-in corpus, once, in" in capsys.readouterr().err
    records = open_records(folder)
    assert {song.split for song in records.songs()} == {"train", "valid", "test"}
    assert all(song.has_labels for song in records.songs()) and len(records.songs()) == 3
    times = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    assert resolve_records("builtin") == folder and capsys.readouterr().err == ""
    assert times == {path: path.stat().st_mtime_ns for path in times}

    # The command prepares the same records, from the same rendered songs.
    settings = PrepareSettings(output=str(tmp_path / "run"), dataset="builtin", **TINY)
    prepare_data(settings)
    assert open_records(tmp_path / "run").fingerprint == records.fingerprint

    (Path(folder) / records.songs("train")[0].shard).unlink()
    assert open_records(resolve_records("builtin")).fingerprint == records.fingerprint


def test_other_values_are_paths_or_addresses():
    assert resolve_records("runs/data") == Path("runs/data")
    assert resolve_records("s3://bucket/records") == "s3://bucket/records"


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot be written .*set SVDAM_CACHE"):
        resolve_records("builtin")
