"""Responses of real excerpts (Section 3.4): what the examples' responses are compared with."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError
from svdam.explain.responses import Response, response_function
from svdam.explain.results import RealResponses, TopExcerpts


def collect_responses(
    excerpts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    classifier: keras.Model,
    song_ids: list[str],
    response: Response = "logit",
    top_n: int = 50,
    provenance: dict[str, Any] | None = None,
) -> RealResponses:
    """Measures f_a of every excerpt and keeps the ``top_n`` highest and lowest.

    Args:
        excerpts: Batches of ((b, frames, mels, 1) log-mel, (b,) song index, (b,) first frame).
        classifier: From excerpts to responses.
        song_ids: Names of the songs that the indices mean.
        response: What to measure; see `svdam.explain.responses`.
        top_n: N of the paper.
        provenance: Settings and versions, kept with the results.

    Returns:
        The responses, in the order given; ties among the extremes go to the earlier excerpt.

    Raises:
        InputError: If there are fewer than ``top_n`` excerpts, or a response is not finite.
    """
    measure = _measurement(classifier, response)
    columns: list[list[np.ndarray]] = [[], [], []]
    highest, lowest = _Extremes(top_n, +1), _Extremes(top_n, -1)
    for batch, song, first_frame in excerpts:
        responses, probabilities = (part.numpy() for part in measure(batch))
        _require_finite(responses, song, first_frame, song_ids)
        for column, part in zip(columns, (responses, song, first_frame), strict=True):
            column.append(part)
        for extremes in (highest, lowest):
            extremes.add(responses, probabilities, song, first_frame, batch[..., 0])
    total = sum(map(len, columns[0]))
    if total < top_n:
        raise InputError(
            f"--top_n: {top_n} excerpts are asked for, but the records hold {total}; "
            "use a smaller --top_n, a smaller --excerpt_spacing, or more songs"
        )
    responses, song, first_frame = map(np.concatenate, columns)
    return RealResponses(
        response=response if isinstance(response, str) else response.__name__,
        song_ids=song_ids,
        responses=responses,
        song=song.astype(np.int64),
        first_frame=first_frame.astype(np.int64),
        highest=highest.result(),
        lowest=lowest.result(),
        provenance=provenance or {},
    )


def probabilities_of(logits: tf.Tensor) -> tf.Tensor:
    """(batch,) probability of the last class: the sigmoid of one logit, the softmax of several."""
    if logits.shape[-1] == 1:
        return tf.sigmoid(logits[..., 0])
    return tf.nn.softmax(logits)[..., -1]


def _measurement(classifier: keras.Model, response: Response):
    respond = response_function(classifier, response)

    @tf.function(reduce_retracing=True)
    def measure(excerpts):
        logits = tf.cast(classifier(excerpts, training=False), tf.float32)
        return respond(excerpts), probabilities_of(
            tf.reshape(logits, (tf.shape(logits)[0], logits.shape[-1]))
        )

    return measure


def _require_finite(responses, song, first_frame, song_ids) -> None:
    (bad,) = np.nonzero(~np.isfinite(responses))
    if len(bad):
        place = f"{song_ids[song[bad[0]]]}, frame {first_frame[bad[0]]}"
        raise InputError(f"the response of {place} is not finite; look at the classifier")


class _Extremes:
    """The ``size`` most extreme excerpts so far; memory does not grow with the data."""

    def __init__(self, size: int, sign: int):
        self._size, self._sign = size, sign
        self._kept: list[np.ndarray] | None = None

    def add(self, *columns: np.ndarray) -> None:
        if self._kept is not None:
            pairs = zip(self._kept, columns, strict=True)
            columns = tuple(np.concatenate(pair) for pair in pairs)
        order = np.argsort(-self._sign * columns[0], kind="stable")[: self._size]
        self._kept = [column[order] for column in columns]

    def result(self) -> TopExcerpts:
        responses, probabilities, song, first_frame, excerpts = self._kept
        return TopExcerpts(
            responses=responses,
            probabilities=probabilities,
            song=song.astype(np.int64),
            first_frame=first_frame.astype(np.int64),
            excerpts=excerpts.astype(np.float32),
        )
