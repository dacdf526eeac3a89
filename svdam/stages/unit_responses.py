"""Responses of many units to real excerpts, all from one pass over the records.

A part of the records keeps the responses of its excerpts to all units (`response_parts`). What is
known of the units is then summed up part by part, so that memory does not grow with the records.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from svdam.data.records import Records
from svdam.datasets.labels import concept_in_words
from svdam.evaluation.units import alike_groups, unit_statistics
from svdam.results.explanations import ExplainedUnits
from svdam.stages.response_parts import Measure, Part, PartWorker

if TYPE_CHECKING:
    import keras

Respond = Callable[[np.ndarray], np.ndarray]
"""From (batch, frames, mels, 1) excerpts to (batch, units) responses."""


def unit_responses(classifier: "keras.Model", responses: Sequence[str]) -> Respond:
    """The responses of all units, in float32 whatever the precision of the search."""
    import tensorflow as tf

    from svdam.explain.responses import response_matrix
    from svdam.models.batches import in_batches
    from svdam.models.precision import in_float32

    with in_float32(classifier):
        respond = tf.function(response_matrix(classifier, responses), reduce_retracing=True)

    def measured(excerpts: np.ndarray) -> np.ndarray:
        with in_float32(classifier):
            return in_batches(respond, excerpts).astype(np.float32)

    return measured


def measure_units(respond: Respond, records: Records, split: str) -> Measure:
    """Measures ``responses`` (batch, units) and ``labels`` (batch, labels), NaN where unknown."""
    songs, names = records.songs(split), label_names(records, split)
    centre = records.front_end.excerpt_frames // 2

    def centre_labels(song: int, first_frames: np.ndarray) -> np.ndarray:
        known = records.labels(songs[song])
        if known is None:
            return np.full((1, len(names)), np.nan)
        return known.reshape(len(known), -1)[first_frames + centre]

    def measure(
        excerpts: np.ndarray, song: np.ndarray, first_frame: np.ndarray
    ) -> dict[str, np.ndarray]:
        labels = np.empty((len(song), len(names)), np.float32)
        for one in np.unique(song) if names else ():
            labels[song == one] = centre_labels(one, first_frame[song == one])
        return {"responses": respond(excerpts), "labels": labels}

    return measure


def label_names(records: Records, split: str) -> list[str]:
    """Names of the labels, in words; none if no song has any."""
    if not any(song.has_labels for song in records.songs(split)):
        return []
    return [concept_in_words(name) for name in records.label_names]


def real_units(
    worker: PartWorker, parts: list[Part], top_n: int, records: Records, split: str
) -> dict[str, Any]:
    """What the measured parts say of the units: some fields of an `ExplainedUnits`."""

    def responses_and_labels() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in parts:
            columns = worker.load(part)
            yield columns["responses"], columns["labels"]

    statistics = unit_statistics(responses_and_labels, top_n)
    song, first_frame = (
        np.concatenate([worker.load(part)[name] for part in parts])
        for name in ("song", "first_frame")
    )
    units = len(statistics.mean)
    order, groups = np.arange(units), np.zeros(units, np.int64)
    if statistics.correlations.size:
        order, groups = alike_groups(statistics.correlations)
    return {
        "song_ids": [one.id for one in records.songs(split)],
        "labels": label_names(records, split),
        "statistics": statistics,
        "highest_song": song[statistics.highest_at],
        "lowest_song": song[statistics.lowest_at],
        "highest_first_frame": first_frame[statistics.highest_at],
        "lowest_first_frame": first_frame[statistics.lowest_at],
        "order": order,
        "groups": groups,
    }


def extreme_excerpts(
    units: ExplainedUnits, records: Records, split: str, unit: int, which: str, count: int
) -> np.ndarray:
    """(count, frames, mels) excerpts with the ``which`` (highest, lowest) responses of a unit."""
    songs, length = records.songs(split), records.front_end.excerpt_frames
    places = zip(
        getattr(units, f"{which}_song")[unit, :count],
        getattr(units, f"{which}_first_frame")[unit, :count],
        strict=True,
    )
    return np.stack([records.frames(songs[song], start, length) for song, start in places])
