"""SavedModels without the configuration of a Keras model, and the cards of converted models."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from import_model import ToolSettings, import_with_card

from svdam.audio.front_ends import get_front_end
from svdam.core.validation import InputError
from svdam.explain.maximization import maximize
from svdam.explain.named_outputs import load_classifier, told_by_card
from svdam.explain.starts import latents_from_seeds
from svdam.results.model_cards import read_model_card
from tests.explain.small_models import EXCERPT, small_classifier, small_generator

ANY_BATCH = (None, *EXCERPT)


class Exported(tf.Module):
    """A function of excerpts with a variable, as programs without Keras export it."""

    def __init__(self, function, shape=ANY_BATCH, dtype=tf.float32):
        super().__init__()
        self.weights = tf.Variable(np.linspace(-1, 1, EXCERPT[1] * 2).reshape(-1, 2), dtype=dtype)
        self.scores = tf.function(
            lambda excerpts: {"scores": function(excerpts, self.weights)},
            input_signature=[tf.TensorSpec(shape, dtype, name="excerpts")],
        )


def linear(excerpts, weights):
    return tf.reduce_mean(excerpts[..., 0], axis=1) @ weights


def saved(tmp_path, function=linear, signatures=("serving_default",), **options):
    module = Exported(function, **options)
    tf.saved_model.save(module, tmp_path / "saved", dict.fromkeys(signatures, module.scores))
    return module


def imported(tmp_path, **options):
    settings = dict(
        input=str(tmp_path / "saved"), output=str(tmp_path / "new.keras"), allow_unsafe_model=True
    )
    return import_with_card(ToolSettings(**{**settings, **options}))


def test_a_graph_is_run_and_explained(tmp_path):
    module = saved(tmp_path)
    lines = imported(tmp_path)
    assert "must stay there; commands need --allow_unsafe_model" in lines[0]
    with pytest.raises(InputError, match="--allow_unsafe_model"):
        load_classifier(tmp_path / "new.keras")
    classifier = load_classifier(tmp_path / "new.keras", EXCERPT, True)
    excerpts = np.random.RandomState(0).normal(size=(3, *EXCERPT)).astype(np.float32)
    np.testing.assert_allclose(classifier(excerpts), module.scores(excerpts)["scores"], rtol=1e-6)
    found = maximize(
        small_generator(), classifier, latents_from_seeds(range(2), 6), response="output:1",
        learning_rate=0.1, prior_weight=0.01, num_steps=5,
    )  # fmt: skip
    assert (found.responses > found.response_history[0]).all()
    scores = module.scores(found.examples)["scores"].numpy()
    np.testing.assert_allclose(found.responses, scores[:, 1], rtol=1e-5)


def test_what_keras_3_exports_is_run(tmp_path):
    model = small_classifier()
    model.export(tmp_path / "saved", verbose=False)
    imported(tmp_path)
    classifier = load_classifier(tmp_path / "new.keras", EXCERPT, True)
    excerpts = np.random.RandomState(0).normal(size=(3, *EXCERPT)).astype(np.float32)
    np.testing.assert_allclose(classifier(excerpts), model(excerpts), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"function": lambda x, w: tf.round(linear(x, w))}, "has no gradient, so nothing can be"),
        ({"signatures": ("first", "second")}, "signatures of .* are 'first', 'second', expected"),
        ({"signatures": ()}, "signatures of .* are none"),
        ({"shape": (1, *EXCERPT)}, "takes batches of 1 only"),
        ({"shape": None}, r"takes \(excerpts: float32 <unknown>\)"),
    ],
)
def test_what_cannot_be_explained_says_why(tmp_path, options, message):
    saved(tmp_path, **options)
    with pytest.raises(InputError, match=f"--input: .*{message}"):
        imported(tmp_path)
    assert not (tmp_path / "new.keras").exists()


def save_tagger(folder, bands=64, activation=None):
    excerpt = keras.Input((96, bands, 1))
    x = keras.layers.GlobalAveragePooling2D()(excerpt)
    tags = keras.layers.Dense(3, activation=activation, name="tags_dense")(x)
    keras.Model(excerpt, tags).save(folder / "old.h5")
    return {"input": str(folder / "old.h5"), "front_end": "yamnet", "allow_unsafe_model": False}


@pytest.mark.parametrize(
    ("activation", "output_is", "expected"),
    [
        (None, "auto", ("logits", "softmax")),
        (None, "multilabel_logits", ("logits", "sigmoid")),
        ("sigmoid", "auto", ("probabilities", None)),
    ],
)
def test_the_card_says_what_the_outputs_are(tmp_path, activation, output_is, expected):
    options = save_tagger(tmp_path, activation=activation)
    options |= {"output_names": ("dog", "siren", "rain, wind"), "licence": "MIT"}
    lines = imported(tmp_path, output_is=output_is, **options)
    assert lines[-1].endswith("new.json: its model card")
    card = read_model_card(tmp_path / "new.keras")
    assert card.front_end == get_front_end("yamnet")
    assert (card.outputs, card.activation) == expected
    assert (card.output_names, card.licence) == (("dog", "siren", "rain, wind"), "MIT")
    classifier = load_classifier(tmp_path / "new.keras")
    response, kind = told_by_card(classifier, "tags:siren", "auto", "new.keras")
    assert response.endswith(":1")
    assert kind == {"softmax": "logits", "sigmoid": "multilabel_logits"}.get(
        expected[1], "probabilities"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"front_end": "musicnn"}, r"--front_end: musicnn has 96 bands, but the model takes \(96"),
        ({"output_names": ("dog",)}, "--output_names: found 1 names, but the model has 3 outputs"),
        ({"front_end": None, "licence": "MIT"}, "--licence: .* requires --front_end"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        imported(tmp_path, **{**save_tagger(tmp_path), **change})
    assert not list(tmp_path.glob("new.*"))


def test_an_existing_card_is_kept(tmp_path):
    (tmp_path / "new.json").write_text("{}")
    with pytest.raises(InputError, match=r"new\.json: exists"):
        imported(tmp_path, **save_tagger(tmp_path))
