"""A listener: another classifier that hears excerpts, and so tells what they sound like to it.

The explained classifier cannot vouch for its own explanations, since it can be fooled. A listener
had no part in the optimization. It may have another front end: a bridge translates the excerpts.
`svdam.evaluation.transfer` compares what it hears in examples and in real excerpts::

    hear = Listener(classifier, "sigmoid(tags:vocal) - sigmoid(tags:no vocal)", front_end)
    transfer = measure_transfer({name: hear(excerpts) for name, excerpts in groups.items()})

Where the outputs are logits, responses that add several of them up should be made of probabilities,
as here: else the logits of labels that do not apply, far below zero, dominate the sum.
"""

import keras
import numpy as np
import tensorflow as tf

from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError, require_finite
from svdam.explain.named_outputs import told_by_card
from svdam.explain.responses import response_function
from svdam.models.batches import in_batches
from svdam.models.bridge import build_bridge
from svdam.models.shapes import fitted_model, plain_model


class Listener:
    """A function from excerpts of one front end to the responses of a classifier of any.

    Attributes:
        response: What it listens for, as it was given.
        where: The classifier's file.
        bridge: In a sentence, what is done about the lengths of the excerpts; "" without a bridge.
    """

    def __init__(
        self,
        classifier: keras.Model,
        response: str,
        front_end: FrontEnd,
        where: str = "the listener",
    ):
        """Builds the bridge.

        Args:
            classifier: From excerpts to responses. Its model card says what front end it has
                (`svdam.explain.named_outputs.load_classifier`); without one, it must have
                ``front_end``.
            response: What it listens for; see `svdam.explain.responses`. Outputs can be named as
                in its card.
            front_end: Front end of the excerpts that it will hear, with their number of frames.
            where: The classifier's file, for messages.

        Raises:
            InputError: If the response does not exist, or the classifier takes other excerpts than
                a bridge can make.
        """
        classifier = plain_model(classifier, where)
        card = getattr(classifier, "model_card", None)
        own = front_end if card is None else card.front_end
        self._shape = (front_end.excerpt_frames, front_end.num_mels, 1)
        self.bridge, translate, shape = "", None, self._shape
        if own != front_end:
            sizes = [size for size in classifier.input_shape[1:] if size != 1]
            translate = build_bridge(front_end, own, target_frames=sizes[0] if sizes else None)
            self.bridge = translate.get_layer("bridge").description
            shape = translate.output_shape[1:]
        self.response, self.where = response, where
        response, _ = told_by_card(classifier, response, "auto", where)
        respond = response_function(fitted_model(classifier, shape, where), response)

        @tf.function(reduce_retracing=True)
        def hear(excerpts):
            return respond(excerpts if translate is None else translate(excerpts))

        self._hear = hear

    def __call__(self, excerpts: np.ndarray) -> np.ndarray:
        """Hears excerpts.

        Args:
            excerpts: (..., frames, bands) or (..., frames, bands, 1) log-mel, of the front end that
                the listener was built for.

        Returns:
            (...) float32 responses.

        Raises:
            InputError: If the shape is another, or a response is not finite.
        """
        excerpts = np.asarray(excerpts, np.float32)
        if excerpts.shape[-2:] == self._shape[:2]:
            excerpts = excerpts[..., np.newaxis]
        if excerpts.shape[-3:] != self._shape:
            raise InputError(f"excerpts: found shape {excerpts.shape}, expected {self._shape}")
        heard = in_batches(self._hear, excerpts.reshape(-1, *self._shape))
        require_finite(heard, "responses of the listener")
        return heard.reshape(excerpts.shape[:-3])
