"""Worker processes that make records, and may die.

Decoders of damaged files crash, hang and exhaust memory. Each worker is a process of its own that
takes one song after the other, as lines of JSON, and answers each with a line. When it dies or
takes too long, the song is lost, with a reason, and a new worker takes the next song.

A worker is started as a fresh interpreter: forking a process with TensorFlow's or Beam's threads
can hang the child.
"""

import base64
import contextlib
import json
import os
import pickle
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import svdam
from svdam.core import storage
from svdam.core.tensorflow_io import load_tensorflow_io
from svdam.core.validation import InputError, InputWarning, one_line
from svdam.data.songs import DECODERS, SongTask, prepare_song, write_piece

_START_SECS = 120
_REMOTE_SECS = 120  # For downloading, and for importing TensorFlow, which does it.
_SECS_PER_MEGABYTE = 4
_pools: "weakref.WeakSet[WorkerPool]" = weakref.WeakSet()


class SongWorker:
    """One worker process, started when the first song comes, and again whenever it has died."""

    def __init__(self, song_timeout_secs: float, decoder: str = DECODERS[0]):
        self._timeout_secs = song_timeout_secs
        self._decoder = decoder
        self._process: Any = None  # A subprocess.Popen with both pipes, while there is one.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115

    def prepare(self, task: SongTask) -> str | None:
        """Makes and writes one song's record.

        Returns:
            None if all went well, otherwise why the song has to be skipped.

        Raises:
            OSError: If the record could not be written, which would happen to every song.
        """
        if self._process is None:
            self._start()
        self._forget_messages()
        limit_secs = self._limit_secs(task)
        self._process.stdin.write(base64.b64encode(pickle.dumps(task)) + b"\n")
        try:
            self._process.stdin.flush()
            answer = self._answer(limit_secs)
        except BrokenPipeError:
            answer = b""
        if answer is None:
            self._end(kill=True)
            return (
                f"{task.audio}: was given up after {limit_secs:.0f} s: is damaged, or needs a "
                "longer --song_timeout"
            )
        if not answer:
            return f"{task.audio}: {self._cause_of_death()}"
        result = json.loads(answer)
        if "cannot_write" in result:
            raise OSError(0, result["cannot_write"], task.piece)
        for warning in result["warnings"]:
            print(f"warning: {warning}", file=sys.stderr)
        return result["reason"]

    def close(self) -> None:
        """Ends the process."""
        self._end(kill=False)
        self._messages.close()

    def kill(self) -> None:
        """Kills the process at once, whatever it is doing."""
        process = self._process
        if process is not None:
            process.kill()

    def _start(self) -> None:
        root = str(Path(svdam.__file__).resolve().parents[1])
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
            # One thread each: there are as many workers as processors.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "svdam.data.song_worker", self._decoder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            env=environment,
        )
        if not self._answer(_START_SECS):
            raise InputError(f"worker process did not start: {self._cause_of_death()}")

    def _limit_secs(self, task: SongTask) -> float:
        limit_secs = self._timeout_secs
        for file in (task.audio, *task.others):
            with contextlib.suppress(InputError):
                limit_secs += storage.size_and_time(file)[0] / 1e6 * _SECS_PER_MEGABYTE
        remote = any(
            storage.is_remote(path or "")
            for path in (task.audio, *task.others, task.labels, task.piece)
        )
        return limit_secs + (_REMOTE_SECS if remote else 0)

    def _answer(self, limit_secs: float) -> bytes | None:
        """The worker's next line; empty if it died, None if it took too long."""
        deadline, line = time.monotonic() + limit_secs, b""
        descriptor = self._process.stdout.fileno()
        while not line.endswith(b"\n"):
            left_secs = deadline - time.monotonic()
            if left_secs <= 0 or not select.select([descriptor], [], [], left_secs)[0]:
                return None
            block = os.read(descriptor, 65536)
            if not block:
                return b""
            line += block
        return line

    def _cause_of_death(self) -> str:
        status = self._end(kill=False)
        self._messages.seek(0)
        lines = self._messages.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        last = f" ({one_line(ValueError(lines[-1]), 120)})" if lines else ""
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"decoding ended its process with {how}{last}: the file is damaged"

    def _forget_messages(self) -> None:
        """Decoders may print a lot; only what belongs to the song in work is of use."""
        self._messages.seek(0)
        self._messages.truncate()

    def _end(self, kill: bool) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(OSError):
            process.stdin.close()  # The worker leaves when there are no more lines.
        if kill:
            process.kill()
        try:
            status = process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        process.stdout.close()
        return status


class WorkerPool:
    """Several workers. Songs go to whichever is free."""

    def __init__(self, num_workers: int, song_timeout_secs: float, decoder: str = DECODERS[0]):
        self._workers = [SongWorker(song_timeout_secs, decoder) for _ in range(num_workers)]
        self._interrupted = threading.Event()
        _pools.add(self)

    def prepare(self, tasks: Sequence[SongTask]) -> Iterator[tuple[SongTask, str | None]]:
        """Makes records; yields each task, in order, with the reason to skip it or None."""
        free: queue.Queue[SongWorker] = queue.Queue()
        for worker in self._workers:
            free.put(worker)

        def prepare_one(task: SongTask) -> str | None:
            """Makes one record with the next free worker; the reason to skip the song, or None."""
            worker = free.get()
            try:
                reason = None if self._interrupted.is_set() else worker.prepare(task)
                if self._interrupted.is_set():
                    raise InterruptedError
                return reason
            finally:
                free.put(worker)

        with ThreadPoolExecutor(len(self._workers)) as threads:
            try:
                yield from zip(tasks, threads.map(prepare_one, tasks), strict=True)
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise

    def close(self) -> None:
        """Ends all workers."""
        for worker in self._workers:
            worker.close()

    def interrupt(self) -> None:
        """Gives up the songs in work; `prepare` then raises InterruptedError."""
        self._interrupted.set()
        for worker in self._workers:
            worker.kill()


def interrupt_all() -> None:
    """Interrupts every pool of this process."""
    for pool in list(_pools):
        pool.interrupt()


def _serve(decoder: str) -> None:
    """The worker process: answers each line of JSON on standard input with one line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends us.
    # Decoders print: only answers may reach the parent.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    if decoder == "tfio":  # Now, because importing it takes longer than a song may.
        load_tensorflow_io("--decoder=tfio")
    answers.write(b"ready\n")
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_result(pickle.loads(base64.b64decode(line)))).encode() + b"\n")


def _result(task: SongTask) -> dict[str, Any]:
    """The answer to a task: why the song has to be skipped, or None, and warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = _prepared(task)
    shown = [str(warning.message) for warning in caught if warning.category is InputWarning]
    return {**result, "warnings": shown}


def _prepared(task: SongTask) -> dict[str, Any]:
    try:
        example = prepare_song(task)
    except InputError as error:
        return {"reason": str(error)}
    except MemoryError:
        return {"reason": f"{task.audio}: needs more memory than there is: is damaged or too long"}
    except Exception as error:  # A decoder may raise anything; the song is named.
        return {"reason": f"{task.audio}: {type(error).__name__}: {one_line(error)}"}
    try:
        write_piece(task, example)
    except OSError as error:
        return {"cannot_write": error.strerror or str(error)}
    except InputError as error:
        return {"cannot_write": str(error).removeprefix(f"{task.piece}: ")}
    return {"reason": None}


if __name__ == "__main__":
    _serve(sys.argv[1])
    # tensorflow-io's S3 client aborts in its destructors; nothing is left to be done by then.
    os._exit(0)
