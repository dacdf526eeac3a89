"""Activations by name: inside models inside models, of several calls, with several outputs.

Every value is compared with the layer called by hand, on what goes into it.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from svdam.core.validation import InputError
from svdam.explain.activations import Activations, layer_units
from svdam.explain.maximization import Maximizer, maximize
from svdam.explain.responses import response_function
from svdam.explain.starts import latents_from_seeds

EXCERPT = (12, 8, 1)


@pytest.fixture
def excerpts():
    return np.random.RandomState(0).normal(size=(3, *EXCERPT)).astype(np.float32)


@pytest.fixture(scope="module")
def generator():
    latent = keras.Input((4,))
    return keras.Model(latent, layers.Reshape(EXCERPT)(layers.Dense(96)(latent)))


def backbone(name="backbone"):
    excerpt = keras.Input(EXCERPT)
    x = layers.Conv2D(3, 3, activation="relu", name="edges")(excerpt)
    return keras.Model(excerpt, layers.AveragePooling2D(2, name="pool")(x), name=name)


def over(model, *more):
    """A classifier on top of a model of excerpts."""
    excerpt = keras.Input(EXCERPT)
    x = layers.GlobalAveragePooling2D()(model(excerpt))
    return keras.Model(excerpt, layers.Dense(2, name="classes")(x))


def value(classifier, response, excerpts):
    """The response, inside a graph as commands compute it."""
    return tf.function(response_function(classifier, response))(excerpts).numpy()


def mean(values):
    values = np.asarray(values)
    return values.mean(axis=tuple(range(1, values.ndim)))


@pytest.mark.parametrize("kind", ["functional", "sequential", "subclassed"])
def test_layers_of_a_model_in_the_classifier(kind, excerpts):
    edges = layers.Conv2D(3, 3, activation="relu", name="edges")
    pool = layers.AveragePooling2D(2, name="pool")
    if kind == "functional":
        excerpt = keras.Input(EXCERPT)
        inner = keras.Model(excerpt, pool(edges(excerpt)), name="backbone")
    elif kind == "sequential":
        inner = keras.Sequential([edges, pool], name="backbone")
    else:

        class Backbone(keras.Model):
            def __init__(self):
                super().__init__(name="backbone")
                self.edges, self.pool = edges, pool

            def call(self, x):
                return self.pool(self.edges(x))

        inner = Backbone()
    classifier = over(inner)
    for name, expected in (
        ("backbone.edges:2", mean(edges(excerpts)[..., 2])),
        ("backbone.edges", mean(edges(excerpts))),
        ("backbone.edges_pre:1", mean(edges.convolution_op(excerpts, edges.kernel)[..., 1])),
        ("backbone:2", mean(inner(excerpts)[..., 2])),
        ("backbone.pool - backbone", np.zeros(3)),
        ("classes:1", np.asarray(classifier(excerpts))[:, 1]),
    ):
        np.testing.assert_allclose(value(classifier, name, excerpts), expected, atol=1e-5)


def test_models_twice_deep_and_python_functions(excerpts):
    excerpt = keras.Input(EXCERPT)
    middle = keras.Model(excerpt, backbone()(excerpt), name="middle")
    classifier = over(middle)
    edges = middle.get_layer("backbone").get_layer("edges")
    expected = np.asarray(edges(excerpts))
    found = value(classifier, "middle.backbone.edges:1", excerpts)
    np.testing.assert_allclose(found, mean(expected[..., 1]), atol=1e-5)

    def loudest(named):
        return tf.reduce_max(named["middle.backbone.edges"], axis=(1, 2, 3))

    found = value(classifier, loudest, excerpts)
    np.testing.assert_allclose(found, expected.max(axis=(1, 2, 3)), atol=1e-5)
    found = layer_units(classifier, "middle.backbone.edges", EXCERPT)(excerpts)
    np.testing.assert_allclose(found, expected.reshape(3, -1), atol=1e-5)
    with pytest.raises(InputError, match=r"no layer 'edges'; it has 'middle.backbone.edges'"):
        response_function(classifier, "edges")


def test_units_of_a_layer_of_more_excerpts_than_a_batch():
    inputs = keras.Input((6, 4, 1))
    flat = layers.Flatten(name="fc2")(layers.Rescaling(2.0, name="scaled")(inputs))
    classifier = keras.Model(inputs, layers.Dense(1, name="logit")(flat))
    many = np.random.default_rng(3).normal(size=(70, 6, 4, 1)).astype(np.float32)
    units = layer_units(classifier, "fc2", (6, 4, 1))(many)
    np.testing.assert_allclose(units, 2 * many.reshape(70, -1), rtol=1e-6)
    with pytest.raises(InputError, match=r"--distance_layer: .*no layer 'fc9'; it has .*'fc2'"):
        layer_units(classifier, "fc9", (6, 4, 1), "distance_layer")


def test_each_call_of_a_shared_layer_and_of_a_shared_model(excerpts):
    inner, dense = backbone(), layers.Dense(2, name="shared")
    excerpt = keras.Input(EXCERPT)
    calls = [dense(layers.Flatten()(inner(x))) for x in (excerpt, 2 * excerpt)]
    classifier = keras.Model(excerpt, layers.Subtract(name="difference")(calls))
    edges = inner.get_layer("edges")
    for number, x in ((1, excerpts), (2, 2 * excerpts)):
        found = value(classifier, f"backbone#{number}.edges:0", excerpts)
        np.testing.assert_allclose(found, mean(edges(x)[..., 0]), atol=1e-5)
        expected = np.asarray(dense(keras.ops.reshape(inner(x), (3, -1))))
        found = value(classifier, f"shared#{number}:1", excerpts)
        np.testing.assert_allclose(found, expected[:, 1], atol=1e-5)
    with pytest.raises(InputError, match=r"'shared' .*name one: 'shared#1', 'shared#2'"):
        response_function(classifier, "shared:1")
    with pytest.raises(InputError, match=r"name one: 'backbone#1.edges', 'backbone#2.edges'"):
        response_function(classifier, "backbone.edges")


def test_layers_and_models_with_several_outputs(excerpts):
    excerpt = keras.Input(EXCERPT)
    x = layers.Reshape((12, 8))(excerpt)
    both = keras.Model(x_in := keras.Input((12, 8)), {"a": 2 * x_in, "b": 3 * x_in}, name="both")
    parts = both(x)
    lstm = layers.LSTM(4, return_state=True, name="lstm")
    outputs, _, state = lstm(layers.Add()([parts["a"], parts["b"]]))
    classifier = keras.Model(excerpt, layers.Concatenate()([outputs, state]))
    log_mels = excerpts[..., 0]
    expected = [np.asarray(part) for part in lstm(5 * log_mels)]
    for number in (0, 2):
        found = value(classifier, f"lstm[{number}]:3", excerpts)
        np.testing.assert_allclose(found, expected[number][:, 3], atol=1e-5)
    np.testing.assert_allclose(
        value(classifier, "both[b]", excerpts), 3 * mean(log_mels), atol=1e-5
    )
    with pytest.raises(InputError, match=r"'lstm' .*name one: 'lstm\[0\]', 'lstm\[1\]'"):
        response_function(classifier, "lstm")


@pytest.mark.parametrize("name", ["conv-1", "2nd dense", "a + b", "Größe", "3", "_x", "dense:0"])
def test_any_name_of_a_layer_can_be_written(name, excerpts, generator):
    excerpt = keras.Input(EXCERPT)
    dense = layers.Dense(3, activation="tanh", name=name)
    x = dense(layers.Flatten()(excerpt))
    classifier = keras.Model(excerpt, layers.Dense(1, name="conv")(x), name="my model")
    expected = np.asarray(dense(excerpts.reshape(3, -1)))
    for text in (f"{name}:2", f"'{name}':2", f'"{name}" : 2', f"2 * {name}:2-1*{name}:2"):
        found = value(classifier, text, excerpts)
        np.testing.assert_allclose(found, expected[:, 2], atol=1e-5)
    found = value(classifier, f"{name}_pre:0", excerpts)
    np.testing.assert_allclose(found, np.arctanh(expected[:, 0]), rtol=1e-3)
    maximize(
        generator, classifier, latents_from_seeds([0], 4), response=f"'{name}':1",
        learning_rate=0.1, prior_weight=0, num_steps=1,
    )  # fmt: skip
    assert dense.name == name and classifier.name == "my model"


def test_the_longest_name_wins_and_what_cannot_be_read_lists_the_names():
    excerpt = keras.Input((6,))
    x = layers.Dense(3, name="conv-1")(layers.Dense(3, name="conv")(excerpt))
    classifier = keras.Model(excerpt, layers.Dense(2, name="1")(x))
    inputs = np.random.RandomState(0).normal(size=(2, 6)).astype(np.float32)
    conv = np.asarray(classifier.get_layer("conv")(inputs))
    conv_1 = np.asarray(classifier.get_layer("conv-1")(conv))
    one = np.asarray(classifier(inputs))
    for text, expected in (
        ("conv-1:2", conv_1[:, 2]),
        ("conv - 1:1", mean(conv) - one[:, 1]),
        ("1 * conv", mean(conv)),
    ):
        np.testing.assert_allclose(value(classifier, text, inputs), expected, atol=1e-5)
    with pytest.raises(InputError, match=r"cannot read '-2:1' .*the names are 'conv', 'conv-1'"):
        response_function(classifier, "conv-2:1")


def test_before_activations_with_weights_and_layers_that_are_activations(excerpts, generator):
    """PReLU has weights of its own; any number of searches can be built on one model."""
    prelu = layers.PReLU(alpha_initializer="ones", shared_axes=[1, 2])
    edges = layers.Conv2D(4, 3, activation=prelu, name="edges")
    excerpt = keras.Input(EXCERPT)
    x = layers.PReLU(alpha_initializer="ones", name="act")(edges(excerpt))
    classifier = keras.Model(excerpt, layers.Dense(1)(layers.Flatten()(x)))
    response_function(classifier, "edges_pre:1")  # Keras has not built the PReLU yet.
    classifier(excerpts)
    prelu.set_weights([np.full((1, 1, 4), 0.3, np.float32)])
    before = np.asarray(edges.convolution_op(excerpts, edges.kernel))
    after = np.where(before > 0, before, 0.3 * before)
    for name, expected in (("edges_pre", before), ("edges", after), ("act_pre", after)):
        found = value(classifier, f"{name}:2", excerpts)
        np.testing.assert_allclose(found, mean(expected[..., 2]), atol=1e-5)
    count = len(classifier.weights)
    for unit in (1, 2, 3):
        search = Maximizer(generator, classifier, f"edges_pre:{unit}")
        latents = latents_from_seeds([0], 4)
        found = search.run(latents, 0.01, 0, 3)
        expected = edges.convolution_op(found.examples, edges.kernel)
        np.testing.assert_allclose(found.responses, mean(expected[..., unit]), atol=1e-5)
    assert len(classifier.weights) == count and edges.activation is prelu


def test_an_activation_in_a_layer_of_ones_own(excerpts):
    class Own(layers.Layer):
        def __init__(self, activation):
            super().__init__(name="own")
            self.dense, self.activation = layers.Dense(3), keras.activations.get(activation)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return self.activation(self.dense(x))

    excerpt = keras.Input(EXCERPT)
    own = Own("sigmoid")
    classifier = keras.Model(excerpt, own(layers.Flatten()(excerpt)))
    expected = np.asarray(own.dense(excerpts.reshape(3, -1)))
    found = value(classifier, "own_pre:1", excerpts)
    np.testing.assert_allclose(found, expected[:, 1], atol=1e-5)


def test_an_output_of_one_number_per_excerpt(excerpts):
    excerpt = keras.Input(EXCERPT)
    classifier = keras.Model(excerpt, keras.ops.sum(excerpt, axis=(1, 2, 3)))
    for text in ("output", "output:0"):
        found = value(classifier, text, excerpts)
        np.testing.assert_allclose(found, excerpts.sum(axis=(1, 2, 3)), rtol=1e-4)
    with pytest.raises(InputError, match="output has no unit 1; its units are 0 to 0"):
        response_function(classifier, "output:1")


def test_units_of_channels_that_come_first():
    """Permute alone, since convolutions of this layout need a GPU."""
    excerpt = keras.Input(EXCERPT)
    x = layers.Permute((3, 1, 2), name="first")(excerpt)
    x = layers.UpSampling2D(2, data_format="channels_first", name="large")(x)
    x = layers.ReLU(name="act")(x)
    pooled = layers.GlobalAveragePooling2D(data_format="channels_first", name="pooled")(x)
    classifier = keras.Model(excerpt, layers.Dense(2)(pooled))
    axes = Activations(classifier).unit_axes
    assert [axes[name] for name in ("large", "act", "pooled", "output")] == [1, 1, -1, -1]
    response_function(classifier, "act:0")
    with pytest.raises(InputError, match="act has no unit 1; its units are 0 to 0"):
        response_function(classifier, "act:1")


def test_what_cannot_be_named_says_why(excerpts):
    excerpt = keras.Input(EXCERPT)
    inner = keras.Model(x := keras.Input(EXCERPT), layers.ReLU(name="b")(x), name="a")
    x = layers.ReLU(name="a.b")(inner(excerpt))
    x = layers.Discretization([0.0], name="steps")(x)
    x = layers.Rescaling(1.0, name="scaled")(x)
    classifier = keras.Model(excerpt, layers.Flatten()(x))
    with pytest.raises(InputError, match=r"no layer 'a.b' \(two layers have this name\)"):
        response_function(classifier, "a.b")
    with pytest.raises(InputError, match=r"no layer 'steps' \(its values are int\d+\)"):
        response_function(classifier, "steps")
    open_time = keras.Model(x := keras.Input((None, 8)), layers.Flatten(name="flat")(x))
    with pytest.raises(InputError, match="flat has a variable number of units"):
        response_function(open_time, "flat:3")


class Subclassed(keras.Model):
    """Does not tell the shape of its input."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2, name="classes")

    def call(self, x):
        return self.dense(keras.ops.reshape(x, (-1, 96)))


@pytest.mark.parametrize("build", [Subclassed, lambda: keras.Sequential([layers.Dense(2)])])
def test_models_that_do_not_tell_their_input(build, generator, excerpts):
    options = dict(learning_rate=0.1, prior_weight=0, num_steps=1)
    latents = latents_from_seeds([0], 4)
    with pytest.raises(
        InputError, match=r"--classifier: it does not define .*keras.Input\(SHAPE\)"
    ):
        maximize(generator, build(), latents, response="output:0", **options)
    with pytest.raises(InputError, match=r"--generator: it does not define .*keras.Input\(SHAPE\)"):
        maximize(build(), over(backbone()), latents, response="output:0", **options)
    with pytest.raises(
        InputError, match=r"--classifier: it does not define .*keras.Input\(SHAPE\)"
    ):
        response_function(build(), "output")
    told = keras.Model(x := keras.Input(EXCERPT), (inner := Subclassed())(x))
    found = value(told, f"{inner.name}.classes:1", excerpts)
    np.testing.assert_allclose(found, np.asarray(told(excerpts))[:, 1], atol=1e-5)
    maximize(generator, told, latents, response="output:0", **options)
