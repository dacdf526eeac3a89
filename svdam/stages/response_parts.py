"""Parts of the records, whose excerpts are measured one part after the other and kept.

The songs are split into parts of some hundred excerpts, by the records alone. Each part is measured
by itself and kept in a file of the run folder, so that a run that was stopped computes again at
most the part it was at, and ends with the same numbers to the last bit. Parts can be measured by
the workers of any Beam runner that reach the run folder; on one machine this process is faster,
because TensorFlow keeps all its processors busy anyway.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from svdam.core.beam import Advance, Stage, ignore, run_stage
from svdam.core.npz import read_kept, read_npz, write_npz
from svdam.core.progress import progress
from svdam.core.runs import Run
from svdam.core.validation import InputError
from svdam.data.records import Records, open_records

_PARTS = "parts"
_PART_EXCERPTS = 256  # At least; parts end with a song.

Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]
"""From (batch, frames, mels, 1) excerpts, their songs (batch,) and first frames (batch,) to columns
of (batch, ...) values by name."""


class Part(NamedTuple):
    """Some consecutive songs: numbers ``first`` to ``stop - 1`` of the split."""

    number: int
    first: int
    stop: int
    num_excerpts: int


def planned_parts(records: Records, split: str, spacing: int, top_n: int) -> list[Part]:
    """The parts that hold excerpts.

    Args:
        records: Where from.
        split: Split of the songs.
        spacing: Frames from one excerpt's start to the next one's.
        top_n: Excerpts that are needed.

    Raises:
        InputError: If there is no such split, or the parts hold fewer than ``top_n`` excerpts.
    """
    songs = records.songs(split)
    if not songs:
        raise InputError(f"--split: the records hold no song of the split {split!r}")
    length = records.front_end.excerpt_frames
    plan = plan_parts([song.num_frames for song in songs], length, spacing)
    total = sum(part.num_excerpts for part in plan)
    if total < top_n:
        raise InputError(
            f"--top_n: {top_n} excerpts are requested, but the records contain {total}; "
            "use a smaller --top_n, a smaller --excerpt_spacing, or more songs"
        )
    return [part for part in plan if part.num_excerpts]


def plan_parts(
    num_frames: list[int], excerpt_frames: int, spacing: int, part_excerpts: int = _PART_EXCERPTS
) -> list[Part]:
    """Splits songs into parts.

    Args:
        num_frames: Of each song.
        excerpt_frames: Of an excerpt.
        spacing: Frames from one excerpt's start to the next one's.
        part_excerpts: A part ends with the song that brings it to this number of excerpts.

    Returns:
        The parts; together they hold every song once, in order.
    """
    parts: list[Part] = []
    first = held = 0
    for index, frames in enumerate(num_frames):
        held += len(range(0, frames - excerpt_frames + 1, spacing))
        if held >= part_excerpts or index == len(num_frames) - 1:
            parts.append(Part(len(parts), first, index + 1, held))
            first, held = index + 1, 0
    return parts


class PartWorker(Stage):
    """Measures parts, in this process or in a Beam worker, which opens records of its own."""

    def __init__(
        self,
        records: Records,
        folder: Path,
        split: str,
        spacing: int,
        batch_size: int,
        make_measure: Callable[[Records], Measure],
    ):
        """Measures nothing yet.

        Args:
            records: Where from.
            folder: The run folder.
            split: Split of the songs.
            spacing: Frames from one excerpt's start to the next one's.
            batch_size: Excerpts of a batch.
            make_measure: Called once in each process, with its records. Picklable for Beam.
        """
        self._records: Records | None = records
        self._place = records.folder
        self._folder = folder / _PARTS
        self._split, self._spacing, self._batch_size = split, spacing, batch_size
        self._make_measure = make_measure
        self._measure: Measure | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_records": None, "_measure": None}

    def path(self, part: Part) -> Path:
        """File that keeps a measured part."""
        return self._folder / f"{part.number:05d}.npz"

    def process(self, part: Part, advance: Advance = ignore) -> None:
        """Measures a part and keeps it; ``advance`` gets the number of excerpts in each batch."""
        from svdam.data.excerpts import spaced_excerpts

        if self._records is None:
            self._records = open_records(self._place)
        if self._measure is None:
            self._measure = self._make_measure(self._records)
        columns: dict[str, list[np.ndarray]] = {}
        for batch, song, first_frame in spaced_excerpts(
            self._records,
            spacing=self._spacing,
            batch_size=self._batch_size,
            split=self._split,
            songs=range(part.first, part.stop),
        ):
            found = self._measure(batch, song, first_frame)
            for name, values in (found | {"song": song, "first_frame": first_frame}).items():
                columns.setdefault(name, []).append(values)
            advance(len(batch))
        write_npz(self.path(part), {name: np.concatenate(c) for name, c in columns.items()})

    def is_kept(self, part: Part) -> bool:
        """Whether a part was measured before, and its file is whole."""
        return read_kept(self.path(part)) is not None

    def load(self, part: Part) -> dict[str, np.ndarray]:
        """A measured part: the columns, with ``song`` and ``first_frame``.

        Raises:
            InputError: If its file is missing or damaged.
        """
        try:
            return read_npz(self.path(part))
        except InputError as error:
            raise InputError(f"{error}; run the same command again to measure it") from error


def measure_parts(
    worker: PartWorker,
    parts: list[Part],
    run: Run,
    beam_runner: str | None = None,
    beam_options: Sequence[str] = (),
    advance: Advance | None = None,
) -> None:
    """Measures the parts that are not there yet.

    Args:
        worker: Measures them.
        parts: All parts.
        run: The run folder.
        beam_runner: See `run_stage`.
        beam_options: See `run_stage`.
        advance: Called with numbers of excerpts that are done, of this process; by default, a
            progress bar shows them.
    """

    def done() -> int:
        return sum(part.num_excerpts for part in parts if worker.path(part).exists())

    def while_present(parts: list[Part]) -> Iterator[Part]:
        for part in parts:
            run.require_present()
            yield part

    todo = [part for part in parts if not worker.is_kept(part)]
    total, before = sum(part.num_excerpts for part in parts), done()
    if advance is not None:
        advance(before)
        run_stage(while_present(todo), worker, advance=advance)
        return
    bar = progress(total=total, initial=before, description="real responses", unit="excerpt")
    with bar:
        run_stage(
            while_present(todo),
            worker,
            beam_runner,
            beam_options,
            advance=bar.update,
            watch=lambda: bar.update(done() - bar.n),
        )


def remove_parts(run: Run) -> None:
    """Deletes the kept parts, once the results are written."""
    shutil.rmtree(run.folder / _PARTS, ignore_errors=True)
