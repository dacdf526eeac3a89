"""Responses of real excerpts (Section 3.4): what the examples' responses are compared with.

Records are measured part by part (`response_parts`), so that a run that was stopped goes on.
TensorFlow is loaded when the first part is measured: wrong settings are refused without it.
"""

import dataclasses
import functools

import numpy as np

from svdam.core.config import EXAMPLES_PER_SET, RESPONSE_SPACING
from svdam.core.files import checksum
from svdam.core.front_end import front_end_input
from svdam.core.runs import Run, start_run
from svdam.core.settings import (
    Settings,
    import_module_setting,
    output_setting,
    setting,
    unsafe_model_setting,
)
from svdam.core.validation import InputError
from svdam.data.records import Records
from svdam.data.song_entry import SongEntry
from svdam.datasets.labels import labels_input
from svdam.report.pages import write_real_page
from svdam.results.responses import RealResponses, TopExcerpts, write_responses
from svdam.stages.example_summaries import write_response_summaries
from svdam.stages.front_ends import require_same_front_end
from svdam.stages.inputs import input_records
from svdam.stages.report_sets import clear_page, real_set, sound_synthesis
from svdam.stages.response_parts import (
    Measure,
    Part,
    PartWorker,
    measure_parts,
    planned_parts,
    remove_parts,
)


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
    require_same_front_end(records, classifier=classifier)
    parts = planned_parts(records, settings.split, settings.excerpt_spacing, settings.top_n)
    inputs = {
        **front_end_input(records.front_end),
        **labels_input(records.label_names),
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


def measured_responses(
    records: Records, parts: list[Part], settings: ResponseSettings, run: Run
) -> RealResponses:
    """Measures the parts that are not kept yet, and finds the ``top_n`` highest and lowest.

    Returns:
        The responses, song by song; ties among the extremes go to the earlier excerpt.
    """
    worker = PartWorker(
        records,
        run.folder,
        settings.split,
        settings.excerpt_spacing,
        settings.batch_size,
        functools.partial(_measurement, settings),
    )
    measure_parts(worker, parts, run, settings.beam_runner, settings.beam_options)
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


def _measurement(settings: ResponseSettings, records: Records) -> Measure:
    """Measures ``responses`` and, if there are any, ``probabilities``; (batch,) float32."""
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

    songs = records.songs(settings.split)

    def measure(
        excerpts: np.ndarray, song: np.ndarray, first_frame: np.ndarray
    ) -> dict[str, np.ndarray]:
        responses, outputs = apply(excerpts)
        found = {"responses": responses.numpy().astype(np.float32)}
        _require_finite(found["responses"], song, first_frame, songs)
        if driven is not None:
            found["probabilities"] = driven.probabilities(outputs.numpy())
        return found

    return measure


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
