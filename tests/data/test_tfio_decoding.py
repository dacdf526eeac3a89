"""Decoding by tensorflow-io: right where it is let through, refused where it would not be."""

import sys

import numpy as np
import pytest

from svdam.audio.decoding import load_audio
from svdam.core import tensorflow_io as loading
from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.data.song_worker import SongWorker
from svdam.data.songs import SongTask
from svdam.data.tfio_decoding import tfio_blocks
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.damaged_files import all_files, encoded, id3v2, sound, write_files


@pytest.mark.usefixtures("tensorflow_io")
@pytest.mark.parametrize(
    ("suffix", "subtype", "rate"),
    [
        ("wav", "PCM_16", 22050),
        ("wav", "PCM_24", 44100),
        ("wav", "PCM_U8", 22050),
        ("wav", "FLOAT", 22050),
        ("flac", "PCM_16", 22050),
        ("flac", "PCM_24", 48000),
        ("flac", "PCM_S8", 22050),
        ("ogg", "VORBIS", 44100),
        ("mp3", "MPEG_LAYER_III", 44100),
    ],
)
def test_gives_the_samples_of_the_usual_decoder(tmp_path, suffix, subtype, rate):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encoded(suffix, sound(rate, channels=2), rate, subtype))
    found = np.concatenate(list(tfio_blocks(path)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, load_audio(path), atol=2e-5)


@pytest.mark.usefixtures("tensorflow_io")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ogg", b"", "a.ogg: header is damaged, or of no audio"),
        ("a.flac", encoded("flac")[:60], "a.flac: header is damaged"),
        ("a.wav", encoded("wav", subtype="PCM_32"), "is WAV with PCM_32, which --decoder=tfio"),
        ("a.opus", encoded("opus"), "is OGG with OPUS, which --decoder=tfio does not read right"),
        ("a.aiff", encoded("aiff"), "is AIFF with PCM_16"),
        ("a.mp3", id3v2(70_000), "header is damaged"),
        ("nan.wav", encoded("wav", sound() * np.nan, subtype="FLOAT"), "not finite"),
        ("a.wav", encoded("wav")[:40] + bytes(4) + encoded("wav")[44:], "holds more than its head"),
        ("a.ogg", encoded("ogg") * 2, "a.ogg: holds more than its header says"),
        ("a.mp3", encoded("mp3") * 2, "a.mp3: holds more than its header says"),
    ],
)
def test_what_it_would_not_survive_or_get_wrong_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(tfio_blocks(path))


@pytest.mark.usefixtures("tensorflow_io")
def test_prepares_records_of_its_own(tmp_path):
    """They agree with the usual ones, and are not taken for them."""
    (tmp_path / "music").mkdir()
    (tmp_path / "music/a.ogg").write_bytes(encoded("ogg"))
    (tmp_path / "music/b.flac").write_bytes(encoded("flac")[:9000])
    options = dict(dataset="folder", data_dir=str(tmp_path / "music"), num_workers=1)
    options |= dict(output=str(tmp_path / "out"), split_ratios=(1, 0, 0))
    prepare_data(PrepareSettings(**options))
    usual = open_records(tmp_path / "out")
    usual_log_mel = usual.log_mel(usual.songs()[0])
    prepare_data(PrepareSettings(**options, decoder="tfio"))
    other = open_records(tmp_path / "out")
    assert [song.id for song in other.songs()] == ["a.ogg"] == [s.id for s in usual.songs()]
    assert "b.flac: " in other.manifest["skipped"][0]["reason"]
    np.testing.assert_allclose(other.log_mel(other.songs()[0]), usual_log_mel, atol=2e-2)
    assert other.songs()[0].fingerprint != usual.songs()[0].fingerprint


@pytest.mark.usefixtures("tensorflow_io")
def test_damaged_files_cost_themselves_alone(tmp_path):
    """Empty files, and streams with flipped bits; one keeps its decoder busy for ever."""
    suffixes = (".wav", ".flac", ".ogg", ".mp3")
    chosen = {
        name: content
        for name, content in all_files().items()
        if name.endswith(suffixes)
        and name.startswith(("any-body-flips-4.", "refuse-e", "read-whole"))
    }
    write_files(tmp_path / "music", chosen)
    settings = PrepareSettings(
        output=str(tmp_path / "out"),
        dataset="folder",
        data_dir=str(tmp_path / "music"),
        split_ratios=(1, 0, 0),
        num_workers=2,
        song_timeout=3,
        decoder="tfio",
    )
    manifest = prepare_data(settings)
    read = {song["id"] for song in manifest["songs"]}
    reasons = {song["id"]: song["reason"] for song in manifest["skipped"]}
    assert len(chosen) > 10 and read | reasons.keys() == chosen.keys() and not read & reasons.keys()
    assert {f"read-whole{suffix}" for suffix in suffixes} <= read
    for name, reason in reasons.items():
        assert f"{name}: " in reason and "{{" not in reason and "[Op" not in reason


def test_a_missing_tensorflow_io_is_named(tmp_path, monkeypatch):
    loading._load.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    options = dict(output=str(tmp_path / "x"), dataset="folder", data_dir=str(tmp_path))
    message = "^--decoder=tfio: needs tensorflow-io, which does not load here .*expected"
    try:
        with pytest.raises(InputError, match=message):
            prepare_data(PrepareSettings(**options, decoder="tfio"))
        assert not (tmp_path / "x").exists()
    finally:
        loading._load.cache_clear()


def test_a_worker_that_cannot_start_says_why(tmp_path, monkeypatch):
    """As on another machine, whose TensorFlow is another one."""
    (tmp_path / "tensorflow_io.py").write_text("raise ImportError('built for another')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = SongWorker(5, "tfio")
    task = SongTask("a", "a.wav", "a.wav", None, "float32", str(tmp_path / "a"), "tfio")
    with pytest.raises(InputError, match=r"worker process did not start.*built for another"):
        worker.prepare(task)
    worker.close()
