"""The grammar of responses and what it computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from svdam.core.validation import InputError
from svdam.explain.responses import (
    Term,
    expand_responses,
    parse_response,
    response_function,
    response_matrix,
    response_table,
)
from svdam.models.classifier import build_svdnet


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(1)
    return build_svdnet()


@pytest.fixture(scope="module")
def excerpts():
    return np.random.RandomState(0).normal(size=(3, 115, 80, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("logit", [(1, "logit", None)]),
        ("fc2:17", [(1, "fc2", 17)]),
        ("-conv3", [(-1, "conv3", None)]),
        ("logit - 0.5 * conv1", [(1, "logit", None), (-0.5, "conv1", None)]),
        ("fc1:3 + fc1:8", [(1, "fc1", 3), (1, "fc1", 8)]),
        (" 2*fc1 : 3-1e-2*conv1_pre:0 ", [(2, "fc1", 3), (-0.01, "conv1_pre", 0)]),
        ("sigmoid(logit)", [(1, "logit", None, "sigmoid")]),
        ("fc1 - 2*softmax( fc2:3 )", [(1, "fc1", None), (-2, "fc2", 3, "softmax")]),
        ("sigmoid('my layer':1) + sigmoid", [(1, "my layer", 1, "sigmoid"), (1, "sigmoid", None)]),
    ],
)
def test_grammar(text, terms):
    assert parse_response(text) == tuple(Term(*term) for term in terms)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "logit logit",
        "3",
        "* fc1",
        "fc1:",
        "fc1:x",
        "fc1 * 2",
        "fc1 +",
        "a;b",
        "1e999*fc1",
        "sigmoid(fc1",
        "fc1)",
        "tanh(fc1)",
        "sigmoid(fc1:2 + fc2)",
    ],
)
def test_unreadable_text_is_refused(text):
    with pytest.raises(InputError, match="--response"):
        parse_response(text)


@given(st.text(max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_parses_or_is_refused(text):
    try:
        terms = parse_response(text)
    except InputError as error:
        assert "\n" not in str(error).replace(text, "")
    else:
        assert terms


def test_values_are_means_of_layers_and_units(classifier, excerpts):
    inner = keras.Model(
        classifier.inputs,
        [classifier.get_layer(name).output for name in ("conv3", "fc2", "fc1_pre", "logit")],
    )
    conv3, fc2, fc1_pre, logit = (np.asarray(part) for part in inner(excerpts))
    for text, expected in (
        ("conv3", conv3.mean(axis=(1, 2, 3))),
        ("conv3:5", conv3[..., 5].mean(axis=(1, 2))),
        ("fc2:17", fc2[:, 17]),
        ("fc1_pre:0", fc1_pre[:, 0]),
        ("logit", logit[:, 0]),
        ("output", logit[:, 0]),
        (
            "2 * logit - fc2:3 + 0.25 * conv3",
            2 * logit[:, 0] - fc2[:, 3] + 0.25 * conv3.mean((1, 2, 3)),
        ),
    ):
        np.testing.assert_allclose(
            response_function(classifier, text)(excerpts), expected, rtol=1e-5, atol=1e-6
        )


def test_before_and_after_an_activation_inside_a_layer():
    """NumPy on a user's layers, before and after the activation functions that they hold."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((6, 4, 1))
    x = keras.layers.Conv2D(3, (6, 4), activation="relu", name="edges")(inputs)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(5, activation="tanh", name="hidden", bias_initializer="normal")(x)
    x = keras.layers.Dense(2, name="classes")(x)
    model = keras.Model(inputs, keras.layers.Activation("softmax", name="shares")(x))
    edges, _, hidden, hidden_bias, classes, _ = (np.asarray(one) for one in model.weights)
    excerpts = np.random.RandomState(3).normal(size=(4, 6, 4, 1)).astype(np.float32)
    edges_pre = excerpts.reshape(4, 24) @ edges.reshape(24, 3)
    hidden_pre = np.maximum(edges_pre, 0) @ hidden + hidden_bias
    logits = np.tanh(hidden_pre) @ classes
    assert (edges_pre < 0).any()
    for text, expected in (
        ("edges_pre:1", edges_pre[:, 1]),
        ("edges:1", np.maximum(edges_pre, 0)[:, 1]),
        ("hidden_pre", hidden_pre.mean(axis=1)),
        ("hidden:4", np.tanh(hidden_pre)[:, 4]),
        ("shares_pre:0", logits[:, 0]),
        ("output:0", np.exp(logits[:, 0]) / np.exp(logits).sum(axis=1)),
        ("softmax(classes:0)", np.exp(logits[:, 0]) / np.exp(logits).sum(axis=1)),
        ("sigmoid(classes)", (1 / (1 + np.exp(-logits))).mean(axis=1)),
        ("-2 * sigmoid(classes:1)", -2 / (1 + np.exp(-logits[:, 1]))),
        (lambda named: named["hidden_pre"][:, 0], hidden_pre[:, 0]),
    ):
        found = response_function(model, text)(excerpts)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="no layer 'classes_pre'"):  # It has no activation.
        response_function(model, "classes_pre")


def test_a_python_function_of_the_activations(classifier, excerpts):
    squares = response_function(
        classifier, lambda named: named["fc2"][:, 0] ** 2 + named["logit"][:, 0]
    )
    fc2 = response_function(classifier, "fc2:0")(excerpts)
    logit = response_function(classifier, "logit")(excerpts)
    np.testing.assert_allclose(squares(excerpts), fc2**2 + logit, rtol=1e-5)


def test_either_output_of_two_neurons(excerpts):
    classifier = build_svdnet(num_outputs=2)
    logits = np.asarray(classifier(excerpts))
    for unit in (0, 1):
        np.testing.assert_allclose(
            response_function(classifier, f"logit:{unit}")(excerpts), logits[:, unit], rtol=1e-6
        )


def test_names_that_do_not_exist_list_those_that_do(classifier):
    with pytest.raises(InputError, match=r"no layer 'fc3'; it has .*'conv1'.*'fc2'.*'logit'"):
        response_function(classifier, "fc3")
    with pytest.raises(InputError, match="fc2 has no unit 64; its units are 0 to 63"):
        response_function(classifier, "fc2:64")
    with pytest.raises(InputError, match=r"softmax\(logit:0\): the softmax of one unit is 1"):
        response_function(classifier, "softmax(logit:0)")


def test_lists_of_responses_expand_to_every_unit(classifier):
    assert expand_responses(classifier, "fc2:*,logit") == [f"fc2:{i}" for i in range(64)] + [
        "logit"
    ]
    assert expand_responses(classifier, " 'fc1':3 , conv1: *")[::32] == [
        "'fc1':3",
        "conv1: 31",
        "conv1: 63",
    ]
    assert expand_responses(classifier, "logit - 2 * logit:*") == ["logit - 2 * logit:0"]
    for text, message in (
        ("", "is empty"),
        (",", "cannot read"),
        ("fc9:*", "no layer 'fc9'"),
        ("fc2:*,fc2:3", "'fc2:3' is named twice"),
        ("fc2*", "cannot read"),
    ):
        with pytest.raises(InputError, match=message):
            expand_responses(classifier, text)


def test_each_excerpt_has_a_response_of_its_own(classifier, excerpts):
    responses = [
        "fc2:17",
        "conv3:5 - 2 * logit",
        "fc1_pre",
        lambda named: tf.reduce_max(named["fc2"], axis=1),
        "0.5 * conv3 + fc2:3 - fc2:17",
        "sigmoid(fc2:3) - softmax(fc2:3) + 2 * sigmoid(conv3)",
    ]
    respond = response_table(classifier, responses)
    places = np.array([4, 0, 3, 1, 2, 5, 0])
    batch = np.concatenate([excerpts, excerpts[::-1], excerpts[:1]])
    alone = [response_function(classifier, one)(batch) for one in responses]
    expected = [alone[place][row] for row, place in enumerate(places)]
    np.testing.assert_allclose(respond(batch, places), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="empty list"):
        response_table(classifier, [])


def test_channels_that_come_first_are_units_in_lists_too():
    """NumPy on a layer of shape (batch, channel, time, mel)."""
    excerpt = keras.Input((3, 6, 4))
    edges = keras.layers.Cropping2D(1, data_format="channels_first", name="edges")(excerpt)
    model = keras.Model(excerpt, keras.layers.Flatten()(edges))
    excerpts = np.random.RandomState(3).normal(size=(3, 3, 6, 4)).astype(np.float32)
    respond = response_table(model, expand_responses(model, "edges:*"))
    found = respond(excerpts, np.array([2, 0, 1]))
    expected = excerpts[:, :, 1:-1, 1:-1].mean(axis=(2, 3))[np.arange(3), [2, 0, 1]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_all_responses_of_every_excerpt_come_from_one_pass(classifier, excerpts):
    responses = ["fc2:17", "conv3:5 - 2 * logit", "fc1_pre", "0.5 * conv3 + fc2:3 - fc2:17"]
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, excerpts):
            calls.append(excerpts.shape)
            return 1 * excerpts

    inputs = keras.Input(classifier.input_shape[1:])
    counted = keras.Sequential([inputs, Counted(), *classifier.layers[1:]])
    respond = response_matrix(counted, responses)
    del calls[:]
    found = respond(excerpts)
    assert len(calls) == 1
    for column, one in enumerate(responses):
        expected = response_function(classifier, one)(excerpts)
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="empty list"):
        response_matrix(classifier, [])
