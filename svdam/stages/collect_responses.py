"""Responses of real excerpts (Section 3.4): what the examples' responses are compared with.

The songs are split into parts of some hundred excerpts, by the records alone. Each part is measured
by itself and kept in a file of the run folder, so that a run that was stopped computes again at
most the part it was at, and ends with the same numbers to the last bit. Parts can be measured by
the workers of any Beam runner that reach the run folder; on one machine this process is faster,
because TensorFlow keeps all its processors busy anyway.

TensorFlow is loaded when the first part is measured: wrong settings are refused without it.
"""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from svdam.core.beam import Advance, Stage, ignore, run_stage
from svdam.core.config import EXAMPLES_PER_SET, RESPONSE_SPACING
from svdam.core.files import checksum
from svdam.core.npz import read_kept, read_npz, write_npz
from svdam.core.progress import progress
from svdam.core.runs import Run, start_run
from svdam.core.settings import (
    Settings,
    import_module_setting,
    output_setting,
    setting,
    unsafe_model_setting,
)
from svdam.core.validation import InputError
from svdam.data.records import Records, SongEntry, open_records
from svdam.report.content import SpectrogramAxes
from svdam.report.pages import write_real_page
from svdam.results.responses import RealResponses, TopExcerpts, write_responses
from svdam.stages.example_summaries import write_response_summaries
from svdam.stages.inputs import input_records
from svdam.stages.report_sets import clear_page, real_set, sound_synthesis

_PARTS = "parts"
_PART_EXCERPTS = 256  # At least; parts end with a song.


@dataclasses.dataclass(frozen=True)
class ResponseSettings(Settings):
    """Settings of collect_responses (Section 3.4)."""

    output: str = setting("runs/responses", "Run folder to write.", path=True, identity=False)
    records: str = setting(
        "builtin", "Records: a run folder of prepare_data, or builtin.", path=True
    )
    split: str = setting("train", "Split whose songs are measured.")
    classifier: str = setting(
        "checkpoints/demo_svdnet.keras",
        "Classifier: a .keras file or a run folder of train_classifier.",
        path=True,
    )
    response: str = setting(
        "logit", "Response to measure, e.g. logit, fc2:17, conv3 or logit - 0.5 * conv1."
    )
    output_is: str = output_setting()
    excerpt_spacing: int = setting(
        RESPONSE_SPACING, "Number of frames from the start of one excerpt to the next.", minimum=1
    )
    top_n: int = setting(
        EXAMPLES_PER_SET, "Number of highest and of lowest responses to keep.", minimum=2
    )
    batch_size: int = setting(64, "Number of excerpts per batch.", minimum=1, identity=False)
    beam_runner: str | None = setting(
        None,
        "Apache Beam runner that measures parts of the records in its workers, e.g. "
        "DirectRunner. By default, this process measures everything, which is fastest on one "
        "machine.",
        identity=False,
    )
    beam_options: tuple[str, ...] = setting(
        (), "Options of the Beam runner, in the form --name=value.", identity=False
    )
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()

    def validate(self) -> None:
        """Refuses options of no runner."""
        if self.beam_options and self.beam_runner is None:
            raise InputError("--beam_options: requires --beam_runner")


def collect_responses(settings: ResponseSettings) -> RealResponses:
    """Measures f_a of every excerpt, and writes responses, page and summaries.

    Raises:
        InputError: If an input is missing, there are fewer than ``top_n`` excerpts, the response
            does not exist, or one is not finite.
    """
    from svdam.models.loading import model_path

    classifier = model_path(settings.classifier, "classifier")
    records = input_records(settings.records)
    parts = planned_parts(records, settings)
    inputs = {
        "records_fingerprint": records.fingerprint,
        "classifier_sha256": checksum(classifier),
    }
    with start_run(settings.output, "collect_responses", settings, inputs) as run:
        real = measured_responses(records, parts, settings, run)
        write_responses(run.folder, real)
        clear_page(run.folder)
        page = write_real_page(
            run.folder,
            real_set(real, "highest"),
            real_set(real, "lowest"),
            real.responses,
            real.response,
            SpectrogramAxes.of(),
            sound_synthesis(),
            real.provenance,
        )
        write_response_summaries(run.tensorboard, real)
        run.mark_complete({"excerpts": len(real.responses), "songs": len(real.song_ids)})
        remove_parts(run)  # Last: a run without them and not complete would start again.
    for name, extremes in (("highest", real.highest), ("lowest", real.lowest)):
        values = extremes.responses
        print(
            f"{name} {len(values)} responses of {settings.response}: "
            f"mean {values.mean():.3f}, variance {values.var(ddof=1):.3f}"
        )
    print(f"listen to them at: {page.resolve()}")
    print(f"results: {run.folder}")
    return real


class Part(NamedTuple):
    """Some consecutive songs: numbers ``first`` to ``stop - 1`` of the split."""

    number: int
    first: int
    stop: int
    num_excerpts: int


def planned_parts(records: Records, settings: ResponseSettings) -> list[Part]:
    """The parts that hold excerpts.

    Raises:
        InputError: If there is no such split, or the parts hold fewer than ``top_n`` excerpts.
    """
    songs = records.songs(settings.split)
    if not songs:
        raise InputError(f"--split: the records hold no song of the split {settings.split!r}")
    length = records.front_end.excerpt_frames
    plan = plan_parts([song.num_frames for song in songs], length, settings.excerpt_spacing)
    total = sum(part.num_excerpts for part in plan)
    if total < settings.top_n:
        raise InputError(
            f"--top_n: {settings.top_n} excerpts are requested, but the records contain {total}; "
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
        part_excerpts: A part ends with the song that brings it to so many excerpts.

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


def measured_responses(
    records: Records, parts: list[Part], settings: ResponseSettings, run: Run
) -> RealResponses:
    """Measures the parts that are not kept yet, and finds the ``top_n`` highest and lowest.

    Returns:
        The responses, song by song; ties among the extremes go to the earlier excerpt.
    """
    worker = PartWorker(records, settings, run.folder / _PARTS)
    _measure_parts(worker, parts, settings, run)
    measured = [worker.load(part) for part in parts]
    columns = {name: np.concatenate([one[name] for one in measured]) for name in measured[0]}
    songs, responses = records.songs(settings.split), columns["responses"]
    highest = np.argsort(-responses, kind="stable")[: settings.top_n]
    lowest = np.argsort(responses, kind="stable")[: settings.top_n]
    return RealResponses(
        response=settings.response,
        song_ids=[song.id for song in songs],
        responses=responses,
        song=columns["song"],
        first_frame=columns["first_frame"],
        highest=_top_excerpts(records, songs, columns, highest),
        lowest=_top_excerpts(records, songs, columns, lowest),
        provenance=run.config,
    )


def remove_parts(run: Run) -> None:
    """Deletes the kept parts, once the results are written."""
    shutil.rmtree(run.folder / _PARTS, ignore_errors=True)


class PartWorker(Stage):
    """Measures parts, in this process or in a Beam worker, which opens records of its own."""

    def __init__(self, records: Records, settings: ResponseSettings, folder: Path):
        self._records: Records | None = records
        self._place = records.folder
        self._settings, self._folder = settings, folder
        self._measure: Callable | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_records": None, "_measure": None}

    def path(self, part: Part) -> Path:
        """File that keeps a measured part."""
        return self._folder / f"{part.number:05d}.npz"

    def process(self, part: Part, advance: Advance = ignore) -> None:
        """Measures a part and keeps it; ``advance`` gets the number of excerpts in each batch."""
        from svdam.data.excerpts import spaced_excerpts

        settings = self._settings
        if self._records is None:
            self._records = open_records(self._place)
        if self._measure is None:
            self._measure = _measurement(self._records, settings)
        columns: dict[str, list[np.ndarray]] = {}
        for batch, song, first_frame in spaced_excerpts(
            self._records,
            spacing=settings.excerpt_spacing,
            batch_size=settings.batch_size,
            split=settings.split,
            songs=range(part.first, part.stop),
        ):
            found = self._measure(batch) | {"song": song, "first_frame": first_frame}
            songs = self._records.songs(settings.split)
            _require_finite(found["responses"], song, first_frame, songs)
            for name, values in found.items():
                columns.setdefault(name, []).append(values)
            advance(len(batch))
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
            raise InputError(f"{error}; run the same command again to measure it") from error


def _measurement(
    records: Records, settings: ResponseSettings
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """From excerpts to ``responses`` and, if there are any, ``probabilities``; (batch,) float32."""
    import tensorflow as tf

    from svdam.explain.named_outputs import load_classifier, told_by_card
    from svdam.explain.probabilities import driven_class
    from svdam.explain.responses import named_layers, response_function
    from svdam.models.memory import activation_bytes, require_batch_fits

    shape = (records.front_end.excerpt_frames, records.front_end.num_mels, 1)
    classifier = load_classifier(
        settings.classifier,
        shape,
        settings.allow_unsafe_model,
        settings.import_module,
        named_layers(settings.response),
    )
    require_batch_fits(settings.batch_size, activation_bytes(classifier))
    response, output_is = told_by_card(
        classifier, settings.response, settings.output_is, settings.classifier
    )
    respond = response_function(classifier, response)
    driven = driven_class(classifier, response, output_is)

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

    def while_present(parts: list[Part]) -> Iterator[Part]:
        for part in parts:
            run.require_present()
            yield part

    todo = [part for part in parts if not worker.is_kept(part)]
    total, before = sum(part.num_excerpts for part in parts), done()
    bar = progress(total=total, initial=before, description="real responses", unit="excerpt")
    with bar:
        run_stage(
            while_present(todo),
            worker,
            settings.beam_runner,
            settings.beam_options,
            advance=bar.update,
            watch=lambda: bar.update(done() - bar.n),
        )


def _top_excerpts(
    records: Records, songs: list[SongEntry], columns: dict[str, np.ndarray], order: np.ndarray
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
    responses: np.ndarray, song: np.ndarray, first_frame: np.ndarray, songs: list[SongEntry]
) -> None:
    (bad,) = np.nonzero(~np.isfinite(responses))
    if len(bad):
        place = f"{songs[song[bad[0]]].id}, frame {first_frame[bad[0]]}"
        raise InputError(f"the response of {place} is not finite; check the classifier")
