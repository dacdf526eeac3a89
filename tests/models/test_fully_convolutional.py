"""Predictions of every frame against the classifier applied to one excerpt after the other."""

import keras
import numpy as np
import pytest
from keras import layers

from svdam.core.config import FRONT_END
from svdam.core.validation import InputError
from svdam.models.classifier import build_svdnet
from svdam.models.fully_convolutional import (
    FramePredictor,
    NotConvertibleError,
    fully_convolutional,
)


def log_mel_of(frames, seed=0):
    return (np.random.RandomState(seed).randn(frames, 80) * 2 - 5).astype(np.float32)


def excerpt_by_excerpt(classifier, log_mel):
    """The definition: the excerpt around each frame, silence beyond the ends."""
    silence = np.full((57, 80), np.log(1e-7), np.float32)
    padded = np.concatenate([silence, log_mel, silence])
    excerpts = np.stack([padded[frame : frame + 115] for frame in range(len(log_mel))])
    return np.concatenate(
        [
            classifier(excerpts[start : start + 16, :, :, None], training=False).numpy()
            for start in range(0, len(log_mel), 16)
        ]
    )


def give_biases(model, seed=1):
    """Random biases, so that no bias can be lost unnoticed."""
    random = np.random.RandomState(seed)
    for layer in model.layers:
        if isinstance(layer, (layers.Dense, layers.Conv2D)):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, 0.1 * random.randn(*bias.shape)])
    return model


@pytest.fixture(scope="module")
def svdnet():
    keras.utils.set_random_seed(20)
    random = np.random.RandomState(2)
    return give_biases(build_svdnet(random.randn(80) - 5, random.rand(80) + 1, num_outputs=2))


@pytest.mark.parametrize("frames", [1, 58, 114, 115, 140])
def test_equals_excerpt_by_excerpt(svdnet, frames):
    log_mel = log_mel_of(frames)
    predictor = FramePredictor(svdnet, chunk_frames=64)
    assert predictor.is_convolutional
    predictions = predictor.predict(log_mel)
    assert predictions.dtype == np.float32
    np.testing.assert_allclose(predictions, excerpt_by_excerpt(svdnet, log_mel), atol=1e-5)


@pytest.mark.parametrize("chunk_frames", [1, 7, 29, 30])
def test_chunks_leave_no_seam(svdnet, chunk_frames):
    log_mel = log_mel_of(30)
    whole = FramePredictor(svdnet).predict(log_mel)
    chunks = FramePredictor(svdnet, chunk_frames=chunk_frames).predict(log_mel)
    np.testing.assert_allclose(chunks, whole, atol=1e-5)


def test_no_frames(svdnet):
    assert FramePredictor(svdnet).predict(np.zeros((0, 80), np.float32)).shape == (0, 2)


def test_progress_counts_every_frame(svdnet):
    done = []
    FramePredictor(svdnet, chunk_frames=50).predict(log_mel_of(120), done.append)
    assert done == [50, 50, 20]


def test_leaves_the_classifier_as_it_was(svdnet):
    before = [np.copy(value) for value in svdnet.get_weights()]
    fully_convolutional(svdnet)
    assert all((a == b).all() for a, b in zip(before, svdnet.get_weights(), strict=True))
    assert svdnet.get_layer("conv1").input is svdnet.get_layer("conv1_pre").output


def chain_with_batch_normalization():
    return keras.Sequential(
        [
            keras.Input((115, 80, 1)),
            layers.Conv2D(3, (4, 5), dilation_rate=(2, 1)),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D((2, 4)),
            layers.Conv2D(4, (3, 2), activation="tanh"),
            layers.MaxPooling2D((3, 2), strides=(2, 3)),
            layers.Flatten(),
            layers.LeakyReLU(),
            layers.Dense(5, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )


def test_other_chains_slide_too():
    keras.utils.set_random_seed(21)
    model = chain_with_batch_normalization()
    random = np.random.RandomState(3)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.rand(*value.shape) + 0.5 for value in layer.get_weights()])
    predictor = FramePredictor(model, chunk_frames=60)
    assert predictor.is_convolutional
    log_mel = log_mel_of(130)
    np.testing.assert_allclose(
        predictor.predict(log_mel), excerpt_by_excerpt(model, log_mel), atol=1e-5
    )


def residual():
    inputs = keras.Input((115, 80, 1))
    x = layers.Conv2D(2, 3, padding="same")(inputs)
    return keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Add()([x, inputs]))))


def recurrent():
    inputs = keras.Input((115, 80, 1))
    x = layers.GRU(3)(layers.Reshape((115, 80))(inputs))
    return keras.Model(inputs, layers.Dense(1)(x))


def averaging():
    inputs = keras.Input((115, 80, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(inputs))
    return keras.Model(inputs, layers.Dense(1)(x))


def normalised_over_time():
    inputs = keras.Input((115, 80, 1))
    x = layers.Normalization(axis=1, mean=np.arange(115.0), variance=np.ones(115))(inputs)
    return keras.Model(inputs, layers.Dense(1)(layers.Flatten()(x)))


def per_time_dense():
    inputs = keras.Input((115, 80, 1))
    return keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Dense(2)(inputs))))


def strided():
    inputs = keras.Input((115, 80, 1))
    return keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Conv2D(2, 3, 2)(inputs))))


@pytest.mark.parametrize(
    "build", [residual, recurrent, averaging, normalised_over_time, per_time_dense, strided]
)
def test_what_cannot_slide_is_applied_excerpt_by_excerpt(build):
    keras.utils.set_random_seed(22)
    model = build()
    with pytest.raises(NotConvertibleError):
        fully_convolutional(model)
    with pytest.warns(UserWarning, match="excerpt by excerpt"):
        predictor = FramePredictor(model)
    assert not predictor.is_convolutional
    log_mel = log_mel_of(40)
    np.testing.assert_allclose(
        predictor.predict(log_mel), excerpt_by_excerpt(model, log_mel), atol=1e-4, rtol=1e-5
    )


def test_silence_beyond_the_ends_is_the_front_ends_floor(svdnet):
    silent = np.full((9, 80), FRONT_END.silence, np.float32)
    predictions = FramePredictor(svdnet).predict(silent)
    np.testing.assert_allclose(predictions, np.tile(predictions[:1], (9, 1)), atol=1e-5)


def test_refuses_a_classifier_of_other_input():
    inputs = keras.Input((100, 80, 1))
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(inputs)))
    with pytest.raises(InputError, match=r"found input shape \(None, 100, 80, 1\)"):
        FramePredictor(model)


def test_refuses_a_map_of_outputs():
    inputs = keras.Input((115, 80, 1))
    with pytest.raises(InputError, match="found output shape"):
        FramePredictor(keras.Model(inputs, layers.Conv2D(1, 3)(inputs)))


@pytest.mark.parametrize("log_mel", [np.zeros((9, 81)), np.zeros(80), np.full((9, 80), np.nan)])
def test_refuses_what_is_no_log_mel(svdnet, log_mel):
    with pytest.raises(InputError, match="log-mel"):
        FramePredictor(svdnet).predict(log_mel)
