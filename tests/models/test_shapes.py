"""Models in other forms than the stages use become that form, and compute the same."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from svdam.core.validation import InputError
from svdam.models.memory import activation_bytes
from svdam.models.shapes import fitted_model, matched_models, plain_model

EXCERPT = (12, 4, 1)
RNG = np.random.RandomState(0)


def two_heads(names=True):
    excerpt = keras.Input(EXCERPT, name="excerpt")
    x = layers.Dense(5, name="trunk")(layers.Flatten()(excerpt))
    genres = layers.Dense(3, name="dense_g")(layers.Dense(4, name="hidden_g")(x))
    mood = layers.Dense(1, name="dense_m")(layers.Dense(4, name="hidden_m")(x))
    outputs = {"mood": mood, "genres": genres} if names else [mood, genres]
    return keras.Model({"excerpt": excerpt}, outputs), genres, mood


@pytest.mark.parametrize("structure", [lambda x: [x], lambda x: (x,), lambda x: {"classes": x}])
def test_one_output_in_a_structure(structure):
    excerpt = keras.Input(EXCERPT, name="excerpt")
    output = layers.Dense(3, name="last")(layers.Flatten()(excerpt))
    model = keras.Model({"excerpt": excerpt}, structure(output))
    plain = plain_model(model, "it")
    values = RNG.normal(size=(2, *EXCERPT))
    (expected,) = keras.tree.flatten(model({"excerpt": values}))
    np.testing.assert_array_equal(plain(values), expected)
    names = [layer.name for layer in plain.layers]
    assert "last" in names and ("classes" in names) == isinstance(model.output, dict)
    assert plain_model(plain, "it") is plain


@pytest.mark.parametrize(
    ("wanted", "units"),
    [
        ("genres", 3),
        ("mood", 1),
        ("hidden_g", 3),
        ("hidden_m", 1),
        ("hidden_m_pre", 1),
        ("trunk", 3),
    ],
)
def test_of_several_outputs_the_one_that_is_named(wanted, units):
    model, *_ = two_heads()
    plain = plain_model(model, "it", [wanted])
    values = RNG.normal(size=(2, *EXCERPT))
    expected = {3: "genres", 1: "mood"}[units]
    np.testing.assert_array_equal(plain(values), model({"excerpt": values})[expected])


@pytest.mark.parametrize("wanted", [(), ("output",), ("genres", "mood"), ("hidden_g", "hidden_m")])
def test_several_outputs_are_refused_with_their_names(wanted):
    model, *_ = two_heads()
    message = r"it has 2 outputs \(genres \(None, 3\), mood \(None, 1\)\), expected one"
    with pytest.raises(InputError, match=message):
        plain_model(model, "it", wanted)


def test_several_inputs_are_refused_with_their_names():
    inputs = [keras.Input(EXCERPT, name="sound"), keras.Input((2,), name="singer")]
    model = keras.Model(inputs, layers.Dense(1)(inputs[1]))
    with pytest.raises(InputError, match=r"2 inputs \(sound \(None, 12, 4, 1\), singer \(None, 2"):
        plain_model(model, "it")


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize("model", [Subclassed(), keras.Sequential([layers.Dense(2)])])
def test_models_without_a_graph_are_refused(model):
    with pytest.raises(InputError, match="it does not define its input"):
        plain_model(model, "it")


def convolutions(shape):
    """A model for any length."""
    keras.utils.set_random_seed(1)
    excerpt = keras.Input(shape)
    x = excerpt if len(shape) == 3 else layers.Reshape((-1, 4, 1))(excerpt)
    x = layers.Normalization(axis=2, mean=np.arange(4.0), variance=np.ones(4))(x)
    x = layers.Conv2D(3, 3, name="conv")(x)
    return keras.Model(excerpt, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize(
    "shape", [(None, 4, 1), (None, None, 1), (None, 4), (12, 4), (None, 4, None), (12, 4, 1)]
)
def test_open_axes_and_a_missing_channel(shape):
    if None in shape[1:]:
        excerpt = keras.Input(shape)
        model = keras.Model(excerpt, ops.tanh(ops.mean(excerpt, axis=(1, 2, 3))))
    else:
        model = convolutions(shape)
    fitted = fitted_model(model, EXCERPT, "it")
    assert fitted.input_shape == (None, *EXCERPT)
    values = RNG.normal(size=(3, *EXCERPT))
    own = values if len(shape) == 3 else values[..., 0]
    np.testing.assert_allclose(fitted(values), model(own), rtol=1e-5, atol=1e-6)
    assert {one.name for one in model.layers} <= {one.name for one in fitted.layers}
    assert fitted_model(fitted, EXCERPT, "it") is fitted


def test_channels_first():
    excerpt = keras.Input((1, 12, 4))
    model = keras.Model(excerpt, layers.Flatten()(layers.Permute((2, 3, 1))(excerpt)))
    values = RNG.normal(size=(3, *EXCERPT)).astype(np.float32)
    np.testing.assert_array_equal(fitted_model(model, EXCERPT, "it")(values), values.reshape(3, -1))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((11, 4, 1), r"it takes \(11, 4, 1\), expected \(12, 4, 1\); if .* --front_end="),
        ((None, 5, 1), r"it takes \(None, 5, 1\), expected \(12, 4, 1\); if .* --front_end="),
        ((4, 12, 1), r"its axes are \(mels, frames\): put a Permute layer"),
        ((48,), "it may be a generator"),
        ((12, 4, 3), r"it takes \(12, 4, 3\)"),
        ((12, 4, 1, 2), r"it takes \(12, 4, 1, 2\)"),
    ],
)
def test_other_shapes_are_refused(shape, words):
    excerpt = keras.Input(shape)
    with pytest.raises(InputError, match=words):
        fitted_model(keras.Model(excerpt, layers.Flatten()(excerpt)), EXCERPT, "it")


def inside_a_model(layer):
    frames = keras.Input(batch_shape=(5, 12, 4))
    return keras.Model(frames, layer(frames))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.LSTM(3),
        lambda: layers.LSTM(3, stateful=True),
        lambda: layers.Bidirectional(layers.GRU(3, stateful=True)),
        lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], stateful=True),
        lambda: inside_a_model(layers.LSTM(3, stateful=True)),
    ],
)
def test_a_fixed_batch_size_is_lifted_and_no_state_is_kept(layer):
    keras.utils.set_random_seed(2)
    excerpt = keras.Input(batch_shape=(5, *EXCERPT))
    x = layer()(layers.Reshape((12, 4))(excerpt))
    model = keras.Model(excerpt, layers.Dense(1)(x))
    fitted = fitted_model(model, EXCERPT, "it")
    values = RNG.normal(size=(5, *EXCERPT))
    expected = np.asarray(model(values))
    np.testing.assert_allclose(fitted(values), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fitted(values[:2]), expected[:2], rtol=1e-5, atol=1e-6)


def test_a_model_that_depends_on_its_batch_size_is_refused():
    excerpt = keras.Input(batch_shape=(5, *EXCERPT))
    model = keras.Model(excerpt, layers.Dense(1)(ops.reshape(excerpt, (5, 48))))
    with pytest.raises(InputError, match="it takes batches of 5 only; rebuild it"):
        fitted_model(model, EXCERPT, "it")


def test_memory_of_a_nested_model_counts_at_the_size_that_is_known():
    inner = convolutions((None, 4, 1))
    excerpt = keras.Input((None, 4, 1))
    outer = keras.Model(excerpt, layers.Dense(1)(inner(excerpt)))
    fixed = keras.Input(EXCERPT)
    expected = keras.Model(fixed, layers.Dense(1)(convolutions(EXCERPT)(fixed)))
    assert activation_bytes(fitted_model(outer, EXCERPT, "it")) == activation_bytes(expected)
    values = RNG.normal(size=(2, *EXCERPT))
    np.testing.assert_allclose(fitted_model(outer, EXCERPT, "it")(values), outer(values), rtol=1e-5)


def test_a_nested_model_that_is_called_at_two_sizes():
    inner = convolutions((None, 4, 1))
    excerpt = keras.Input((None, 4, 1))
    both = layers.Add()([inner(excerpt), inner(layers.Cropping2D(((0, 4), (0, 0)))(excerpt))])
    outer = keras.Model(excerpt, both)
    values = RNG.normal(size=(2, *EXCERPT))
    np.testing.assert_allclose(fitted_model(outer, EXCERPT, "it")(values), outer(values), rtol=1e-5)


def test_a_subclassed_model_inside_is_left_as_it_is():
    excerpt = keras.Input((None, 4, 1))
    outer = keras.Model(excerpt, layers.GlobalAveragePooling2D()(Subclassed()(excerpt)))
    values = RNG.normal(size=(2, *EXCERPT))
    np.testing.assert_allclose(fitted_model(outer, EXCERPT, "it")(values), outer(values), rtol=1e-5)


def test_what_was_adapted_stays_so():
    excerpt = keras.Input((None, 4, 1))
    standardise = layers.Normalization(axis=2)
    standardise.adapt(RNG.normal(3, 2, size=(20, *EXCERPT)))
    model = keras.Model(excerpt, layers.GlobalAveragePooling2D()(standardise(excerpt)))
    values = RNG.normal(size=(2, *EXCERPT))
    np.testing.assert_allclose(fitted_model(model, EXCERPT, "it")(values), model(values), rtol=1e-5)


def generator(shape=EXCERPT, batch_size=None, structure=lambda x: x):
    latent = keras.Input(batch_shape=(batch_size, 6), name="latent")
    x = layers.Dense(int(np.prod(shape)))(latent)
    return keras.Model(latent, structure(layers.Reshape(shape)(x)))


@pytest.mark.parametrize(
    "made",
    [
        generator((12, 4)),
        generator((1, 12, 4)),
        generator(batch_size=7),
        generator(structure=lambda x: {"excerpt": x}),
        generator(structure=lambda x: [x]),
    ],
)
@pytest.mark.parametrize("taken", [(None, 4, 1), (12, 4), EXCERPT])
def test_generator_and_classifier_are_matched(made, taken):
    pair = matched_models(made, convolutions(taken))
    assert pair[0].input_shape == (None, 6)
    assert pair[0].output_shape == pair[1].input_shape == (None, *EXCERPT)


def test_the_size_of_a_generator_that_leaves_it_open_is_what_it_makes():
    latent = keras.Input((6,))
    x = layers.Reshape((12, 4, 1))(layers.Dense(48)(latent))
    open_end = keras.Model(latent, OpenLength()(x))
    assert open_end.output_shape == (None, None, 4, 1)
    pair = matched_models(open_end, convolutions((None, 4, 1)))
    assert pair[0].output_shape == pair[1].input_shape == (None, *EXCERPT)


class OpenLength(layers.Layer):
    """Says nothing about the length that it puts out."""

    def call(self, x):
        return x

    def compute_output_shape(self, shape):
        return (shape[0], None, *shape[2:])

    def compute_output_spec(self, x):
        return keras.KerasTensor(self.compute_output_shape(x.shape))


def test_without_a_generator_the_classifier_says_the_size():
    assert matched_models(None, convolutions((12, 4)))[1].input_shape == (None, *EXCERPT)
    with pytest.raises(
        InputError, match=r"--classifier: its input shape \(None, 4, 1\) is variable"
    ):
        matched_models(None, convolutions((None, 4, 1)))


def test_models_that_do_not_match_are_refused():
    with pytest.raises(InputError, match=r"makes excerpts of shape \(12, 5, 1\), but"):
        matched_models(generator((12, 5, 1)), convolutions((None, 4, 1)))
    with pytest.raises(InputError, match="swapped"):
        matched_models(convolutions(EXCERPT), generator())
