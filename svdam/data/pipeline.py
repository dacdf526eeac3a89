"""The parallel part of `prepare_data`, on Apache Beam.

Two pipelines: songs to records, and records to shards. Both hand their results on through the
records folder alone, so any Beam runner whose workers reach that folder can run them. Within each
Beam worker, decoding happens in `num_workers` processes of their own (see `song_worker`): with the
default DirectRunner they are this machine's, and Beam's own start takes less than a second.
"""

import contextlib
import copy
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from svdam.core.progress import progress
from svdam.core.validation import InputError, one_line
from svdam.data import storage
from svdam.data.shards import (
    SHARD_SUFFIX,
    SKIPPED_SUFFIX,
    UNFINISHED,
    ShardPlan,
    remove_pieces,
    write_shard,
    write_skipped,
)
from svdam.data.song_worker import WorkerPool, interrupt_all
from svdam.data.songs import DECODERS, SongTask

_SONGS_PER_WORKER = 16  # Of a batch: workers wait for the slowest only at its end.
_POLL_SECS, _REMOTE_POLL_SECS = 0.2, 10.0
_POLL_SHARE = 100  # Counting takes at most one part in so many of the time.


class Engine(NamedTuple):
    """What runs the pipelines.

    Attributes:
        num_workers: Decoding processes of each Beam worker.
        song_timeout_secs: Seconds that a song may take, beside 4 s for each megabyte.
        decoder: One of `songs.DECODERS`.
        beam_runner: Name of a Beam runner.
        beam_options: Its options, as ``--name=value``.
    """

    num_workers: int
    song_timeout_secs: float
    decoder: str = DECODERS[0]
    beam_runner: str = "DirectRunner"
    beam_options: tuple[str, ...] = ()


def run_songs(tasks: list[SongTask], root: str, engine: Engine) -> None:
    """Makes the records of songs, each in a file of its own, or a note why there is none."""
    if not tasks:
        return
    size = _SONGS_PER_WORKER * engine.num_workers
    batches = [tasks[start : start + size] for start in range(0, len(tasks), size)]

    def count() -> int:
        names = storage.list_names(storage.join(root, UNFINISHED))
        return sum(name.endswith((SHARD_SUFFIX, SKIPPED_SUFFIX)) for name in names)

    pool = PooledSongs(root, engine.num_workers, engine.song_timeout_secs, engine.decoder)
    _run_beam(batches, pool, engine, root, len(tasks), count, "songs to log-mel", "song")


def run_shards(plans: list[ShardPlan], root: str, engine: Engine) -> None:
    """Writes shards into ``unfinished/`` by copying records, and removes the songs' own files."""
    if not plans:
        return
    tasks = [
        (
            plan.name,
            [(found.path, found.record.start, found.record.length) for found in plan.records],
        )
        for plan in plans
    ]
    names = {plan.name for plan in plans}

    def count() -> int:
        return len(names.intersection(storage.list_names(storage.join(root, UNFINISHED))))

    _run_beam(tasks, CopiedShard(root), engine, root, len(tasks), count, "shards", "shard")


class PooledSongs:
    """What each Beam worker does with a batch of songs."""

    def __init__(self, root: str, num_workers: int, song_timeout_secs: float, decoder: str):
        self._root = root
        self._pool_arguments = num_workers, song_timeout_secs, decoder
        self._pool: WorkerPool | None = None

    def process(self, tasks: list[SongTask]) -> None:
        """Makes the records of a batch."""
        if self._pool is None:
            self._pool = WorkerPool(*self._pool_arguments)
        for task, reason in self._pool.prepare(tasks):
            if reason is not None:
                write_skipped(self._root, task.id, reason)

    def teardown(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


class CopiedShard:
    """What each Beam worker does with a planned shard."""

    def __init__(self, root: str):
        self._root = root

    def process(self, task: tuple[str, list[tuple[str, int, int]]]) -> None:
        """Writes a shard."""
        name, stretches = task
        write_shard(storage.join(self._root, UNFINISHED, name), stretches)
        remove_pieces(stretches, self._root)

    def teardown(self) -> None:
        """Nothing to end."""


def _run_beam(
    elements: list[Any],
    stage: Any,
    engine: Engine,
    root: str,
    total: int,
    count: Callable[[], int],
    description: str,
    unit: str,
) -> None:
    """Runs ``stage`` over ``elements``, with a bar that counts the files as they appear."""
    before = count()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _run_pipeline(elements, stage, engine)
        except BaseException as error:  # Handed on to the waiting thread.
            failures.append(error)

    wait_secs = _REMOTE_POLL_SECS if storage.is_remote(root) else _POLL_SECS
    thread = threading.Thread(target=run, name="beam", daemon=True)
    with progress(total=total, description=description, unit=unit) as bar:
        thread.start()
        try:
            while thread.is_alive():
                thread.join(wait_secs)
                start = time.monotonic()
                bar.update(min(total, max(0, count() - before)) - bar.n)
                # Counting a hundred thousand files takes its time.
                wait_secs = max(wait_secs, _POLL_SHARE * (time.monotonic() - start))
        except BaseException:
            interrupt_all()
            thread.join()
            raise
    if failures:
        error = failures[0]
        if isinstance(error, InputError):
            raise error
        raise InputError(f"--beam_runner={engine.beam_runner}: {one_line(error)}") from error


def _run_pipeline(elements: list[Any], stage: Any, engine: Engine) -> None:
    with _quiet_logging():
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

    class Apply(beam.DoFn):
        """Calls a stage of its own, which knows nothing of Beam."""

        def setup(self) -> None:
            # A runner with several threads has several of these in one process.
            self._stage = copy.copy(stage)

        def process(self, element: Any) -> None:
            self._stage.process(element)

        def teardown(self) -> None:
            self._stage.teardown()

    arguments = [f"--runner={engine.beam_runner}", *engine.beam_options]
    local = engine.beam_runner == "DirectRunner"
    if local:
        # Beam's own multi-processing would start slowly, and lose the job with a worker.
        arguments[1:1] = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
    with _quiet_logging() if local else contextlib.nullcontext():
        pipeline = beam.Pipeline(options=PipelineOptions(arguments))
        _ = pipeline | beam.Create(elements) | beam.Reshuffle() | beam.ParDo(Apply())
        pipeline.run().wait_until_finish()


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Keeps Beam's notes on missing extras, and its copies of exceptions, off the screen."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(previous)
