"""tools/train_gan_jax.py against the training with TensorFlow.

JAX is not among the project's dependencies: where this interpreter has none, the environment
variable SVDAM_JAX_PYTHON may name one that has, else the tests are skipped.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.core.config import FRONT_END
from svdam.core.npz import read_npz, write_npz
from svdam.models.gan_networks import build_networks
from svdam.training.logistic_gan import LogisticTrainer, r1_penalty
from svdam.training.settings import GanSettings
from svdam.training.wgan_gp import GanTrainer
from tests.stages.gan_commands import SMALL, make_records

TOOL = Path(__file__).parents[2] / "tools/train_gan_jax.py"
PYTHON = os.environ.get("SVDAM_JAX_PYTHON") or (
    sys.executable if importlib.util.find_spec("jax") else None
)
pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="JAX is missing; SVDAM_JAX_PYTHON may name an interpreter that has it"
)
MEAN = np.linspace(-4, -6, 80, dtype=np.float32)
STD = np.linspace(1, 3, 80, dtype=np.float32)


def run_tool(*flags):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    result = subprocess.run(
        [PYTHON, TOOL, *flags], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    return result


def named(name, arrays):
    return {f"{name}/{number:03d}": array.copy() for number, array in enumerate(arrays)}


def strict_trainer(settings):
    """With scores far from 0, so that no gradient is as small as Adam's epsilon.

    And no activation at exactly 0, where the backends take the two sides of leaky ReLU's bend.
    """
    keras.utils.set_random_seed(3)
    generator, critic = build_networks(settings.preset, FRONT_END, MEAN, STD)
    critic.layers[-1].kernel.assign(100 * critic.layers[-1].kernel)
    for layer in (*critic.layers, *generator.layers):
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(0.01 * np.random.RandomState(1).normal(size=layer.bias.shape))
    if settings.objective == "logistic":
        return LogisticTrainer(settings, generator, critic, STD)
    return GanTrainer(settings, generator, critic)


@pytest.mark.parametrize(("preset", "objective"), [("square", "wgan_gp"), ("light", "logistic")])
def test_the_steps_agree(preset, objective, tmp_path):
    settings = GanSettings(
        preset=preset, objective=objective, batch_size=4, critic_steps=1, seed=11
    )
    trainer = strict_trainer(settings)
    fold = tf.random.experimental.stateless_fold_in
    base = tf.constant([settings.seed, 5], tf.int64)
    real = np.random.RandomState(0).normal(-5, 2, (4, 115, 80, 1)).astype(np.float32)
    arrays = {
        "real": real,
        "critic_latents": tf.random.stateless_normal((4, 128), fold(base, 0)).numpy(),
        "positions": tf.random.stateless_uniform((4,), fold(fold(base, 0), 1)).numpy(),
        "generator_latents": tf.random.stateless_normal((4, 128), fold(base, 1)).numpy(),
        **named("generator", trainer.generator.get_weights()),
        **named("critic", trainer.critic.get_weights()),
        **{"preset": np.array(preset), "objective": np.array(objective), "mean": MEAN, "std": STD},
    }
    write_npz(tmp_path / "step.npz", arrays)
    run_tool(f"--check={tmp_path / 'step.npz'}")
    found = read_npz(tmp_path / "step.jax.npz")
    scored = tf.function(trainer._scores)
    losses = {"r1_penalty": r1_penalty(scored, tf.constant(real), tf.constant(STD))}
    losses |= tf.function(trainer._generator_step)(fold(base, 1))
    generator = trainer.generator.get_weights()
    trainer.generator.set_weights([arrays[f"generator/{i:03d}"] for i in range(len(generator))])
    losses |= tf.function(trainer._critic_step)(tf.constant(real), fold(base, 0))
    compared = [name for name in losses if "norm" not in name and "output" not in name]
    assert {"critic_loss", "generator_loss", "r1_penalty"} < set(compared)
    for name in compared:
        assert found[name] == pytest.approx(float(losses[name]), rel=1e-4), name
    for model, weights in (("generator", generator), ("critic", trainer.critic.get_weights())):
        optimizer = getattr(trainer, f"{model}_optimizer")
        # Adam's moments after one step are the gradient and its square, but for a factor.
        moments = [variable.numpy() for variable in optimizer.variables]
        for name, expected in named(f"{model}_optimizer", moments).items():
            distance = np.linalg.norm(found[name] - expected)
            assert distance <= 1e-3 * np.linalg.norm(expected), name
        for name, expected in named(model, weights).items():
            assert np.abs(found[name] - arrays[name]).max() <= 1.01e-4
            # The rate times the gradient's sign: it may differ where a gradient is nearly 0.
            assert np.mean(np.abs(found[name] - expected) > 1e-5) <= 0.1, name


@pytest.mark.parametrize("networks", [(), ("--preset=light", "--objective=logistic")])
def test_a_run_is_resumed_and_exports_the_same_models(networks, tmp_path):
    records = make_records(tmp_path / "corpus")
    flags = (f"--records={records}", *SMALL, *networks, "--checkpoint_every=2")
    run_tool(*flags, f"--output={tmp_path / 'whole'}", "--num_iterations=4")
    run_tool(*flags, f"--output={tmp_path / 'parts'}", "--num_iterations=2")
    run_tool(*flags, f"--output={tmp_path / 'parts'}", "--num_iterations=4")
    for name, shape in (("generator", (1, 115, 80, 1)), ("critic", (1, 1))):
        models = [
            keras.saving.load_model(tmp_path / f"{part}/{name}.keras")
            for part in ("whole", "parts")
        ]
        assert models[0](np.zeros((1, *models[0].input_shape[1:]), np.float32)).shape == shape
        for one, other in zip(*(model.get_weights() for model in models), strict=True):
            np.testing.assert_array_equal(one, other)
