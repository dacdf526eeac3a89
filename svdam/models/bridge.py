"""A bridge between two front ends, so that one generator explains classifiers with other inputs.

`build_bridge` gives a Keras model from log-mel excerpts of one front end to those that another one
would compute from the same sound. It is differentiable, small next to the networks around it, and
built from the two definitions alone (`svdam.models.bridge_fit`). It is an approximation:
docs/front_ends.md says how good. `bridged_classifier` puts it before a classifier.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from svdam.audio.front_ends import front_end_name
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError, one_line
from svdam.models.bridge_fit import (
    fit_bridge,
    noise_level,
    num_target_frames,
    power_factor,
    power_floor,
    source_floor,
    tap_positions,
)
from svdam.models.shapes import fitted_model, model_behind


def build_bridge(
    source: FrontEnd,
    target: FrontEnd,
    frames: int | None = None,
    *,
    target_frames: int | None = None,
) -> keras.Model:
    """Builds the bridge from one front end to another.

    Args:
        source: Front end of the excerpts that go in.
        target: Front end of the excerpts that come out.
        frames: Frames that go in; ``source.excerpt_frames`` by default.
        target_frames: Frames that come out: those that the classifier takes,
            ``classifier.input_shape[1]``. None, as for a classifier whose time axis is open, gives
            as many as the target front end has of the same sound. If that is more than wanted, the
            middle is taken; if it is less, the excerpt is reflected at both ends until it is full.
            ``model.get_layer("bridge").description`` says in a sentence what is done.

    Returns:
        A model from (batch, frames, source bands, 1) to (batch, target frames, target bands, 1).

    Raises:
        InputError: If the excerpt is too short for a frame of the target, or a length is not
            positive.

    Example:
        >>> from svdam import get_front_end
        >>> bridge = build_bridge(get_front_end("ismir2015"), get_front_end("yamnet"))
        >>> bridge.input_shape, bridge.output_shape
        ((None, 115, 80, 1), (None, 166, 64, 1))
    """
    frames = source.excerpt_frames if frames is None else frames
    for name, value in (("frames", frames), ("target_frames", target_frames)):
        if value is not None and value < 1:
            raise InputError(f"{name}: found {value}, expected at least 1")
    num_frames = num_target_frames(source, target, frames)
    if not num_frames:
        raise InputError(
            f"frames: {frames} of {front_end_name(source)} are shorter than a window of "
            f"{front_end_name(target)}"
        )
    layer = FrontEndBridge(
        dataclasses.asdict(source), dataclasses.asdict(target), frames, target_frames, name="bridge"
    )
    log_mel = keras.Input((frames, source.num_mels, 1), name="log_mel")
    model = keras.Model(log_mel, layer(log_mel), name="bridge")
    if layer.weights:
        layer.set_weights(fit_bridge(source, target, num_frames))
    return model


def bridged_classifier(
    classifier: keras.Model, own: FrontEnd, source: FrontEnd, where: str = "classifier: it"
) -> keras.Model:
    """A classifier that takes excerpts of another front end, or of another length.

    Args:
        classifier: A plain model (`svdam.models.shapes.plain_model`).
        own: Its front end.
        source: Front end of the excerpts, whose ``excerpt_frames`` are theirs.
        where: What the classifier is called in messages.

    Returns:
        A model from (batch, frames, source bands, 1) to what the classifier puts out. Its layers
        have the names and weights of the classifier's, so that they can be explained; before them
        is the layer ``bridge``, whose ``description`` says what is done about the lengths. No
        bridge is built where the classifier takes such excerpts as they are.

    Raises:
        InputError: If the classifier does not take excerpts of ``own``, or cannot be rebuilt.
    """
    excerpt_shape = (source.excerpt_frames, source.num_mels, 1)
    sides = [size for size in classifier.input_shape[1:] if size != 1]
    target_frames = sides[0] if sides else None
    if own.is_like(source) and target_frames in (None, source.excerpt_frames):
        return fitted_model(classifier, excerpt_shape, where)
    bridge = build_bridge(source, own, target_frames=target_frames)
    classifier = fitted_model(classifier, bridge.output_shape[1:], where)
    try:
        return model_behind(classifier, bridge.input, bridge.output)
    except Exception as error:  # Keras raises whatever a user's layer makes of being copied.
        raise InputError(
            f"{where} cannot be rebuilt behind a bridge ({one_line(error)})"
        ) from error


def bridge_in(model: keras.Model) -> "FrontEndBridge | None":
    """The bridge that `bridged_classifier` put before a classifier; None if there is none."""
    return next((layer for layer in model.layers if isinstance(layer, FrontEndBridge)), None)


@keras.saving.register_keras_serializable(package="svdam")
class FrontEndBridge(keras.layers.Layer):
    """The layer of `build_bridge`, which fits its weights. They are not trained.

    Between front ends that are equal but for the length of excerpts, it has none.

    Attributes:
        description: What is done about the lengths of the excerpts, in a sentence.
    """

    def __init__(
        self,
        source: dict[str, Any],
        target: dict[str, Any],
        frames: int,
        target_frames: int | None = None,
        **options: Any,
    ):
        # Logarithms need single precision, whatever the networks on both sides compute in.
        super().__init__(**{**options, "trainable": False, "dtype": "float32"})
        self.source, self.target = FrontEnd(**source), FrontEnd(**target)
        self.frames, self.target_frames = frames, target_frames
        self._num_frames = num_target_frames(self.source, self.target, frames)
        self._is_same = self.source.is_like(self.target)
        self._places = _places(self._num_frames, target_frames)
        self.description = _description(self.target, self._num_frames, target_frames)

    def build(self, input_shape: tuple) -> None:
        """Makes room for the weights."""
        if self._is_same:
            return
        # Linear interpolation; beyond its ends, an excerpt goes on as its first or last frame.
        taps = tap_positions(self.source, self.target, self._num_frames)
        taps = np.clip(taps, 0, self.frames - 1)[..., np.newaxis]
        self._time = np.maximum(1 - np.abs(taps - np.arange(self.frames)), 0)
        own, other = self.source.num_mels, self.target.num_mels
        self.kernel = self.add_weight(shape=(len(self._time), own, other), name="kernel")
        self.bias = self.add_weight(shape=(other,), name="bias")
        self.texture = self.add_weight(shape=(self._num_frames, other), name="texture")

    def call(self, log_mel):
        """(batch, frames, source bands, 1) to (batch, target frames, target bands, 1)."""
        found = log_mel[..., 0] if self._is_same else self._translated(log_mel[..., 0])
        if self._places is not None:
            found = ops.take(found, self._places, axis=1)
        return found[..., np.newaxis]

    def _translated(self, log_mel):
        source, target = self.source, self.target
        shift = -noise_level(source) - 2 / source.power * np.log(source.log_scale)
        levels = ops.maximum(log_mel, source.silence) * power_factor(source)
        levels = ops.logaddexp(
            levels + self._constant(shift), self._constant(source_floor(source, target))
        )
        combined = self.bias
        for tap, weights in enumerate(self._time):
            moved = ops.matmul(self._constant(weights), levels)
            combined = combined + ops.matmul(moved, self.kernel[tap])
        # Only what is above the floor of the logarithm has a texture.
        floor = power_floor(target)
        combined = ops.maximum(combined, floor)
        combined = combined + self.texture * (1 - ops.exp(floor - combined))
        combined = combined + 2 / target.power * np.log(target.log_scale)
        return ops.maximum(combined / power_factor(target), target.silence)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the excerpts that come out."""
        num_frames = self.target_frames or self._num_frames
        return (input_shape[0], num_frames, self.target.num_mels, 1)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made from."""
        return {
            **super().get_config(),
            "source": dataclasses.asdict(self.source),
            "target": dataclasses.asdict(self.target),
            "frames": self.frames,
            "target_frames": self.target_frames,
        }

    def _constant(self, values: np.ndarray):
        return ops.convert_to_tensor(values, self.compute_dtype)


def _places(num_frames: int, wanted: int | None) -> np.ndarray | None:
    """The frames that come out, of ``num_frames``; None for all of them."""
    if wanted is None or wanted == num_frames:
        return None
    if wanted < num_frames:
        return np.arange(wanted) + (num_frames - wanted) // 2
    before = (wanted - num_frames) // 2
    return np.pad(np.arange(num_frames), (before, wanted - num_frames - before), "reflect")


def _description(target: FrontEnd, num_frames: int, wanted: int | None) -> str:
    secs = f"{num_frames / target.frames_per_second:.1f} s"
    if wanted is None or wanted == num_frames:
        return f"The classifier gets all {num_frames} frames ({secs})."
    if wanted < num_frames:
        return f"The classifier gets the middle {wanted} of {num_frames} frames ({secs})."
    return (
        f"The excerpt of {num_frames} frames ({secs}) is reflected at both ends until the "
        f"classifier's {wanted} are full."
    )
