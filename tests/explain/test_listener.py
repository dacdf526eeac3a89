"""Listeners: the responses of another classifier, with its own front end."""

import dataclasses

import keras
import numpy as np
import pytest

from svdam.audio.front_ends import get_front_end
from svdam.core.validation import InputError
from svdam.explain.listener import Listener
from svdam.models.bridge import build_bridge
from svdam.results.model_cards import ModelCard

OWN = dataclasses.replace(get_front_end("ismir2015"), excerpt_frames=40, num_mels=32)
OTHER = dataclasses.replace(get_front_end("musicnn"), excerpt_frames=20, num_mels=24)
NAMES = ("vocal", "no vocal", "flute")


def tagger(front_end, frames, card=True):
    """A linear classifier with three independent tags."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((frames, front_end.num_mels, 1))
    outputs = keras.layers.Dense(3, name="logits")(keras.layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, outputs)
    model.model_card = ModelCard(front_end, "logits", NAMES, "sigmoid") if card else None
    return model


@pytest.fixture(scope="module")
def excerpts():
    return np.random.RandomState(0).uniform(-8, 0, (2, 3, 40, 32)).astype(np.float32)


@pytest.mark.parametrize("frames", [None, 20])
def test_it_hears_through_the_bridge(excerpts, frames):
    classifier = tagger(OTHER, frames)
    hear = Listener(classifier, "sigmoid(tags:vocal) - 0.5 * sigmoid(tags:no vocal)", OWN)
    heard = hear(excerpts)
    bridge = build_bridge(OWN, OTHER, target_frames=frames)
    logits = classifier(bridge(excerpts.reshape(6, 40, 32, 1))).numpy().reshape(2, 3, 3)
    probabilities = 1 / (1 + np.exp(-logits))
    expected = probabilities[..., 0] - 0.5 * probabilities[..., 1]
    np.testing.assert_allclose(heard, expected, atol=1e-5)
    np.testing.assert_array_equal(hear(excerpts[..., np.newaxis]), heard)
    assert hear.bridge == bridge.get_layer("bridge").description


@pytest.mark.parametrize("card", [True, False])
def test_without_a_bridge_it_hears_the_excerpts_themselves(excerpts, card):
    classifier = tagger(OWN, 40, card)
    hear = Listener(classifier, "logits:2", OWN)
    expected = classifier(excerpts[0][..., np.newaxis]).numpy()[:, 2]
    np.testing.assert_allclose(hear(excerpts[0]), expected, atol=1e-6)
    assert hear.bridge == ""


def test_bad_input_is_refused(excerpts):
    with pytest.raises(InputError, match="listener takes"):
        Listener(tagger(OTHER, 20, card=False), "logits:2", OWN)
    with pytest.raises(InputError, match="no output 'drums'"):
        Listener(tagger(OTHER, 20), "sigmoid(tags:drums)", OWN)
    hear = Listener(tagger(OWN, 40), "logits:2", OWN)
    with pytest.raises(InputError, match=r"found shape .*, expected \(40, 32, 1\)"):
        hear(excerpts[..., :-1])
    with pytest.raises(InputError, match="not finite"):
        hear(np.full_like(excerpts, np.inf))
