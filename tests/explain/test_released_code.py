"""The search against the released code's loop, rebuilt in TensorFlow 1's graph mode.

The networks are the released code's, mel-major, with random weights by a recipe; a checkpoint of
them goes through `svdam.models.conversion.tf1`. Its loop evaluates the score, then lets TensorFlow
1's own Adam take a step down ``-(score - weight * sum z^2)``.
"""

import numpy as np
import pytest
import tensorflow as tf

from svdam.explain.maximization import Maximizer
from svdam.explain.optimizers import Adam
from svdam.explain.starts import latents_from_seeds
from svdam.models.conversion.tf1 import load_tf1_checkpoint

tf1 = tf.compat.v1
RATE, WEIGHT, NUM_STEPS = 0.01, 0.001, 8
SEED = 1

CLASSIFIER = {
    "conv2d": (3, 3, 1, 64),
    "conv2d_1": (3, 3, 64, 32),
    "conv2d_2": (3, 3, 32, 128),
    "conv2d_3": (3, 3, 128, 64),
    "dense": (4928, 256),
    "dense_1": (256, 64),
    "dense_2": (64, 2),
}
GENERATOR = {
    "gen/conv2d": (5, 5, 8, 1),
    "gen/conv2d_transpose": (5, 5, 64, 128),
    "gen/conv2d_transpose_1": (5, 5, 32, 64),
    "gen/conv2d_transpose_2": (5, 5, 16, 32),
    "gen/conv2d_transpose_3": (5, 5, 8, 16),
    "gen/dense": (128, 5120),
}
LOG_FLOOR = np.log(1e-7)


def recipe(shapes, seed):
    """Normal weights scaled by the root of 2 / inputs, biases by 0.1."""
    random = np.random.RandomState(seed)
    weights = {}
    for name, shape in shapes.items():
        inputs, units = shape[-2:] if "transpose" not in name else shape[:-3:-1]
        scale = np.sqrt(2 / (inputs * np.prod(shape[:-2])))
        weights[f"{name}/bias"] = (random.randn(units) * 0.1).astype(np.float32)
        weights[f"{name}/kernel"] = (random.randn(*shape) * scale).astype(np.float32)
    return weights


def generated(z, weights):
    """(1, 128) latents to (1, mel 80, time 115, 1)."""

    def layer(name):
        return weights[f"{name}/kernel"], weights[f"{name}/bias"]

    kernel, bias = layer("gen/dense")
    x = tf.reshape(tf.nn.leaky_relu(z @ kernel + bias, 0.2), (1, 5, 8, 128))
    for number in range(4):
        kernel, bias = layer("gen/conv2d_transpose" + (f"_{number}" if number else ""))
        size = (1, 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2])
        x = tf.nn.leaky_relu(tf.nn.conv2d_transpose(x, kernel, size, 2) + bias, 0.2)
    kernel, bias = layer("gen/conv2d")
    x = tf.maximum(tf.nn.conv2d(x, kernel, 1, "SAME") + bias, LOG_FLOOR)
    return x[:, :, 6:-7]


def scores(mel, weights, mean, std):
    """(1, 80, 115, 1) log-mel to (1, 2) scores."""
    x = (mel - mean[:, None, None]) / std[:, None, None]
    for number, name in enumerate(list(CLASSIFIER)[:4]):
        x = tf.nn.conv2d(x, weights[f"{name}/kernel"], 1, "VALID") + weights[f"{name}/bias"]
        x = tf.nn.leaky_relu(x, 0.01)
        x = tf.nn.max_pool2d(x, 3, 3, "VALID") if number % 2 else x
    x = tf.reshape(x, (1, 4928))
    x = tf.nn.leaky_relu(x @ weights["dense/kernel"] + weights["dense/bias"], 0.01)
    x = tf.nn.leaky_relu(x @ weights["dense_1/kernel"] + weights["dense_1/bias"], 0.01)
    return x @ weights["dense_2/kernel"] + weights["dense_2/bias"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Weights of both, the statistics, and both as this project's models."""
    folder = tmp_path_factory.mktemp("tf1")
    weights = {"classifier": recipe(CLASSIFIER, 5), "generator": recipe(GENERATOR, 6)}
    random = np.random.RandomState(7)
    mean, std = random.normal(0, 1, 80), random.uniform(1, 2, 80)
    np.savez(folder / "meanstd.npz", mean=mean, std=std)
    models = {}
    for kind, values in weights.items():
        with tf.Graph().as_default(), tf1.Session() as session:
            holders = [tf1.get_variable(name, initializer=one) for name, one in values.items()]
            session.run(tf1.global_variables_initializer())
            tf1.train.Saver(holders).save(session, str(folder / kind), write_meta_graph=False)
        statistics = folder / "meanstd.npz" if kind == "classifier" else None
        models[kind] = load_tf1_checkpoint(folder / kind, statistics)
    return weights, (mean.astype(np.float32), std.astype(np.float32)), models


def released_loop(networks, output, sign, beta_1):
    """z (steps + 1, 128), gradient of what Adam goes down, and score (steps,), before each step."""
    weights, statistics, _ = networks
    with tf.Graph().as_default(), tf1.Session() as session:
        z = tf1.get_variable("z", initializer=latents_from_seeds([SEED], 128).astype(np.float32))
        score = scores(generated(z, weights["generator"]), weights["classifier"], *statistics)
        score = score[:, output]
        loss = -sign * score + WEIGHT * tf.reduce_sum(tf.square(z))
        optimizer = tf1.train.AdamOptimizer(RATE, beta_1)
        pairs = optimizer.compute_gradients(loss, [z])
        step = optimizer.apply_gradients(pairs)
        session.run(tf1.global_variables_initializer())
        rows = []
        for _ in range(NUM_STEPS):
            rows.append(session.run((z, pairs[0][0], score)))
            session.run(step)
        rows.append(session.run((z, pairs[0][0], score)))
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(
    ("output", "direction", "beta_1"), [(0, "max", 0.9), (1, "min", 0.9), (1, "max", 0.99)]
)
def test_every_step_of_the_released_loop(networks, output, direction, beta_1):
    z, gradients, score = released_loop(networks, output, 1 if direction == "max" else -1, beta_1)
    models, adam = networks[2], Adam(beta_1)
    engine = Maximizer(
        models["generator"],
        models["classifier"],
        f"logit:{output}",
        direction,
        prior="released_code",
        optimizer=adam,
    )

    at_their_latents = engine.run(z, RATE, WEIGHT, 1)  # Its history holds where it started from.
    np.testing.assert_allclose(at_their_latents.response_history[0], score, atol=1e-4)
    norms = np.linalg.norm(gradients, axis=1)
    ratios = at_their_latents.gradient_norm_history[0] / norms
    assert np.abs(ratios - 1).max() < 0.05

    latents, state = tf.constant(z[:1]), adam.start(tf.constant(z[:1]))
    for t in range(NUM_STEPS):
        latents, state = adam.ascend(
            latents, -gradients[t : t + 1], state, tf.constant([RATE]), tf.constant(t), None
        )
        np.testing.assert_allclose(latents[0], z[t + 1], atol=1e-5)

    free = engine.run(z[:1], RATE, WEIGHT, NUM_STEPS, snapshot_steps=[1])
    np.testing.assert_allclose(free.response_history[:, 0], score, atol=2e-3)
    np.testing.assert_allclose(free.snapshots[1].latents[0], z[1], atol=0.021)
    np.testing.assert_allclose(free.latents[0], z[-1], atol=0.15)
    assert np.median(np.abs(free.latents[0] - z[-1])) < 1e-3
