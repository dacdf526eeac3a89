"""Files here and in object stores: nothing half-written, audio over HTTP, records on S3."""

import contextlib
import errno
import functools
import http.server
import importlib.util
import os
import random
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from svdam.core import storage
from svdam.core import tensorflow_io as loading
from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.stages.prepare_data import PrepareSettings, prepare_data

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("durable", [True, False])
def test_writing_leaves_nothing_half_written(tmp_path, durable):
    path = str(tmp_path / "deep" / "file")
    with pytest.raises(RuntimeError), storage.writing(path, durable) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert not list((tmp_path / "deep").iterdir())
    with storage.writing(path, durable) as stream:
        stream.write(b"whole")
    assert storage.read_bytes(path) == b"whole" and storage.read_range(path, 1, 3) == b"hol"


def test_room_is_reserved_before_anything_is_written(tmp_path):
    path = str(tmp_path / "file")
    with storage.writing(path, num_bytes=100_000) as stream:
        assert os.fstat(stream.fileno()).st_size == 100_000
        stream.write(b"less")
    assert storage.read_bytes(path) == b"less"
    other = str(tmp_path / "other")
    with pytest.raises(OSError) as caught, storage.writing(other, num_bytes=1 << 60):
        raise AssertionError("there is no such disk")
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG) and caught.value.filename == other
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(OSError) as caught, storage.writing(str(tmp_path / "file")) as stream:
        os.dup2(os.open("/dev/full", os.O_WRONLY), stream.fileno())
        stream.write(b"x" * 10_000)
        stream.flush()
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_walking_and_listing(tmp_path):
    for name in ("b/c/1", "b/0", "a"):
        with storage.writing(str(tmp_path / name)) as stream:
            stream.write(b"x")
    assert list(storage.walk(tmp_path)) == ["a", "b/0", "b/c/1"]
    assert list(storage.walk(tmp_path, lambda path: path != "b/c")) == ["a", "b/0"]
    assert storage.list_names(tmp_path) == ["a", "b"]
    storage.remove(str(tmp_path / "b"))
    storage.remove(str(tmp_path / "not there"))
    assert storage.list_names(tmp_path) == ["a"] and storage.list_names(tmp_path / "b") == []


def test_walking_follows_links_and_names_what_it_cannot_read(tmp_path, monkeypatch):
    for name in ("music/a", "elsewhere/b"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "music/disk").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "music")
    assert list(storage.walk(tmp_path / "music")) == ["a", "disk/b"]
    scan = os.scandir

    def locked(path):
        if str(path).endswith("disk"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(InputError, match="music/disk: permission denied"):
        list(storage.walk(tmp_path / "music"))


def test_threads_keep_the_order_and_hand_on_errors():
    def slow(number):
        time.sleep(0.002 * (number % 7))
        if number == 150:
            raise InputError("the 150th")
        return number * 2

    assert list(storage.in_threads(slow, range(100))) == list(range(0, 200, 2))
    with pytest.raises(InputError, match="the 150th"):
        list(storage.in_threads(slow, range(100, 10_000)))


def test_missing_files_are_named(tmp_path):
    for read in (storage.read_bytes, storage.size_and_time):
        with pytest.raises(InputError, match=r"nothing: no such file"):
            read(str(tmp_path / "nothing"))


def test_paths_and_web_addresses_are_joined():
    assert storage.join("s3://bucket/x/", "a b", "c") == "s3://bucket/x/a b/c"
    assert storage.join("http://host", "é.wav") == "http://host/%C3%A9.wav"
    assert storage.join("x", "y") == os.path.join("x", "y")


@pytest.mark.usefixtures("tensorflow_io")
def test_unknown_kinds_of_storage_are_refused():
    with pytest.raises(InputError, match=r"foo://: no such kind of storage; known are .*s3"):
        storage.exists("foo://bucket/x")


def test_a_missing_tensorflow_io_is_named(monkeypatch):
    loading._load.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    message = r"^s3://: needs tensorflow-io, which does not load here .*expected"
    try:
        with pytest.raises(InputError, match=message):
            loading.load_tensorflow_io("s3://")
    finally:
        loading._load.cache_clear()


class _Whole(http.server.SimpleHTTPRequestHandler):
    """Hands out whole files only, and counts requests."""

    def log_message(self, *arguments):
        self.server.requests += 1


class _Parts(_Whole):
    """Knows Range, as the servers of object stores do."""

    def do_GET(self):
        asked = self.headers.get("Range")
        if asked is None:
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        first, last = asked.removeprefix("bytes=").split("-")
        part = content[int(first) : int(last or len(content) - 1) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None


@contextlib.contextmanager
def _web_server(folder, handler):
    """Yields (address, server)."""
    made = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        server.requests, server.handle_error = 0, lambda *_: None  # Clients hang up early.
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", server
        server.shutdown()


@pytest.fixture
def web(corpus):
    """The corpus behind an HTTP server on the loopback."""
    with _web_server(corpus, _Whole) as (address, _):
        yield address


@pytest.mark.usefixtures("tensorflow_io")
def test_web_servers_that_know_no_range(tmp_path):
    content = random.Random(0).randbytes(2_000_000)  # More than tensorflow-io asks for at once.
    (tmp_path / "a.bin").write_bytes(content)
    with _web_server(tmp_path, _Whole) as (address, _):
        place = f"{address}/a.bin"
        assert storage.read_bytes(place) == content
        with storage.local_copy(place) as path:
            assert path.read_bytes() == content and path.suffix == ".bin"
        with pytest.raises(
            InputError, match=r"a\.bin: .*HTTP range requests.* copy the folder to this"
        ):
            storage.read_range(place, 1_500_000, 1000)
        with pytest.raises(InputError, match=r"b\.bin: "):
            storage.read_bytes(f"{address}/b.bin")
    with _web_server(tmp_path, _Parts) as (address, _):
        found = storage.read_range(f"{address}/a.bin", 1_500_000, 1000)
        assert found == content[1_500_000:1_501_000]


@pytest.mark.usefixtures("tensorflow_io")
def test_songs_of_remote_records_are_fetched_once(records, records_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path))

    def touch_all(opened):
        for song in records.songs():
            np.testing.assert_array_equal(opened.log_mel(song), records.log_mel(song))
            found = opened.frames(song, 20, 115)
            np.testing.assert_array_equal(found, records.frames(song, 20, 115))
            np.testing.assert_array_equal(opened.labels(song), records.labels(song))
            assert opened.label(song, 40) == records.label(song, 40)

    with _web_server(records_folder, _Parts) as (address, server):
        opened = open_records(address)
        assert opened.fingerprint == records.fingerprint
        touch_all(opened)
        for again in (opened, open_records(address)):
            before = server.requests
            touch_all(again)
            assert server.requests == before
        copies = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(copies) == len(records.songs())
        copies[0].write_bytes(copies[0].read_bytes()[:-1] + b"?")  # Damaged: fetched again.
        before = server.requests
        touch_all(open_records(address))
        assert server.requests > before


@pytest.mark.usefixtures("tensorflow_io")
def test_without_room_for_copies_excerpts_are_read_remotely(
    records, records_folder, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path / "file"))
    with _web_server(records_folder, _Parts) as (address, _):
        opened = open_records(address)
        for song in records.songs():
            found = opened.frames(song, 20, 115)
            np.testing.assert_array_equal(found, records.frames(song, 20, 115))
    assert capsys.readouterr().err.count("warning: ") == 1


@pytest.mark.usefixtures("tensorflow_io")
def test_audio_is_read_over_http(web, records, tmp_path):
    options = dict(output=str(tmp_path), dataset="jamendo", data_dir=web)
    prepare_data(PrepareSettings(**options, shard_megabytes=0.1, num_workers=1))
    assert open_records(tmp_path).fingerprint == records.fingerprint


@pytest.fixture
def bucket(monkeypatch):
    """An S3 bucket of a server on the loopback."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed: pip install svdam[test]")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    settings = {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_ENDPOINT": address,
        "S3_USE_HTTPS": "0",
        "S3_VERIFY_SSL": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(urllib.request.Request(f"{address}/songs", method="PUT"))
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.1)
        yield "s3://songs"
    finally:
        server.kill()
        server.wait()


@pytest.mark.usefixtures("tensorflow_io")
def test_records_are_written_to_s3_and_read_from_there(bucket, corpus, records, tmp_path):
    # A process of its own: tensorflow-io's S3 client aborts when its process ends normally.
    script = f"""
        import os
        from svdam.core.validation import InputError
        from svdam.core import storage
        from svdam.data.excerpts import clip_batches
        from svdam.stages.prepare_data import PrepareSettings, prepare_data
        from svdam.data.records import open_records

        place = {bucket!r} + "/records"
        for _ in range(2):
            prepare_data(PrepareSettings(
                output={str(tmp_path)!r}, storage=place, dataset="jamendo",
                data_dir={str(corpus)!r}, shard_megabytes=0.1, num_workers=1,
            ))
        print(storage.list_names(place))
        for folder in (place, {str(tmp_path)!r}):
            records = open_records(folder)
            batch = next(iter(clip_batches(records, batch_size=3, seed=0)))
            print(records.fingerprint, float(batch.numpy().astype(float).sum()), flush=True)
        storage.remove(storage.join(place, records.songs()[0].shard))
        try:
            open_records(place)
        except InputError as error:
            print(error, flush=True)
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    from svdam.data.excerpts import clip_batches

    total = float(
        next(iter(clip_batches(records, batch_size=3, seed=0))).numpy().astype(float).sum()
    )
    names, by_place, by_run, missing = done.stdout.splitlines()[-4:]  # prepare_data prints, too.
    assert "'manifest.json'" in names and "unfinished" not in names
    assert by_place == by_run == f"{records.fingerprint} {total}"
    assert "s3://songs/records/train-00000" in missing or "s3://songs/records/test" in missing
