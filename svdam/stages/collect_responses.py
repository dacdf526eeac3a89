"""Responses of real excerpts (Section 3.4): what the examples' responses are compared with.

The songs are split into parts of some hundred excerpts, by the records alone. Each part is measured
by itself and kept in a file of the run folder, so that a run that was stopped computes again at
most the part it was at, and ends with the same numbers to the last bit. Parts can be measured by
the workers of any Beam runner that reach the run folder; on one machine this process is faster,
because TensorFlow keeps all its processors busy anyway.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from svdam.core.beam import Stage, run_stage
from svdam.core.config import FrontEnd
from svdam.core.npz import read_kept, read_npz, write_npz
from svdam.core.progress import progress
from svdam.core.runs import Run
from svdam.core.validation import InputError
from svdam.explain.named_outputs import settings_by_card
from svdam.explain.probabilities import driven_class
from svdam.explain.responses import response_function
from svdam.explain.settings import ResponseSettings
from svdam.models.memory import activation_bytes, require_batch_fits
from svdam.results.files import RealResponses, TopExcerpts

_PARTS = "parts"
_PART_EXCERPTS = 256  # At least; parts end with a song.


class Song(Protocol):
    """What is asked of a song; `svdam.data.records.SongEntry` has it."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def num_frames(self) -> int:
        """Frames of its log-mel spectrogram."""


class SongRecords(Protocol):
    """Where the log-mel spectrograms of songs come from; `svdam.data.records.Records` is one."""

    front_end: FrontEnd

    def songs(self, split: str | None = None) -> Sequence[Song]:
        """The songs of a split, in a fixed order."""

    def log_mel(self, song: Any) -> np.ndarray:
        """(frames, mels) float32."""


class Part(NamedTuple):
    """Some consecutive songs: numbers ``first`` to ``stop - 1`` of the split."""

    number: int
    first: int
    stop: int
    num_excerpts: int


def collect_responses(
    open_records: Callable[[], SongRecords],
    load_classifier: Callable[[], keras.Model],
    settings: ResponseSettings,
    run: Run,
) -> RealResponses:
    """Measures f_a of every excerpt and finds the ``top_n`` highest and lowest.

    Args:
        open_records: Opens the records; picklable where a Beam runner is used.
        load_classifier: Loads the classifier, from excerpts to responses; likewise.
        settings: What to measure, on what, and how.
        run: The open run folder; finished parts are kept there.

    Returns:
        The responses, song by song; ties among the extremes go to the earlier excerpt.

    Raises:
        InputError: If there are fewer than ``top_n`` excerpts, the response does not exist, or one
            is not finite.
    """
    records = open_records()
    songs = records.songs(settings.split)
    if not songs:
        raise InputError(f"--split: the records hold no song of the split {settings.split!r}")
    length = records.front_end.excerpt_frames
    plan = plan_parts([song.num_frames for song in songs], length, settings.excerpt_spacing)
    parts = [part for part in plan if part.num_excerpts]
    total = sum(part.num_excerpts for part in parts)
    if total < settings.top_n:
        raise InputError(
            f"--top_n: {settings.top_n} excerpts are asked for, but the records hold {total}; "
            "use a smaller --top_n, a smaller --excerpt_spacing, or more songs"
        )
    worker = PartWorker(open_records, load_classifier, settings, run.folder / _PARTS)
    _measure_parts(worker, parts, settings, run)
    measured = [worker.load(part) for part in parts]
    columns = {name: np.concatenate([one[name] for one in measured]) for name in measured[0]}
    order = np.argsort(columns["responses"], kind="stable")
    highest = np.argsort(-columns["responses"], kind="stable")[: settings.top_n]
    return RealResponses(
        response=settings.response,
        song_ids=[song.id for song in songs],
        responses=columns["responses"],
        song=columns["song"],
        first_frame=columns["first_frame"],
        highest=_top_excerpts(records, songs, columns, highest),
        lowest=_top_excerpts(records, songs, columns, order[: settings.top_n]),
        provenance=run.config,
    )


def remove_parts(run: Run) -> None:
    """Deletes the kept parts, once the results are written."""
    shutil.rmtree(run.folder / _PARTS, ignore_errors=True)


def plan_parts(
    num_frames: list[int], excerpt_frames: int, spacing: int, part_excerpts: int = _PART_EXCERPTS
) -> list[Part]:
    """Splits songs into parts.

    Args:
        num_frames: Of each song.
        excerpt_frames: Of an excerpt.
        spacing: Frames from one excerpt's start to the next one's.
        part_excerpts: A part ends with the song that brings it to so many excerpts.

    Returns:
        The parts; together they hold every song once, in order.
    """
    parts: list[Part] = []
    first = held = 0
    for index, frames in enumerate(num_frames):
        held += len(excerpt_starts(frames, excerpt_frames, spacing))
        if held >= part_excerpts or index == len(num_frames) - 1:
            parts.append(Part(len(parts), first, index + 1, held))
            first, held = index + 1, 0
    return parts


def excerpt_starts(num_frames: int, excerpt_frames: int, spacing: int) -> range:
    """First frames of a song's excerpts."""
    return range(0, num_frames - excerpt_frames + 1, spacing)


class PartWorker(Stage):
    """Measures parts, in this process or in a Beam worker; records and model are opened once."""

    def __init__(
        self,
        open_records: Callable[[], SongRecords],
        load_classifier: Callable[[], keras.Model],
        settings: ResponseSettings,
        folder: Path,
    ):
        self._open_records, self._load_classifier = open_records, load_classifier
        self._settings, self._folder = settings, folder
        self._opened: tuple[SongRecords, Callable] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}  # A worker elsewhere opens its own.

    def path(self, part: Part) -> Path:
        """File that keeps a measured part."""
        return self._folder / f"{part.number:05d}.npz"

    def process(
        self, part: Part, on_excerpts: Callable[[int], object] = lambda count: None
    ) -> None:
        """Measures a part and keeps it; ``on_excerpts`` gets the number of each batch."""
        if self._opened is None:
            classifier = self._load_classifier()
            require_batch_fits(self._settings.batch_size, activation_bytes(classifier))
            measure = _measurement(classifier, self._settings)
            self._opened = self._open_records(), measure
        records, measure = self._opened
        columns: dict[str, list[np.ndarray]] = {}
        for batch, song, first_frame in _batches(records, part, self._settings):
            found = measure(batch) | {"song": song, "first_frame": first_frame}
            songs = records.songs(self._settings.split)
            _require_finite(found["responses"], song, first_frame, songs)
            for name, values in found.items():
                columns.setdefault(name, []).append(values)
            on_excerpts(len(batch))
        write_npz(self.path(part), {name: np.concatenate(c) for name, c in columns.items()})

    def is_kept(self, part: Part) -> bool:
        """Whether a part was measured before, and its file is whole."""
        return read_kept(self.path(part)) is not None

    def load(self, part: Part) -> dict[str, np.ndarray]:
        """A measured part.

        Raises:
            InputError: If its file is missing or damaged.
        """
        try:
            return read_npz(self.path(part))
        except InputError as error:
            raise InputError(f"{error}; the same command measures it again") from error


def _measurement(
    classifier: keras.Model, settings: ResponseSettings
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """From excerpts to ``responses`` and, if there are any, ``probabilities``; (batch,) float32."""
    settings = settings_by_card(settings, classifier)
    respond = response_function(classifier, settings.response)
    driven = driven_class(classifier, settings.response, settings.output_is)

    @tf.function(reduce_retracing=True)
    def apply(excerpts):
        outputs = None if driven is None else classifier(excerpts, training=False)
        return respond(excerpts), outputs

    def measure(excerpts: np.ndarray) -> dict[str, np.ndarray]:
        responses, outputs = apply(excerpts)
        found = {"responses": responses.numpy().astype(np.float32)}
        if driven is not None:
            found["probabilities"] = driven.probabilities(outputs.numpy())
        return found

    return measure


def _measure_parts(
    worker: PartWorker, parts: list[Part], settings: ResponseSettings, run: Run
) -> None:
    """Measures the parts that are not there yet."""

    def done() -> int:
        return sum(part.num_excerpts for part in parts if worker.path(part).exists())

    todo = [part for part in parts if not worker.is_kept(part)]
    total, before = sum(part.num_excerpts for part in parts), done()
    bar = progress(total=total, initial=before, description="real responses", unit="excerpt")
    with bar:
        if settings.beam_runner is None:
            for part in todo:
                run.require_present()
                worker.process(part, bar.update)
        elif todo:
            options = settings.beam_runner, settings.beam_options
            run_stage(todo, worker, *options, watch=lambda: bar.update(done() - bar.n))


def _batches(
    records: SongRecords, part: Part, settings: ResponseSettings
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """((b, frames, mels, 1) excerpts, (b,) int64 song, (b,) int64 first frame) of a part."""
    length = records.front_end.excerpt_frames
    waiting: list[tuple[np.ndarray, int, int]] = []

    def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        excerpts, songs, starts = zip(*waiting[: settings.batch_size], strict=True)
        del waiting[: settings.batch_size]
        return np.stack(excerpts)[..., np.newaxis], np.array(songs), np.array(starts)

    for index, song in enumerate(records.songs(settings.split)[part.first : part.stop], part.first):
        log_mel = records.log_mel(song)
        for start in excerpt_starts(song.num_frames, length, settings.excerpt_spacing):
            waiting.append((log_mel[start : start + length], index, start))
            if len(waiting) == settings.batch_size:
                yield batch()
    if waiting:
        yield batch()


def _top_excerpts(
    records: SongRecords, songs: Sequence[Song], columns: dict[str, np.ndarray], order: np.ndarray
) -> TopExcerpts:
    """Reads the excerpts at positions ``order``, each song once."""
    length = records.front_end.excerpt_frames
    found = {name: values[order] for name, values in columns.items()}
    excerpts = np.empty((len(order), length, records.front_end.num_mels), np.float32)
    for index in np.unique(found["song"]):
        log_mel = records.log_mel(songs[index])
        for place in np.flatnonzero(found["song"] == index):
            start = found["first_frame"][place]
            excerpts[place] = log_mel[start : start + length]
    return TopExcerpts(excerpts=excerpts, **found)


def _require_finite(
    responses: np.ndarray, song: np.ndarray, first_frame: np.ndarray, songs: Sequence[Song]
) -> None:
    (bad,) = np.nonzero(~np.isfinite(responses))
    if len(bad):
        place = f"{songs[song[bad[0]]].id}, frame {first_frame[bad[0]]}"
        raise InputError(f"the response of {place} is not finite; look at the classifier")
