"""Files here and in object stores: nothing half-written, audio over HTTP, records on S3."""

import functools
import http.server
import importlib.util
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from svdam.core.validation import InputError
from svdam.data import storage
from svdam.data.records import open_records

ROOT = Path(__file__).resolve().parents[2]


def test_writing_leaves_nothing_half_written(tmp_path):
    path = str(tmp_path / "deep" / "file")
    with pytest.raises(RuntimeError), storage.writing(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert not list((tmp_path / "deep").iterdir())
    with storage.writing(path) as stream:
        stream.write(b"whole")
    assert storage.read_bytes(path) == b"whole" and storage.read_range(path, 1, 3) == b"hol"


def test_walking_and_listing(tmp_path):
    for name in ("b/c/1", "b/0", "a"):
        with storage.writing(str(tmp_path / name)) as stream:
            stream.write(b"x")
    assert list(storage.walk(tmp_path)) == ["a", "b/0", "b/c/1"]
    assert storage.list_names(tmp_path) == ["a", "b"]
    storage.remove(str(tmp_path / "b"))
    storage.remove(str(tmp_path / "not there"))
    assert storage.list_names(tmp_path) == ["a"] and storage.list_names(tmp_path / "b") == []


def test_missing_files_are_named(tmp_path):
    for read in (storage.read_bytes, storage.size_and_time):
        with pytest.raises(InputError, match=r"nothing: no such file"):
            read(str(tmp_path / "nothing"))


def test_paths_and_web_addresses_are_joined():
    assert storage.join("s3://bucket/x/", "a b", "c") == "s3://bucket/x/a b/c"
    assert storage.join("http://host", "é.wav") == "http://host/%C3%A9.wav"
    assert storage.join("x", "y") == os.path.join("x", "y")


def test_unknown_kinds_of_storage_are_refused():
    with pytest.raises(InputError, match=r"foo://: no such kind of storage; known are .*s3"):
        storage.exists("foo://bucket/x")


@pytest.fixture
def web(corpus):
    """The corpus behind an HTTP server on the loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(corpus))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_audio_is_read_over_http(web, records, tmp_path):
    flags = [f"--output={tmp_path}", "--dataset=jamendo", f"--data_dir={web}"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "svdam.prepare_data",
            *flags,
            "--shard_megabytes=0.1",
            "--num_workers=1",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
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


def test_records_are_written_to_s3_and_read_from_there(bucket, corpus, records, tmp_path):
    # A process of its own: tensorflow-io's S3 client aborts when its process ends normally.
    script = f"""
        import os
        from svdam.core.validation import InputError
        from svdam.data import storage
        from svdam.data.excerpts import clip_batches
        from svdam.data.preparation import PrepareSettings, prepare_data
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
    names, by_place, by_run, missing = done.stdout.splitlines()
    assert "'manifest.json'" in names and "unfinished" not in names
    assert by_place == by_run == f"{records.fingerprint} {total}"
    assert "s3://songs/records/train-00000" in missing or "s3://songs/records/test" in missing
