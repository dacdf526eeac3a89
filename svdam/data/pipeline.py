"""The parallel part of `prepare_data`: songs to records, and records to shards.

On one machine a pool of worker processes makes the records, and threads copy them into shards. With
the name of a Beam runner, its workers do the same in batches, each with a pool of its own. Results
are handed on through the records folder alone, so any runner whose workers reach it will do.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from svdam.core import storage
from svdam.core.beam import Advance, Stage, ignore, run_stage
from svdam.core.front_end import FrontEnd
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
from svdam.data.song_worker import WorkerPool
from svdam.datasets.sources import SourceSong

# Of a batch for Beam, at whose end decoding processes wait for the slowest. Small enough that the
# batches of a data set can be shared out among many workers.
_SONGS_PER_PROCESS = 16


class Engine(NamedTuple):
    """What runs the stages.

    Attributes:
        num_workers: Decoding processes of this machine, or of each Beam worker.
        song_timeout_secs: Seconds that a song may take, in addition to 4 s for each megabyte.
        beam_runner: Name of a Beam runner; None for this machine.
        beam_options: Its options, as ``--name=value``.
    """

    num_workers: int
    song_timeout_secs: float
    beam_runner: str | None = None
    beam_options: tuple[str, ...] = ()


class _Copies(NamedTuple):
    """A shard to be written: its name, and (file, start, length) of each of its records."""

    name: str
    stretches: list[tuple[str, int, int]]


def run_songs(
    songs: list[SourceSong], root: str, dtype: str, front_end: FrontEnd, engine: Engine
) -> None:
    """Makes the records of songs, each in a file of its own, or a note why there is none."""

    def count() -> int:
        names = storage.list_names(storage.join(root, UNFINISHED))
        return sum(name.endswith((SHARD_SUFFIX, SKIPPED_SUFFIX)) for name in names)

    size = _SONGS_PER_PROCESS * engine.num_workers
    pooled = PooledSongs(root, dtype, front_end, engine)
    _run(pooled, songs, size, engine, count, "songs to log-mel", "song")


def run_shards(plans: list[ShardPlan], root: str, engine: Engine) -> None:
    """Writes shards into ``unfinished/`` by copying records, and removes the songs' own files."""
    tasks = [
        _Copies(plan.name, [(found.path, *found.record[:2]) for found in plan.records])
        for plan in plans
    ]
    wanted = {plan.name for plan in plans}

    def count() -> int:
        return len(wanted.intersection(storage.list_names(storage.join(root, UNFINISHED))))

    _run(CopiedShards(root), tasks, engine.num_workers, engine, count, "shards", "shard")


class PooledSongs(Stage):
    """Makes the records of batches of songs, in worker processes that it starts with the first."""

    def __init__(self, root: str, dtype: str, front_end: FrontEnd, engine: Engine):
        self._root, self._dtype, self._front_end = root, dtype, front_end
        self._engine = engine
        self._pool: WorkerPool | None = None

    def process(self, songs: list[SourceSong], advance: Advance = ignore) -> None:
        """Makes the records of a batch."""
        if self._pool is None:
            engine = self._engine
            self._pool = WorkerPool(
                self._root,
                self._dtype,
                self._front_end,
                engine.num_workers,
                engine.song_timeout_secs,
            )
        for song, reason in self._pool.prepare(songs):
            if reason is not None:
                write_skipped(self._root, song.id, reason)
            advance(1)

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


class CopiedShards(Stage):
    """Writes batches of planned shards, each in a thread of its own."""

    def __init__(self, root: str):
        self._root = root

    def process(self, tasks: list[_Copies], advance: Advance = ignore) -> None:
        """Writes the shards of a batch."""
        for _ in storage.in_threads(self._write, tasks):
            advance(1)

    def _write(self, task: _Copies) -> None:
        write_shard(storage.join(self._root, UNFINISHED, task.name), task.stretches)
        remove_pieces(task.stretches, self._root)


def _run(
    stage: Stage,
    tasks: list[Any],
    batch_size: int,
    engine: Engine,
    count: Callable[[], int],
    description: str,
    unit: str,
) -> None:
    """Runs ``stage`` over ``tasks``, with a bar, which with Beam counts the files."""
    if not tasks:
        return
    if engine.beam_runner is None:
        batch_size = len(tasks)
    batches = [tasks[start : start + batch_size] for start in range(0, len(tasks), batch_size)]
    before = count()
    with progress(total=len(tasks), description=description, unit=unit) as bar:
        run_stage(
            batches,
            stage,
            engine.beam_runner,
            engine.beam_options,
            advance=bar.update,
            watch=lambda: bar.update(min(len(tasks), max(0, count() - before)) - bar.n),
        )
