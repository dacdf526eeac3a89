"""Worker processes: songs that kill or stop them are lost alone."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from svdam.core.config import FRONT_END
from svdam.core.validation import InputError
from svdam.data.shards import piece_path
from svdam.data.song_worker import SongWorker, WorkerPool
from svdam.datasets.sources import SourceSong
from tests.data.small_corpora import write_tone


@pytest.fixture
def song(tmp_path):
    write_tone(tmp_path / "a.wav")

    def make(name="a", audio=None):
        return SourceSong(name, "train", audio or str(tmp_path / "a.wav"), "a.wav")

    return make


@pytest.fixture
def piece(tmp_path):
    """A function: the file of the record of a song, by its name."""
    return lambda name: piece_path(str(tmp_path), name)


@pytest.fixture
def worker(tmp_path):
    worker = SongWorker(str(tmp_path), "float32", FRONT_END, song_timeout_secs=60)
    yield worker
    worker.close()


def test_a_dead_worker_costs_one_song(worker, song, piece):
    assert worker.prepare(song("first")) is None
    pid = worker._process.pid
    os.kill(pid, signal.SIGSEGV)
    reason = worker.prepare(song("second"))
    assert "a.wav: decoding ended its process with SIGSEGV" in reason
    assert worker.prepare(song("third")) is None
    assert os.path.exists(piece("third")) and not os.path.exists(piece("second"))


def test_a_worker_that_hangs_is_given_up(song, tmp_path):
    worker = SongWorker(str(tmp_path), "float32", FRONT_END, song_timeout_secs=0.5)
    fifo = str(tmp_path / "endless.wav")
    os.mkfifo(fifo)  # Opening it waits for a writer that never comes.
    start = time.monotonic()
    reason = worker.prepare(song("hanging", fifo))
    assert "endless.wav: was abandoned after 0 s" in reason or "was abandoned after 1 s" in reason
    assert time.monotonic() - start < 15
    worker.close()


def test_a_worker_that_cannot_start_says_why(song, tmp_path, monkeypatch):
    """As on another machine, whose libraries are other ones."""
    (tmp_path / "numpy.py").write_text("raise ImportError('built for another')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = SongWorker(str(tmp_path), "float32", FRONT_END, song_timeout_secs=5)
    with pytest.raises(InputError, match=r"worker process did not start.*built for another"):
        worker.prepare(song())
    worker.close()


def test_unusual_input_is_told(worker, song, tmp_path, capfd):
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[40:44] = bytes(4)  # The size of the sound.
    (tmp_path / "cut off.wav").write_bytes(content)
    assert worker.prepare(song("b", str(tmp_path / "cut off.wav"))) is None
    shown = capfd.readouterr().err
    assert shown.startswith(f"warning: {tmp_path}/cut off.wav: its header says that 0 bytes of")
    assert shown.count("\n") == 1
    assert worker.prepare(song()) is None and capfd.readouterr().err == ""


def test_a_place_that_cannot_be_written_ends_the_job(song, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    worker = SongWorker(str(tmp_path / "file"), "float32", FRONT_END, song_timeout_secs=60)
    with pytest.raises(OSError, match=r"'.*file/unfinished/song-\w+.tfrecord'"):
        worker.prepare(song())
    worker.close()


def test_a_pool_keeps_the_order_and_survives_bad_songs(song, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    songs = [song(str(number)) for number in range(5)]
    songs.insert(2, song("bad", str(tmp_path / "bad.wav")))
    pool = WorkerPool(str(tmp_path), "float32", FRONT_END, 2, 20)
    results = list(pool.prepare(songs))
    pool.close()
    assert [done.id for done, _ in results] == ["0", "1", "bad", "2", "3", "4"]
    assert [reason is None for _, reason in results] == [True, True, False, True, True, True]


def test_a_long_recording_needs_little_more_than_its_log_mel(worker, song, piece, tmp_path):
    """An hour: 80 MB of log-mel, but 318 MB of samples, which are never there at once."""
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 8000, 1) as stream:
        for _ in range(60):
            stream.write(np.random.RandomState(0).randint(-99, 99, 480_000).astype(np.int16))
    assert worker.prepare(song("short")) is None
    before = _peak_megabytes(worker)
    assert worker.prepare(song("hour", str(path))) is None
    assert os.path.getsize(piece("hour")) > 80e6
    assert _peak_megabytes(worker) - before < 160


def _peak_megabytes(worker) -> float:
    status = Path(f"/proc/{worker._process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000
