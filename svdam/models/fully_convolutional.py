"""Predicts every frame of a recording at the price of a few excerpts.

A classifier of excerpts slides over a recording one frame at a time, so neighbouring excerpts share
nearly all of their work. Schlueter & Grill (ISMIR 2015) therefore turn the network into a fully
convolutional one, as done here: pooling moves by one frame instead of three, what follows it is
dilated by three instead, and the first dense layer becomes a convolution over the whole excerpt.
The result is the same number for every frame, at about a thirtieth of the time.

Only time is treated so; in frequency the network stays as it is. Recordings go through it in
chunks, which bounds the memory. A classifier that is no plain chain of convolutions, pooling and
dense layers is applied excerpt by excerpt.
"""

import warnings
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import InputError, require_log_mel
from svdam.models.probabilities import num_classes

CHUNK_FRAMES = 2048  # About 250 MB of activations for SVDNet; longer chunks are no faster.
EXCERPT_BATCH = 32
_KEPT_LAYERS = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.Normalization,
    keras.layers.ReLU,
)
_DROPPED_LAYERS = (
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.SpatialDropout2D,
)


class NotConvertibleError(ValueError):
    """The classifier has no fully convolutional form; the message says why."""


class FramePredictor:
    """Applies a classifier of excerpts to every frame of recordings.

    The excerpt of a frame has the frame at its centre; beyond either end of a recording is silence,
    the log-mel value log(1e-7). So every frame gets a prediction, also in recordings that are
    shorter than an excerpt.

    Attributes:
        is_convolutional: Whether the fast form is used. False for classifiers that have none.
        num_outputs: Values of a prediction.
    """

    def __init__(
        self,
        classifier: keras.Model,
        front_end: FrontEnd = FRONT_END,
        *,
        chunk_frames: int = CHUNK_FRAMES,
        excerpt_by_excerpt: bool = False,
    ):
        """Prepares the predictor; the classifier is left as it is.

        Args:
            classifier: From (batch, excerpt_frames, num_mels, 1) raw log-mel to (batch, outputs).
            front_end: Front end of the recordings.
            chunk_frames: Frames predicted at once.
            excerpt_by_excerpt: Applies the classifier as it is: slow, and the measure of the rest.

        Raises:
            InputError: If the classifier takes or gives something else.
        """
        self._front_end = front_end
        self.num_outputs = _validated_num_outputs(classifier, front_end)
        self.is_convolutional = not excerpt_by_excerpt
        if self.is_convolutional:
            try:
                model = fully_convolutional(classifier)
            except NotConvertibleError as error:
                self.is_convolutional = False
                warnings.warn(
                    f"{error}: predicting excerpt by excerpt, which is slow", stacklevel=2
                )
        if self.is_convolutional:
            self._chunk_frames = chunk_frames
        else:
            model = classifier
            self._chunk_frames = min(chunk_frames, EXCERPT_BATCH)
        self._apply = tf.function(
            lambda batch: model(batch, training=False),
            input_signature=[tf.TensorSpec((None, None, front_end.num_mels, 1), tf.float32)],
        )

    def predict(
        self, log_mel: np.ndarray, on_frames: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """Predictions of every frame.

        Args:
            log_mel: (frames, num_mels) raw log-mel, of any length, also none.
            on_frames: Called with the number of frames done since its last call.

        Returns:
            (frames, num_outputs) float32: what the classifier gives, logits for SVDNet.
        """
        log_mel = require_log_mel(log_mel, self._front_end.num_mels)
        predictions = np.empty((len(log_mel), self.num_outputs), np.float32)
        for start, chunk in self._padded_chunks(log_mel):
            frames = len(chunk) - self._front_end.excerpt_frames + 1
            predictions[start : start + frames] = self._predict_chunk(chunk)
            if on_frames:
                on_frames(frames)
        return predictions

    def _predict_chunk(self, chunk: np.ndarray) -> np.ndarray:
        if self.is_convolutional:
            return self._apply(chunk[None, :, :, None])[0].numpy()
        excerpts = np.lib.stride_tricks.sliding_window_view(
            chunk, self._front_end.excerpt_frames, axis=0
        )
        outputs = self._apply(np.ascontiguousarray(excerpts.swapaxes(1, 2))[..., None]).numpy()
        return outputs.reshape(len(excerpts), self.num_outputs)

    def _padded_chunks(self, log_mel: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (first frame, log-mel of a chunk with the context of its first and last frame)."""
        before = self._front_end.context_frames
        after = self._front_end.excerpt_frames - 1 - before
        for start in range(0, len(log_mel), self._chunk_frames):
            stop = min(start + self._chunk_frames, len(log_mel))
            first, last = max(start - before, 0), min(stop + after, len(log_mel))
            missing = (before - (start - first), after - (last - stop))
            yield (
                start,
                np.pad(
                    np.asarray(log_mel[first:last], np.float32),
                    (missing, (0, 0)),
                    constant_values=self._front_end.silence,
                ),
            )


def fully_convolutional(classifier: keras.Model) -> keras.Model:
    """The fully convolutional form of a classifier of excerpts.

    Args:
        classifier: A chain of convolutions, pooling, activations and dense layers, as SVDNet, from
            (batch, excerpt_frames, num_mels, 1) to (batch, outputs).

    Returns:
        A model with weights of its own, from (batch, frames, num_mels, 1) to
        (batch, frames - excerpt_frames + 1, outputs).

    Raises:
        NotConvertibleError: If a layer cannot slide over time.
    """
    chain = _chain_of_layers(classifier)
    inputs = keras.Input((None, *classifier.input_shape[2:]), name=chain[0].name)
    sliding = _Sliding(inputs)
    for layer in chain[1:]:
        sliding.append(layer)
    outputs = sliding.features
    if not sliding.is_dense:
        raise NotConvertibleError("the classifier does not end in dense layers")
    outputs = keras.layers.Reshape((-1, outputs.shape[-1]))(outputs)
    # Frames at an excerpt's end that no pooling window covers: as many predictions too many.
    unused = classifier.input_shape[1] - sliding.receptive_frames
    outputs = keras.layers.Cropping1D((0, unused))(outputs)
    return keras.Model(inputs, outputs, name=f"{classifier.name}_fully_convolutional")


class _Sliding:
    """A growing fully convolutional network.

    Attributes:
        features: What its last layer gives.
        dilation: Frames between features that were neighbours in the classifier.
        receptive_frames: Frames of the input that one feature sees.
        flattened_shape: (time, mel, channels) of what was flattened last.
        is_dense: Whether the first dense layer has been added.
    """

    def __init__(self, inputs):
        self.features = inputs
        self.dilation = 1
        self.receptive_frames = 1
        self.flattened_shape = None
        self.is_dense = False

    def append(self, layer: keras.layers.Layer) -> None:
        """Adds the sliding form of ``layer``."""
        if isinstance(layer, _DROPPED_LAYERS):
            return
        if isinstance(layer, keras.layers.Flatten):
            self.flattened_shape = layer.input.shape[1:]
        elif isinstance(layer, keras.layers.Dense):
            self._append_dense(layer)
        elif type(layer) is keras.layers.Conv2D and not self.is_dense:
            self._append_convolution(layer)
        elif type(layer) is keras.layers.MaxPooling2D and not self.is_dense:
            self._append_pooling(layer)
        elif isinstance(layer, _KEPT_LAYERS) and self._is_same_at_all_times(layer):
            self._append_copy(layer)
        else:
            raise NotConvertibleError(
                f"layer {layer.name!r} ({type(layer).__name__}) of the classifier cannot slide"
            )

    def _is_same_at_all_times(self, layer: keras.layers.Layer) -> bool:
        axis = getattr(layer, "axis", None)
        axes = {axis} if isinstance(axis, int) else set(axis or ())
        # Between flattening and the dense layer the channels are not where the layer expects them.
        return not axes or (not axes & {1, -3} and (self.flattened_shape is None or self.is_dense))

    def _append_copy(self, layer: keras.layers.Layer, **changes) -> None:
        copy = type(layer).from_config({**layer.get_config(), **changes})
        self.features = copy(self.features)
        copy.set_weights(layer.get_weights())

    def _append_convolution(self, layer: keras.layers.Conv2D) -> None:
        if layer.padding != "valid" or tuple(layer.strides) != (1, 1):
            raise NotConvertibleError(
                f"layer {layer.name!r} of the classifier is padded or strided"
            )
        time_rate, mel_rate = layer.dilation_rate
        self.receptive_frames += (layer.kernel_size[0] - 1) * time_rate * self.dilation
        self._append_copy(layer, dilation_rate=(time_rate * self.dilation, mel_rate))

    def _append_pooling(self, layer: keras.layers.MaxPooling2D) -> None:
        if layer.padding != "valid":
            raise NotConvertibleError(f"layer {layer.name!r} of the classifier is padded")
        (time_size, mel_size), (time_stride, mel_stride) = layer.pool_size, layer.strides
        pooled = keras.layers.MaxPooling2D((1, mel_size), (1, mel_stride), name=layer.name)
        over_time = _DilatedTimeMaximum(time_size, self.dilation, name=f"{layer.name}_time")
        self.features = over_time(pooled(self.features))
        self.receptive_frames += (time_size - 1) * self.dilation
        self.dilation *= time_stride

    def _append_dense(self, layer: keras.layers.Dense) -> None:
        """A dense layer; the first one becomes a convolution over all times and bands."""
        if self.is_dense:
            self._append_copy(layer)
            return
        if self.flattened_shape is None or len(self.flattened_shape) != 3:
            raise NotConvertibleError(f"layer {layer.name!r} of the classifier is applied to a map")
        time, mel, channels = self.flattened_shape
        convolution = keras.layers.Conv2D(
            layer.units,
            (time, mel),
            dilation_rate=(self.dilation, 1),
            activation=layer.activation,
            use_bias=layer.use_bias,
            dtype=layer.dtype_policy,
            name=layer.name,
        )
        self.features = convolution(self.features)
        kernel, *bias = layer.get_weights()
        convolution.set_weights([kernel.reshape(time, mel, channels, layer.units), *bias])
        self.receptive_frames += (time - 1) * self.dilation
        self.is_dense = True


class _DilatedTimeMaximum(keras.layers.Layer):
    """Maximum over ``size`` frames that are ``dilation`` frames apart, for every first frame."""

    def __init__(self, size: int, dilation: int, **options):
        super().__init__(**options)
        self._size, self._dilation = size, dilation

    def call(self, features):
        """Of (batch, frames, mels, channels); (size - 1) dilation frames fewer come out."""
        frames = tf.shape(features)[1] - (self._size - 1) * self._dilation
        maximum = features[:, :frames]
        for step in range(1, self._size):
            first = step * self._dilation
            maximum = tf.maximum(maximum, features[:, first : first + frames])
        return maximum

    def compute_output_shape(self, input_shape):
        """The shape of a batch, for Keras; the number of frames is left open."""
        return (input_shape[0], None, *input_shape[2:])


def _chain_of_layers(classifier: keras.Model) -> list[keras.layers.Layer]:
    """The classifier's layers, each of which takes what the one before gives."""
    chain = list(classifier.layers)
    if not chain or not isinstance(chain[0], keras.layers.InputLayer):
        # A Sequential model hides its input layer.
        chain.insert(0, keras.layers.InputLayer(batch_shape=classifier.input_shape))
        previous = classifier.inputs[0]
    else:
        previous = chain[0].output
    for layer in chain[1:]:
        try:
            follows = layer.input is previous
        except (AttributeError, ValueError):
            follows = False  # No input, or several.
        if not follows:
            raise NotConvertibleError(f"layer {layer.name!r} of the classifier is in no chain")
        previous = layer.output
    if previous is not classifier.outputs[0]:
        raise NotConvertibleError("the classifier's output is not its last layer's")
    return chain


def _validated_num_outputs(classifier: keras.Model, front_end: FrontEnd) -> int:
    expected = (None, front_end.excerpt_frames, front_end.num_mels, 1)
    if len(classifier.inputs) != 1 or tuple(classifier.input_shape) != expected:
        raise InputError(
            f"classifier: found input shape {classifier.input_shape}, expected {expected}: raw "
            "log-mel excerpts"
        )
    count = num_classes(classifier) if len(classifier.outputs) == 1 else None
    if count is None:
        raise InputError(
            f"classifier: found output shape {classifier.output_shape}, expected (None, outputs)"
        )
    return count
