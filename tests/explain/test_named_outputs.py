"""Outputs by the names of the model card."""

import dataclasses

import keras
import numpy as np
import pytest

from svdam.audio.front_ends import get_front_end
from svdam.core.validation import InputError
from svdam.explain.maximization import maximize
from svdam.explain.named_outputs import load_classifier, numbered_outputs, told_by_card
from svdam.explain.starts import latents_from_seeds
from svdam.results.examples import read_results
from svdam.results.model_cards import ModelCard, write_model_card
from svdam.stages.maximize_activation import SearchSettings, maximize_activation
from tests.explain.small_models import (
    EXCERPT,
    save_small_models,
    small_classifier,
    small_generator,
)

NAMES = ("guitar", "no vocal", "no vocals", "Hip-Hop", "60s", "a + b", "3")
LAYERS = {"tags": "output", "output": "output", "logit": "logit"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tags:guitar", "output:0"),
        ("logit:guitar", "logit:0"),
        ("tags : no vocals - 0.5*tags:no vocal", "output:2 - 0.5*output:1"),
        ("tags:Hip-Hop - tags:guitar", "output:3 - output:0"),
        ("-2 * tags:60s+tags:'guitar'", "-2 * output:4+output:0"),
        ('tags:"no vocal" - conv1:2', "output:1 - conv1:2"),
        ("tags:a + b + tags:guitar", "output:5 + output:0"),
        ("tags:3", "output:3"),
        ("tags:'3'", "output:3"),
        ("my_tags:guitar + fc.logit:guitar", "my_tags:guitar + fc.logit:guitar"),
        ("sigmoid(tags:no vocal) - softmax( tags:60s )", "sigmoid(output:1) - softmax( output:4 )"),
        ("logit", "logit"),
        ("fc2:17 - 0.5 * conv3", "fc2:17 - 0.5 * conv3"),
    ],
)
def test_names_become_numbers(text, expected):
    assert numbered_outputs(text, NAMES, LAYERS, "tagger.keras") == expected


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match=r"tagger\.keras has no output 'guitars'; its .* 'guitar'"):
        numbered_outputs("conv1 - tags:guitars", NAMES, LAYERS, "tagger.keras")
    with pytest.raises(InputError, match=r"no output 'guitars'"):
        numbered_outputs("sigmoid(tags:guitars)", NAMES, LAYERS, "tagger.keras")
    with pytest.raises(InputError, match=r"nothing names the outputs of tagger\.keras"):
        numbered_outputs("tags:guitar", (), LAYERS, "tagger.keras")


def card(names, **options):
    front_end = dataclasses.replace(
        get_front_end("ismir2015"), excerpt_frames=EXCERPT[0], num_mels=EXCERPT[1]
    )
    return ModelCard(front_end, "logits", names, "sigmoid", **options)


def test_a_search_by_name_is_the_search_by_number(tmp_path):
    models = save_small_models(tmp_path)
    write_model_card(models["classifier"], card(("dog", "fire-engine siren")))
    options = dict(seeds="0-2", learning_rates=(0.1,), prior_weights=(0.01,), num_steps=(5,))
    options["precision"] = "float32"
    response = "tags:fire-engine siren"
    maximize_activation(
        SearchSettings(output=str(tmp_path / "run"), response=response, **options, **models)
    )
    results = read_results(tmp_path / "run")
    assert results.response == response
    latents = latents_from_seeds([0, 1, 2], 6)
    by_number = maximize(
        small_generator(), small_classifier(), latents, response="logit:1", learning_rate=0.1,
        prior_weight=0.01, num_steps=5,
    )  # fmt: skip
    np.testing.assert_allclose(results.responses[0], by_number.responses, atol=1e-5)
    # The card says that the outputs are independent: a sigmoid each, no softmax.
    sigmoid = 1 / (1 + np.exp(-results.responses))
    np.testing.assert_allclose(results.probabilities, sigmoid, atol=1e-5)


def test_cards_that_do_not_fit_are_refused(tmp_path):
    path = save_small_models(tmp_path)["classifier"]
    with pytest.raises(InputError, match=r"nothing names the outputs of .*classifier\.keras"):
        told_by_card(load_classifier(path), "tags:dog", "auto", path)
    write_model_card(path, card(("dog", "siren", "cat")))
    with pytest.raises(InputError, match="output_names: holds 3 names, the model has 2 outputs"):
        load_classifier(path)


def test_a_model_without_a_file_has_no_card(tmp_path):
    """Whatever file the settings name: the model that is passed is another one."""
    path = save_small_models(tmp_path)["classifier"]
    write_model_card(path, card(("dog", "siren")))
    assert told_by_card(small_classifier(), "logit", "auto", path) == ("logit", "auto")
    found = told_by_card(load_classifier(path), "logit", "auto", path)
    assert found == ("logit", "multilabel_logits")


def test_a_layer_of_the_name_tags_is_itself(tmp_path):
    x = inputs = keras.Input(EXCERPT)
    x = keras.layers.Dense(3, name="tags")(keras.layers.Flatten()(x))
    path = str(tmp_path / "model.keras")
    model = keras.Model(inputs, keras.layers.Dense(2, activation="relu", name="end")(x))
    model.save(path)
    write_model_card(path, card(("dog", "siren")))
    found = told_by_card(load_classifier(path), "tags:2 + end:siren", "auto", path)
    assert found[0] == "tags:2 + end:1"
