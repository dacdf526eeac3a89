"""Worker processes that make records, and may die.

Decoders of damaged files crash, hang and exhaust memory. Each worker is a process of its own that
is sent one song after the other, and answers each. When it dies or takes too long, the song is
lost, with a reason, and a new worker takes the next song.

A worker is started as a fresh interpreter, which imports nothing of the caller's program: forking a
process with TensorFlow's or Beam's threads can hang the child, and multiprocessing's other ways to
start one run the caller's main module again.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from svdam.core import storage
from svdam.core.front_end import FrontEnd
from svdam.core.processors import worker_environment
from svdam.core.validation import InputError, InputWarning, one_line
from svdam.data.shards import piece_path
from svdam.data.songs import prepare_song, write_piece
from svdam.datasets.sources import SourceSong

_START_SECS = 120
_REMOTE_SECS = 120  # For downloading, and for importing TensorFlow, which does it.
_SECS_PER_MEGABYTE = 4


class SongWorker:
    """One worker process, started when the first song comes, and again whenever it has died."""

    def __init__(self, root: str, dtype: str, front_end: FrontEnd, song_timeout_secs: float):
        """Starts nothing yet.

        Args:
            root: The records folder.
            dtype: Number type of the log-mel.
            front_end: How the log-mel is computed.
            song_timeout_secs: Seconds that a song may take, in addition to 4 s for each megabyte.
        """
        self._root, self._dtype, self._front_end = root, dtype, front_end
        self._timeout_secs = song_timeout_secs
        self._process: subprocess.Popen | None = None
        self._connection: Any = None  # To the process, while there is one.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115

    def prepare(self, song: SourceSong) -> str | None:
        """Makes and writes one song's record.

        Returns:
            None if all went well, otherwise why the song has to be skipped.

        Raises:
            OSError: If the record could not be written, which would happen to every song.
        """
        if self._process is None:
            self._start()
        # Decoders may print a lot; only what belongs to the song in work is of use.
        self._messages.seek(0)
        self._messages.truncate()
        limit_secs = self._limit_secs(song)
        try:
            self._connection.send(song)
            if not self._connection.poll(limit_secs):
                self._end(kill=True)
                return (
                    f"{song.audio}: was abandoned after {limit_secs:.0f} s: it is damaged, or "
                    "needs a longer --song_timeout"
                )
            reason, cannot_write, warned = self._connection.recv()
        except (EOFError, OSError):
            return f"{song.audio}: {self._cause_of_death()}"
        if cannot_write:
            raise OSError(0, cannot_write, piece_path(self._root, song.id))
        for warning in warned:
            print(f"warning: {warning}", file=sys.stderr)
        return reason

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
        self._connection, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            front_end = json.dumps(self._front_end.to_dict())
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", __name__, str(descriptor)),
                    *(self._root, self._dtype, front_end),
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._messages,
                stderr=self._messages,
                env=worker_environment(),
                pass_fds=[descriptor],
            )
        try:
            if self._connection.poll(_START_SECS):
                self._connection.recv()
                return
        except EOFError:
            pass
        raise InputError(f"worker process did not start: {self._cause_of_death()}")

    def _limit_secs(self, song: SourceSong) -> float:
        files = (song.audio, *song.others)
        limit_secs = self._timeout_secs
        for file in files:
            with contextlib.suppress(InputError):
                limit_secs += storage.size_and_time(file)[0] / 1e6 * _SECS_PER_MEGABYTE
        remote = any(map(storage.is_remote, (*files, song.labels or "", self._root)))
        return limit_secs + (_REMOTE_SECS if remote else 0)

    def _cause_of_death(self) -> str:
        status = self._end(kill=False)
        self._messages.seek(0)
        lines = self._messages.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        last = f" ({one_line(ValueError(lines[-1]), 120)})" if lines else ""
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"decoding ended its process with {how}{last}: the file is damaged"

    def _end(self, kill: bool) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        self._connection.close()  # The worker leaves when there are no more songs.
        if kill:
            process.kill()
        try:
            return process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


class WorkerPool:
    """Several workers. Songs go to whichever is free."""

    def __init__(
        self,
        root: str,
        dtype: str,
        front_end: FrontEnd,
        num_workers: int,
        song_timeout_secs: float,
    ):
        self._workers = [
            SongWorker(root, dtype, front_end, song_timeout_secs) for _ in range(num_workers)
        ]

    def prepare(self, songs: Sequence[SourceSong]) -> Iterator[tuple[SourceSong, str | None]]:
        """Makes records; yields each song, in order, with the reason to skip it or None.

        What ends it early, as Ctrl-C, ends the workers at once.
        """
        free: queue.Queue[SongWorker] = queue.Queue()
        for worker in self._workers:
            free.put(worker)
        given_up = threading.Event()

        def prepare_one(song: SourceSong) -> str | None:
            """Makes one record with the next free worker; the reason to skip the song, or None."""
            worker = free.get()
            try:
                return None if given_up.is_set() else worker.prepare(song)
            finally:
                free.put(worker)

        with ThreadPoolExecutor(len(self._workers)) as threads:
            try:
                yield from zip(songs, threads.map(prepare_one, songs), strict=True)
            except BaseException:
                given_up.set()
                for worker in self._workers:
                    worker.kill()
                raise

    def close(self) -> None:
        """Ends all workers."""
        for worker in self._workers:
            worker.close()


def _serve(descriptor: int, root: str, dtype: str, front_end: FrontEnd) -> None:
    """The worker process: answers each song with what `_result` returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends us.
    with Connection(descriptor) as connection, contextlib.suppress(EOFError):
        connection.send("ready")
        while True:
            connection.send(_result(connection.recv(), root, dtype, front_end))


def _result(
    song: SourceSong, root: str, dtype: str, front_end: FrontEnd
) -> tuple[str | None, str | None, list[str]]:
    """(why the song has to be skipped or None, why nothing can be written or None, warnings)."""
    reason = cannot_write = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            example = prepare_song(song, dtype, front_end)
        except InputError as error:
            reason = str(error)
        except MemoryError:
            reason = f"{song.audio}: needs more memory than is available: it is damaged or too long"
        except Exception as error:  # A decoder may raise anything; the song is named.
            reason = f"{song.audio}: {type(error).__name__}: {one_line(error)}"
        else:
            piece = piece_path(root, song.id)
            try:
                write_piece(piece, example)
            except OSError as error:
                cannot_write = error.strerror or str(error)
            except InputError as error:
                cannot_write = str(error).removeprefix(f"{piece}: ")
    shown = [str(warning.message) for warning in caught if warning.category is InputWarning]
    return reason, cannot_write, shown


if __name__ == "__main__":
    _descriptor, _root, _dtype, _fields = sys.argv[1:]
    _serve(int(_descriptor), _root, _dtype, FrontEnd(**json.loads(_fields)))
    # tensorflow-io's S3 client aborts in its destructors; nothing is left to be done by then.
    os._exit(0)
