"""The probability that is shown with a response: that of the class whose output is driven."""

import dataclasses
import warnings

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError
from svdam.explain.responses import Response, parse_response
from svdam.models.batches import in_batches
from svdam.models.probabilities import (
    kind_of_output,
    names_of_output,
    num_classes,
    probabilities_of,
)


@dataclasses.dataclass(frozen=True)
class DrivenClass:
    """The class of a classifier whose output a response is.

    Attributes:
        index: Its place among the outputs.
        kind: What the outputs are; see `svdam.models.probabilities.kind_of_output`.
    """

    index: int
    kind: str

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """(batch,) float32 probabilities of the class, from the classifier's outputs."""
        return probabilities_of(outputs, self.kind)[:, self.index]

    def classify(self, classifier: keras.Model, excerpts: np.ndarray) -> np.ndarray:
        """(...) float32 probabilities of excerpts (..., frames, mels, 1)."""
        flat = excerpts.reshape(-1, *excerpts.shape[-3:])
        apply = tf.function(lambda batch: classifier(batch, training=False), reduce_retracing=True)
        found = in_batches(lambda batch: self.probabilities(apply(batch).numpy()), flat)
        return found.reshape(excerpts.shape[:-3])


def driven_class(
    classifier: keras.Model, response: Response, output_is: str = "auto"
) -> DrivenClass | None:
    """The class whose output, as a logit or as a probability, a response is.

    Args:
        classifier: A model with one input and one output.
        response: See `svdam.explain.responses`.
        output_is: The setting ``--output_is``.

    Returns:
        The class. None for a response that is not a single output: an inner layer, a mean or sum of
        several outputs, a function; and, with a warning, where nothing tells what the output is.
    """
    count, names = num_classes(classifier), names_of_output(classifier)
    try:
        terms = () if callable(response) else parse_response(response, names)
    except InputError:  # It has names of inner layers, which are not known here.
        return None
    if len(terms) != 1 or terms[0].layer not in names:
        return None
    unit = 0 if count == 1 else terms[0].unit
    if unit is None:
        return None
    try:
        return DrivenClass(unit, kind_of_output(classifier, output_is))
    except InputError as error:
        warnings.warn(f"no probabilities are given: {error}", stacklevel=2)
        return None
