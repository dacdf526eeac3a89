"""The engine of activation maximization, against finite differences, Adam by hand and itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.core.validation import InputError
from svdam.explain.maximization import Maximizer, maximize
from svdam.explain.optimizers import Adam, GradientAscent
from svdam.explain.search_states import HISTORIES
from svdam.explain.starts import latents_from_seeds
from svdam.models.classifier import build_svdnet
from svdam.models.generator import build_generator
from tests.explain.small_models import double_precision

LATENT_SIZE = 6


@pytest.fixture(scope="module")
def models():
    """Small float64 models: a generator of (10, 8, 1) excerpts and a classifier with two layers."""
    keras.utils.set_random_seed(3)
    with double_precision():
        latent = keras.Input((LATENT_SIZE,))
        x = keras.layers.Dense(80, activation="tanh")(latent)
        generator = keras.Model(latent, keras.layers.Reshape((10, 8, 1))(x))
        excerpt = keras.Input((10, 8, 1))
        x = keras.layers.Conv2D(3, 3, activation="tanh", name="conv1")(excerpt)
        x = keras.layers.Flatten()(x)
        x = keras.layers.Dense(4, activation="softplus", name="fc1")(x)
        classifier = keras.Model(excerpt, keras.layers.Dense(1, name="logit")(x))
    return generator, classifier


@pytest.fixture(scope="module")
def latents():
    return latents_from_seeds(range(5), LATENT_SIZE)


def objective(models, latent, weight, sign=1):
    """Eq. 2 written out in NumPy around the models' own forward pass."""
    generator, classifier = models
    response = float(classifier(generator(latent[None]))[0, 0])
    log_prior = np.sum(-0.5 * latent**2 - 0.5 * np.log(2 * np.pi))
    return sign * response + weight * log_prior


def numerical_gradient(models, latent, weight, sign=1, step=1e-6):
    gradient = np.zeros_like(latent)
    for i in range(len(latent)):
        shift = np.eye(len(latent))[i] * step
        gradient[i] = (
            objective(models, latent + shift, weight, sign)
            - objective(models, latent - shift, weight, sign)
        ) / (2 * step)
    return gradient


@pytest.mark.parametrize(("direction", "sign"), [("max", 1), ("min", -1)])
def test_equals_adam_by_hand_on_finite_differences(models, latents, direction, sign):
    rates, weights = np.array([0.1, 0.01, 0.1, 0.02, 0.01]), np.array([0.1, 0.0, 0.5, 0.01, 1.0])
    beta_1, beta_2 = 0.99, 0.999
    result = maximize(
        *models,
        latents,
        direction=direction,
        learning_rate=rates,
        prior_weight=weights,
        num_steps=4,
    )
    for i, latent in enumerate(latents):
        z, m, v = latent.copy(), 0, 0
        for t in range(1, 5):
            g = -numerical_gradient(models, z, weights[i], sign)
            m, v = 0.99 * m + 0.01 * g, 0.999 * v + 0.001 * g**2
            z -= rates[i] * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(result.latents[i], z, atol=2e-7)


def test_gradient_norms_are_those_of_finite_differences(models, latents):
    result = maximize(*models, latents, learning_rate=0.01, prior_weight=0.3, num_steps=1)
    expected = [np.linalg.norm(numerical_gradient(models, z, 0.3)) for z in latents]
    np.testing.assert_allclose(result.gradient_norm_history[0], expected, rtol=1e-6)


def test_snapshot_equals_a_shorter_run(models, latents):
    options = {"learning_rate": 0.05, "prior_weight": 0.01}
    long = maximize(*models, latents, num_steps=150, snapshot_steps=[100, 150], **options)
    short = maximize(*models, latents, num_steps=100, **options)
    for name in ("latents", "examples", "responses", "log_priors"):
        np.testing.assert_allclose(
            getattr(long.snapshots[100], name), getattr(short, name), rtol=0, atol=1e-9
        )
    np.testing.assert_allclose(
        long.response_history[:101], short.response_history, rtol=0, atol=1e-9
    )
    np.testing.assert_array_equal(long.snapshots[150].latents, long.latents)


def test_batch_equals_its_members_alone_in_any_order(models, latents):
    rates, weights = np.array([0.1, 0.01, 0.1, 0.02, 0.01]), np.linspace(0, 1, 5)
    together = maximize(*models, latents, learning_rate=rates, prior_weight=weights, num_steps=15)
    order = np.array([3, 1, 4, 0, 2])
    shuffled = maximize(
        *models,
        latents[order],
        learning_rate=rates[order],
        prior_weight=weights[order],
        num_steps=15,
    )
    np.testing.assert_allclose(together.latents[order], shuffled.latents, rtol=0, atol=1e-9)
    for i in range(5):
        alone = maximize(
            *models,
            latents[i : i + 1],
            learning_rate=rates[i],
            prior_weight=weights[i],
            num_steps=15,
        )
        np.testing.assert_allclose(together.latents[i], alone.latents[0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            together.response_history[:, i], alone.response_history[:, 0], rtol=0, atol=1e-9
        )


def test_a_batch_of_units_equals_separate_runs(models, latents):
    def loudest(named):
        return tf.reduce_max(named["conv1"], axis=(1, 2, 3))

    response = ["fc1:2", "logit", "fc1:0 - 0.5 * conv1", loudest, "fc1:2"]
    direction = ["max", "min", "min", "max", "min"]
    weights = np.linspace(0, 0.5, 5)
    options = {"learning_rate": 0.02, "num_steps": 12, "snapshot_steps": [5]}
    for keep in ("last", "best"):
        together = maximize(
            *models,
            latents,
            response=response,
            direction=direction,
            prior_weight=weights,
            keep=keep,
            **options,
        )
        for i in range(5):
            alone = maximize(
                *models,
                latents[i : i + 1],
                response=response[i],
                direction=direction[i],
                prior_weight=weights[i],
                keep=keep,
                **options,
            )
            for name in ("latents", "examples", "responses", "log_priors"):
                for one, other in ((together, alone), (together.snapshots[5], alone.snapshots[5])):
                    np.testing.assert_allclose(
                        getattr(one, name)[i], getattr(other, name)[0], rtol=0, atol=1e-9
                    )
            for name in HISTORIES:
                np.testing.assert_allclose(
                    getattr(together, name)[:, i], getattr(alone, name)[:, 0], rtol=0, atol=1e-9
                )


def test_a_search_that_pauses_equals_one_that_does_not(models, latents):
    engine = Maximizer(*models, ["fc1:2", "logit"])
    arguments = 0.02, np.linspace(0, 0.5, 5), np.array([1, 0, 0, 1, 0])
    whole = engine.run(latents, *arguments[:2], 9, [8], places=arguments[2])
    state = engine.start(latents, *arguments)
    first, state = engine.advance(state, 0, 4)
    rows = np.array([4, 1, 2])  # Some leave.
    kept = tf.nest.map_structure(lambda part: part[rows], state)
    second, kept = engine.advance(kept, 4, 9)
    np.testing.assert_allclose(first, whole.response_history[:4], rtol=0, atol=1e-9)
    np.testing.assert_allclose(second, whole.response_history[4:9, rows], rtol=0, atol=1e-9)
    np.testing.assert_allclose(kept.latents, whole.latents[rows], rtol=0, atol=1e-9)
    np.testing.assert_allclose(kept.last_seen, whole.snapshots[8].latents[rows], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "response",
    [
        "logit",
        "fc1:2",
        "fc1_pre:2",
        "conv1",
        "conv1:1",
        "conv1_pre",
        "logit - 0.5 * conv1",
        "fc1:0 + fc1:3",
        lambda named: tf.reduce_max(named["conv1"], axis=(1, 2, 3)),
    ],
)
@pytest.mark.parametrize(("direction", "sign"), [("max", 1), ("min", -1)])
@pytest.mark.parametrize("optimizer", [Adam(), GradientAscent()])
def test_every_objective_moves_in_its_direction(
    models, latents, response, direction, sign, optimizer
):
    result = maximize(
        *models,
        latents,
        response=response,
        direction=direction,
        learning_rate=0.02,
        prior_weight=0,
        num_steps=30,
        optimizer=optimizer,
    )
    assert (sign * (result.responses - result.response_history[0]) > 0).all()


def test_prior_weight_pulls_the_latent_in(models, latents):
    norms = [
        np.linalg.norm(
            maximize(
                *models, latents, learning_rate=0.05, prior_weight=weight, num_steps=60
            ).latents
        )
        for weight in (0, 0.1, 1)
    ]
    assert norms[0] > norms[1] > norms[2]


def test_keep_best_is_the_best_ever_seen(models, latents):
    # The prior outweighs the response, so the best response lies before the last step.
    options = {"learning_rate": 0.3, "prior_weight": 5.0, "num_steps": 40}
    for direction, best in (("max", np.max), ("min", np.min)):
        kept = maximize(*models, latents, direction=direction, keep="best", **options)
        np.testing.assert_allclose(kept.responses, best(kept.response_history, axis=0), atol=1e-12)
        assert (kept.responses != kept.response_history[-1]).any()


def test_history_and_log_prior(models, latents):
    result = maximize(*models, latents, learning_rate=0.01, prior_weight=0.1, num_steps=3)
    assert result.response_history.shape == (4, 5)
    expected = -0.5 * (result.latents**2).sum(axis=1) - LATENT_SIZE / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(result.log_priors, expected)
    np.testing.assert_allclose(result.log_prior_history[-1], expected)
    np.testing.assert_allclose(result.response_history[-1], result.responses)


def test_released_code_prior_doubles_the_pull(models, latents):
    """-|z|^2 with weight w is the paper's prior with weight 2 w."""
    options = {"learning_rate": 0.05, "num_steps": 10}
    released = maximize(*models, latents, prior="released_code", prior_weight=0.1, **options)
    paper = maximize(*models, latents, prior_weight=0.2, **options)
    np.testing.assert_allclose(released.latents, paper.latents, rtol=0, atol=1e-9)


def test_without_generator_the_excerpt_itself_is_searched(models):
    _, classifier = models
    excerpts = np.random.RandomState(0).normal(size=(2, 10, 8, 1))
    result = maximize(
        None,
        classifier,
        excerpts,
        prior="none",
        learning_rate=0.1,
        prior_weight=0,
        num_steps=20,
    )
    np.testing.assert_array_equal(result.latents, result.examples)
    assert (result.responses > result.response_history[0]).all()
    with pytest.raises(InputError, match="without a generator"):
        maximize(None, classifier, excerpts, learning_rate=0.1, prior_weight=0, num_steps=1)


def test_the_paper_models_in_double_precision():
    """A snapshot is a shorter run, and a batch its members, also through pooling and floors."""
    with double_precision():
        keras.utils.set_random_seed(0)
        engine = Maximizer(build_generator(), build_svdnet())
        assert engine.latent_shape == (128,)
        latents = latents_from_seeds(range(2), 128)
        together = engine.run(latents, np.array([0.1, 0.01]), np.array([0.001, 0.1]), 5, [3])
        alone = engine.run(latents[1:], 0.01, 0.1, 3)
    assert alone.examples.dtype == np.float64
    for name in ("latents", "examples", "responses", "log_priors"):
        np.testing.assert_allclose(
            getattr(together.snapshots[3], name)[1:], getattr(alone, name), rtol=0, atol=1e-9
        )


def test_responses_of_the_paper_models_agree_between_batch_and_single_in_float32():
    keras.utils.set_random_seed(0)
    generator, classifier = build_generator("square"), build_svdnet()
    latents = latents_from_seeds(range(2), 128)
    options = {"learning_rate": 0.01, "prior_weight": 0.001, "num_steps": 5}
    together = maximize(generator, classifier, latents, **options)
    assert together.examples.shape == (2, 115, 80, 1)
    alone = maximize(generator, classifier, latents[1:], **options)
    np.testing.assert_allclose(together.responses[1], alone.responses[0], atol=1e-4)


def test_engine_starts_afresh_for_each_batch(models, latents):
    engine = Maximizer(*models)
    first = engine.run(latents, 0.1, 0.1, 8)
    engine.run(latents[::-1], 0.1, 0.5, 11)
    again = engine.run(latents, 0.1, 0.1, 8)
    np.testing.assert_array_equal(first.latents, again.latents)


def test_seeds_are_those_of_the_released_code():
    np.random.seed(7)
    expected = np.random.normal(0, 1, (1, 128))
    np.testing.assert_array_equal(latents_from_seeds([7], 128), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latents": np.zeros((2, 5))}, r"latents: found shape \(2, 5\), expected \(batch, 6\)"),
        ({"latents": np.full((2, 6), np.nan)}, "latents: 12 of 12 values are not finite"),
        ({"learning_rate": 0}, "learning_rate: found 0, expected more than 0"),
        ({"learning_rate": np.nan}, "learning_rate"),
        ({"prior_weight": [-1.0, 0, 0, 0, 0]}, "prior_weight: found -1, expected at least 0"),
        ({"prior_weight": [1.0, 2.0]}, r"expected a scalar or \(5,\)"),
        ({"num_steps": -1}, "num_steps"),
        ({"snapshot_steps": [9]}, "num_steps"),
        ({"direction": "up"}, "--direction: found 'up', expected one of max, min"),
        ({"direction": ["max", "min"]}, "direction: found 2, expected one, or one per latent"),
        ({"response": ["logit", "fc1:0"]}, "response: found 2 for 5 latents, expected one, or"),
        ({"response": ["logit"]}, "response: found 1 for 5 latents"),
        ({"prior": "flat"}, "--prior"),
        ({"keep": "first"}, "--keep"),
        ({"response": "fc9"}, "no layer 'fc9'; it has 'conv1'"),
    ],
)
def test_bad_input_is_refused(models, latents, changes, message):
    options = {
        "latents": latents,
        "learning_rate": 0.1,
        "prior_weight": 0.1,
        "num_steps": 2,
        **changes,
    }
    with pytest.raises(InputError, match=message):
        maximize(*models, **options)


def test_models_that_do_not_fit_are_refused(models):
    generator, _ = models
    with pytest.raises(InputError, match=r"shape \(10, 8, 1\), but the classifier takes \(115, 80"):
        Maximizer(generator, build_svdnet())


def test_adam_has_the_epsilon_of_the_paper():
    """A tiny gradient g moves by g / (g + epsilon / sqrt(1 - beta_2)) of the learning rate."""
    gradient = 1e-7
    excerpt = keras.Input((10, 8, 1))
    total = keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant(gradient))
    classifier = keras.Model(excerpt, total(keras.layers.Flatten()(excerpt)))
    result = maximize(
        None,
        classifier,
        np.zeros((1, 10, 8, 1)),
        response="output",
        prior="none",
        learning_rate=1.0,
        prior_weight=0,
        num_steps=1,
    )
    expected = gradient / (gradient + 1e-8 / np.sqrt(1 - 0.999))
    np.testing.assert_allclose(result.latents, expected, rtol=1e-4)
