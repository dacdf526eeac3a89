"""A generator and a classifier of two front ends, with a bridge in between, and how good it is.

The bridge is an approximation, so real excerpts are put through both ways, if there are records
whose audio can be read: analysed by the generator's front end and translated by the bridge, and
analysed by the classifier's own. The correlation of the two responses says what the bridge keeps.
"""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from svdam.audio.front_ends import front_end_name
from svdam.audio.log_mel import log_mel_spectrogram
from svdam.core.config import FRONT_END
from svdam.core.front_end import FrontEnd, front_end_input
from svdam.core.progress import progress
from svdam.core.validation import InputError, quoted_list
from svdam.data.mixing import load_song
from svdam.data.records import Records
from svdam.data.spectra import data_set_folder
from svdam.explain.responses import response_matrix
from svdam.models.batches import in_batches
from svdam.models.bridge import bridge_in, bridged_classifier
from svdam.models.bridge_fit import num_target_frames
from svdam.models.precision import in_float32
from svdam.models.shapes import excerpt_generator, matched_models, plain_model
from svdam.report.content import SUFFICIENT_CORRELATION, BridgeFacts

_SONGS = 25
_EXCERPTS_PER_SONG = 4
_FEWEST_EXCERPTS = 3  # For a correlation to mean anything.


class Pair(NamedTuple):
    """Models that fit each other.

    Attributes:
        generator: From latents to excerpts; None if the excerpt itself is searched.
        classifier: From these excerpts to responses, through the bridge if there is one.
        front_end: Front end of the excerpts; None if it is not known.
        own_front_end: The classifier's own; None if it is not known.
        own_classifier: The classifier without the bridge, a plain model.
        facts: What is known about the bridge; None without one.
    """

    generator: keras.Model | None
    classifier: keras.Model
    front_end: FrontEnd | None
    own_front_end: FrontEnd | None
    own_classifier: keras.Model
    facts: BridgeFacts | None

    def inputs(self) -> dict[str, Any]:
        """What a run's configuration says about the front ends."""
        found = front_end_input(self.front_end)
        if self.facts is not None and self.own_front_end is not None:
            found["classifier_front_end"] = self.own_front_end.to_dict()
        return found

    def classifier_for(self, front_end: FrontEnd) -> keras.Model:
        """The classifier for real excerpts: behind the bridge if they are like the generator's."""
        source = self.front_end
        if self.facts is None or source is None or source.is_like(front_end):
            return self.classifier
        return self.own_classifier


def paired_models(
    generator: keras.Model | None,
    classifier: keras.Model,
    generator_front_end: FrontEnd | None = None,
    classifier_front_end: FrontEnd | None = None,
) -> Pair:
    """Makes a generator and a classifier fit each other, by a bridge if they need one.

    Args:
        generator: From latents to excerpts; None if the excerpt itself is searched.
        classifier: From excerpts to responses.
        generator_front_end: What its card or a flag says, if they do.
        classifier_front_end: Likewise.

    Raises:
        InputError: If they do not fit, and nothing says how to translate between them.
    """
    classifier = plain_model(classifier, "--classifier: it")
    own = _front_end_of(classifier.input_shape, classifier_front_end, "classifier")
    if generator is None:
        _, classifier = matched_models(None, classifier)
        return Pair(None, classifier, own, own, classifier, None)
    generator = excerpt_generator(generator)
    source = _front_end_of(generator.output_shape, generator_front_end, "generator")
    # What nothing is known about has the front end of the other one, if it fits.
    source = source or _front_end_of(generator.output_shape, own)
    own = own or _front_end_of(classifier.input_shape, source)
    fitting = classifier
    if source is not None and own is not None:
        fitting = bridged_classifier(classifier, own, source, "--classifier: it")
    generator, fitting = matched_models(generator, fitting)
    bridge, facts = bridge_in(fitting), None
    if bridge is not None:
        facts = BridgeFacts(
            front_end_name(bridge.source), front_end_name(bridge.target), bridge.description
        )
    return Pair(generator, fitting, source, own, classifier, facts)


def measured_bridge(pair: Pair, response: str, records: Records) -> BridgeFacts:
    """Measures what a bridge keeps of the response to real excerpts; see `bridge_correlations`.

    Returns:
        What is known about the bridge, with the correlation.
    """
    assert pair.facts is not None
    correlations, count = bridge_correlations(pair, [response], records)
    return dataclasses.replace(pair.facts, correlation=float(correlations[0]), num_excerpts=count)


def bridge_correlations(
    pair: Pair, responses: Sequence[str], records: Records
) -> tuple[np.ndarray, int]:
    """Measures what a bridge keeps of responses to real excerpts.

    Args:
        pair: Models with a bridge.
        responses: The R explained responses.
        records: Songs, of any front end, whose audio is where prepare_data found it.

    Returns:
        (R,) correlations of the responses through the bridge with the exact ones, 0 where one of
        the two does not vary; and the number of excerpts.

    Raises:
        InputError: If the audio cannot be read, or there are too few excerpts.
    """
    source, own = pair.front_end, pair.own_front_end
    assert source is not None and own is not None
    exact = dataclasses.replace(
        own, excerpt_frames=num_target_frames(source, own, source.excerpt_frames)
    )
    cuts = list(_excerpts(records, (source, exact)))
    if len(cuts) < _FEWEST_EXCERPTS:
        raise InputError(
            f"--records: {records.folder} holds {len(cuts)} excerpts to measure the bridge with, "
            f"expected at least {_FEWEST_EXCERPTS}; choose longer songs, or leave it out"
        )
    with in_float32(pair.classifier):
        ways = pair.classifier, bridged_classifier(pair.own_classifier, own, exact)
        through, exactly = (
            in_batches(
                tf.function(response_matrix(way, responses)), np.stack(excerpts)[..., None]
            ).astype(np.float64)
            for way, excerpts in zip(ways, zip(*cuts, strict=True), strict=True)
        )
    through, exactly = (values - values.mean(axis=0) for values in (through, exactly))
    spread = np.sqrt((through**2).sum(axis=0) * (exactly**2).sum(axis=0))
    products = (through * exactly).sum(axis=0)
    return np.divide(products, spread, out=np.zeros(len(responses)), where=spread > 0), len(cuts)


def checked_bridge(pair: Pair, response: str, records: Records | None) -> BridgeFacts | None:
    """Says what the bridge does, and how well it does if there are records.

    Args:
        pair: Models with a bridge, or without.
        response: The explained response.
        records: See `measured_bridge`; None to measure nothing.

    Returns:
        What is known about the bridge; None without one.

    Raises:
        InputError: If there are records, and nothing to be measured, or too few excerpts.
    """
    facts = pair.facts
    if facts is None:
        if records is not None:
            raise InputError(
                "--records: there is no bridge between generator and classifier to be measured; "
                "leave it out"
            )
        return None
    if records is not None:
        facts = measured_bridge(pair, response, records)
    print(facts)
    if facts.correlation is None:
        print("How well the response survives it is not measured; --records=RUN measures it.")
        return facts
    print(
        f"Over {facts.num_excerpts} real excerpts, the response through the bridge and the exact "
        f"one have a correlation of {facts.correlation:.3f}."
    )
    if facts.correlation < SUFFICIENT_CORRELATION:
        _warn_of_correlation("the correlation")
    return facts


def _warn_of_correlation(what: str) -> None:
    print(
        f"warning: {what} is below {SUFFICIENT_CORRELATION}, so examples may show what the bridge "
        "does; train a GAN on records of the classifier's front end instead",
        file=sys.stderr,
    )


def checked_bridge_of_units(pair: Pair, responses: Mapping[str, str], records: Records) -> str:
    """Says what the bridge does, and how well it does for many responses.

    Args:
        pair: Models with a bridge, or without.
        responses: The explained responses, by what they are called.
        records: See `bridge_correlations`; without their audio, nothing is measured.

    Returns:
        What was said, for the page; "" without a bridge.
    """
    if pair.facts is None:
        return ""
    words, low = str(pair.facts), []
    try:
        correlations, count = bridge_correlations(pair, list(responses.values()), records)
    except InputError as error:  # The records serve without their audio.
        words += f" How well responses survive it was not measured ({error})."
    else:
        low = [
            name
            for name, one in zip(responses, correlations, strict=True)
            if one < SUFFICIENT_CORRELATION
        ]
        few = f"; {len(low)} of {len(responses)} are below {SUFFICIENT_CORRELATION}" if low else ""
        words += (
            f" Over {count} real excerpts, responses through the bridge and exact ones have a "
            f"median correlation of {np.median(correlations):.3f}{few}."
        )
    print(words)
    if low:
        _warn_of_correlation(f"the correlation of {quoted_list(low)}")
    return words


def _front_end_of(
    shape: tuple[int | None, ...], known: FrontEnd | None, flag: str | None = None
) -> FrontEnd | None:
    """The front end of excerpts of a shape, with their number of frames.

    Args:
        shape: Of a batch of them.
        known: What is said about it; None if nothing is, which means the paper's for its 80 bands.
        flag: Whose excerpts they are, for messages; None if ``known`` is only a guess.

    Raises:
        InputError: If the excerpts do not have as many bands.
    """
    sides = [size for size in shape[1:] if size != 1]
    frames, bands = sides if len(sides) == 2 else (None, None)
    if known is None and flag and bands == FRONT_END.num_mels:
        known = FRONT_END
    if known is None or len(sides) != 2:
        return None
    if bands not in (None, known.num_mels):
        if flag is None:
            return None
        raise InputError(
            f"--{flag}: its excerpts have shape {tuple(shape[1:])}, but its front end, "
            f"{front_end_name(known)}, has {known.num_mels} bands; correct its model card or "
            f"--{flag}_front_end"
        )
    return known if frames is None else dataclasses.replace(known, excerpt_frames=frames)


def _excerpts(
    records: Records, front_ends: tuple[FrontEnd, FrontEnd]
) -> Iterator[tuple[np.ndarray, ...]]:
    """The same excerpts of songs by two front ends, cut out at the same time."""
    root = data_set_folder(records, "leave out --records, or prepare them again")
    songs = records.songs()
    numbers = np.unique(np.linspace(0, len(songs) - 1, _SONGS).round().astype(int))
    first = front_ends[0]
    secs = first.num_samples(first.excerpt_frames) / first.sample_rate
    margin_secs = max(one.window_length / one.sample_rate for one in front_ends)
    for number in progress(numbers, description="checking the bridge", unit="song"):
        last_secs = songs[number].duration_secs - secs - margin_secs
        if last_secs < margin_secs:
            continue
        samples = [load_song(songs[number], root, one.sample_rate) for one in front_ends]
        for start_secs in np.linspace(margin_secs, last_secs, _EXCERPTS_PER_SONG):
            yield tuple(map(_cut, samples, front_ends, (start_secs, start_secs)))


def _cut(samples: np.ndarray, front_end: FrontEnd, start_secs: float) -> np.ndarray:
    """An excerpt whose sound starts at a time, (frames, bands)."""
    start = round(start_secs * front_end.sample_rate) - front_end.padding
    length = front_end.window_length + (front_end.excerpt_frames - 1) * front_end.hop_length
    plain = dataclasses.replace(front_end, centered=False)
    return log_mel_spectrogram(samples[start : start + length], plain)
