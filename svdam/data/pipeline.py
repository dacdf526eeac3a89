"""The parallel part of `prepare_data`, on Apache Beam.

Two stages: songs to records, and records to shards. Both hand their results on through the records
folder alone, so any Beam runner whose workers reach that folder can run them. Within each Beam
worker, decoding happens in `num_workers` processes of their own (see `song_worker`): with the
default DirectRunner they are this machine's, and Beam's own start takes less than a second.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from svdam.core import storage
from svdam.core.beam import DIRECT_RUNNER, Stage, run_stage
from svdam.core.progress import progress
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

# Of a batch, at whose end decoding processes wait for the slowest. Small enough that the batches of
# a data set can be shared out among many Beam workers; the DirectRunner is only one.
_SONGS_PER_WORKER, _SONGS_PER_LOCAL_WORKER = 16, 256


class Engine(NamedTuple):
    """What runs the stages.

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
    beam_runner: str = DIRECT_RUNNER
    beam_options: tuple[str, ...] = ()


def run_songs(tasks: list[SongTask], root: str, engine: Engine) -> None:
    """Makes the records of songs, each in a file of its own, or a note why there is none."""
    local = engine.beam_runner == DIRECT_RUNNER
    songs_per_worker = _SONGS_PER_LOCAL_WORKER if local else _SONGS_PER_WORKER
    batches = _batches(tasks, songs_per_worker * engine.num_workers)

    def count() -> int:
        names = storage.list_names(storage.join(root, UNFINISHED))
        return sum(name.endswith((SHARD_SUFFIX, SKIPPED_SUFFIX)) for name in names)

    _run(batches, PooledSongs(root, engine), engine, len(tasks), count, "songs to log-mel", "song")


def run_shards(plans: list[ShardPlan], root: str, engine: Engine) -> None:
    """Writes shards into ``unfinished/`` by copying records, and removes the songs' own files."""
    tasks = [
        (
            plan.name,
            [(found.path, found.record.start, found.record.length) for found in plan.records],
        )
        for plan in plans
    ]
    wanted = {plan.name for plan in plans}
    batches = _batches(tasks, engine.num_workers)

    def count() -> int:
        return len(wanted.intersection(storage.list_names(storage.join(root, UNFINISHED))))

    _run(batches, CopiedShards(root), engine, len(tasks), count, "shards", "shard")


class PooledSongs(Stage):
    """Makes the records of batches of songs, in worker processes that it starts with the first."""

    def __init__(self, root: str, engine: Engine):
        self._root, self._engine = root, engine
        self._pool: WorkerPool | None = None

    def process(self, tasks: list[SongTask]) -> None:
        """Makes the records of a batch."""
        if self._pool is None:
            engine = self._engine
            self._pool = WorkerPool(engine.num_workers, engine.song_timeout_secs, engine.decoder)
        for task, reason in self._pool.prepare(tasks):
            if reason is not None:
                write_skipped(self._root, task.id, reason)

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


class CopiedShards(Stage):
    """Writes batches of planned shards, each in a thread of its own."""

    def __init__(self, root: str):
        self._root = root

    def process(self, tasks: list[tuple[str, list[tuple[str, int, int]]]]) -> None:
        """Writes shards: the name of each, and (file, start, length) of each of its records."""
        for _ in storage.in_threads(self._write, tasks):
            pass

    def _write(self, task: tuple[str, list[tuple[str, int, int]]]) -> None:
        name, stretches = task
        write_shard(storage.join(self._root, UNFINISHED, name), stretches)
        remove_pieces(stretches, self._root)


def _batches(tasks: list[Any], size: int) -> list[list[Any]]:
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]


def _run(
    elements: list[Any],
    stage: Stage,
    engine: Engine,
    total: int,
    count: Callable[[], int],
    description: str,
    unit: str,
) -> None:
    """Runs ``stage`` over ``elements``, with a bar that counts the files as they appear."""
    if not elements:
        return
    before = count()
    with progress(total=total, description=description, unit=unit) as bar:
        run_stage(
            elements,
            stage,
            engine.beam_runner,
            engine.beam_options,
            watch=lambda: bar.update(min(total, max(0, count() - before)) - bar.n),
            interrupt=interrupt_all,
        )
