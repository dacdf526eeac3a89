"""Checkpoints of the released TensorFlow 1 code, against their own graph in TensorFlow 1 mode."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.core.validation import InputError
from svdam.models.conversion import reference
from svdam.models.conversion.convert import ConversionSettings, convert
from svdam.models.conversion.tf1 import load_tf1_checkpoint, read_tf1_variables

tf1 = tf.compat.v1
SQUARE = ((5, 5),) * 4
FULL_BAND = ((10, 5), (20, 5), (40, 5), (80, 5))  # Mel x time.


def random_variables(shapes, seed):
    """Random weights, in TensorFlow's layout, by name."""
    random = np.random.RandomState(seed)
    variables = {}
    for name, shape in shapes.items():
        inputs, units = shape[-2:]
        if "transpose" in name:
            inputs, units = units, inputs
        values = random.randn(*shape) * np.sqrt(2 / (np.prod(shape[:-2]) * inputs))
        variables[f"{name}/kernel"] = values.astype(np.float32)
        variables[f"{name}/bias"] = (0.1 * random.randn(units)).astype(np.float32)
    return variables


def classifier_variables(num_outputs=1, seed=0):
    shapes = {
        "conv2d": (3, 3, 1, 64),
        "conv2d_1": (3, 3, 64, 32),
        "conv2d_2": (3, 3, 32, 128),
        "conv2d_3": (3, 3, 128, 64),
        "dense": (4928, 256),
        "dense_1": (256, 64),
        "dense_2": (64, num_outputs),
    }
    return random_variables(shapes, seed)


def generator_variables(kernels=SQUARE, seed=1):
    channels = (128, 64, 32, 16, 8)
    shapes = {"gen/dense": (128, 5120), "gen/conv2d": (5, 5, 8, 1)}
    for index, kernel in enumerate(kernels):
        suffix = f"_{index}" if index else ""
        outputs, inputs = channels[index + 1], channels[index]
        shapes[f"gen/conv2d_transpose{suffix}"] = (*kernel, outputs, inputs)
    return random_variables(shapes, seed)


def save(variables, prefix):
    """Writes a checkpoint with TensorFlow 1's Saver."""
    with tf.Graph().as_default(), tf1.Session() as session:
        holders = [tf1.get_variable(name, initializer=value) for name, value in variables.items()]
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver(holders).save(session, str(prefix), write_meta_graph=False)
    return str(prefix)


def classifier_graph(variables, excerpts):
    """(batch, mel, time) through the released code's graph: mel-major, with slopes of 0.01."""
    x = tf.constant(excerpts[..., None])
    for name in ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3"):
        x = tf.nn.conv2d(x, variables[f"{name}/kernel"], 1, "VALID") + variables[f"{name}/bias"]
        x = tf.nn.leaky_relu(x, 0.01)
        if name in ("conv2d_1", "conv2d_3"):
            x = tf.nn.max_pool2d(x, 3, 3, "VALID")
    x = tf.reshape(x, (len(excerpts), -1))
    for name in ("dense", "dense_1", "dense_2"):
        x = x @ variables[f"{name}/kernel"] + variables[f"{name}/bias"]
        x = tf.nn.leaky_relu(x, 0.01) if name != "dense_2" else x
    return x.numpy()


def generator_graph(variables, latents):
    """(batch, mel, time) from the released code's graph: mel-major, with slopes of 0.2."""
    x = latents @ variables["gen/dense/kernel"] + variables["gen/dense/bias"]
    x = tf.reshape(tf.nn.leaky_relu(x, 0.2), (-1, 5, 8, 128))
    for index in range(4):
        name = "gen/conv2d_transpose" + (f"_{index}" if index else "")
        kernel = variables[f"{name}/kernel"]
        shape = (len(latents), 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2])
        x = tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME") + variables[f"{name}/bias"]
        x = tf.nn.leaky_relu(x, 0.2)
    x = tf.nn.conv2d(x, variables["gen/conv2d/kernel"], 1, "SAME") + variables["gen/conv2d/bias"]
    return tf.maximum(x, np.float32(np.log(1e-7)))[:, :, 6:-7, 0].numpy()


@pytest.mark.parametrize("num_outputs", [1, 2])
def test_classifier(tmp_path, num_outputs):
    variables = classifier_variables(num_outputs)
    prefix = save(variables, tmp_path / "model")
    excerpts = np.random.RandomState(2).randn(3, 80, 115).astype(np.float32)
    expected = classifier_graph(variables, excerpts)
    turned = excerpts.swapaxes(1, 2)
    found = load_tf1_checkpoint(prefix)(turned[..., None]).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)
    in_numpy = reference.tf1_classifier_forward(variables, turned)["logit"]
    np.testing.assert_allclose(in_numpy, expected, atol=2e-5)


@pytest.mark.parametrize("kernels", [SQUARE, FULL_BAND])
def test_generator(tmp_path, kernels):
    variables = generator_variables(kernels)
    prefix = save(variables, tmp_path / "model")
    # Large latents, so that the floor is reached.
    latents = (100 * np.random.RandomState(3).randn(2, 128)).astype(np.float32)
    expected = generator_graph(variables, latents).swapaxes(1, 2)
    assert (expected == np.float32(np.log(1e-7))).any()
    found = load_tf1_checkpoint(prefix)(latents).numpy()[..., 0]
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=tolerance)
    in_numpy = reference.tf1_generator_forward(variables, latents)
    np.testing.assert_allclose(in_numpy, expected, atol=tolerance)


def test_optimiser_slots_are_left_out(tmp_path):
    variables = classifier_variables()
    slots = {f"{name}/Momentum": np.ones_like(value) for name, value in variables.items()}
    slots |= {f"{name}/Adam_1": np.ones_like(value) for name, value in variables.items()}
    slots |= {"beta1_power": np.float32(0.9), "global_step": np.int64(7)}
    prefix = save({**variables, **slots}, tmp_path / "model")
    found, _ = read_tf1_variables(prefix)
    assert found.keys() == variables.keys()
    kernel = load_tf1_checkpoint(prefix).get_layer("logit").get_weights()[0]
    np.testing.assert_array_equal(kernel, variables["dense_2/kernel"])


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001"])
def test_the_checkpoint_may_be_named_by_any_of_its_files(tmp_path, suffix):
    prefix = save(generator_variables(), tmp_path / "a model.ckpt-600")
    assert load_tf1_checkpoint(prefix + suffix).output_shape == (None, 115, 80, 1)


def test_convert_verifies_and_saves(tmp_path):
    classifier = save(classifier_variables(2), tmp_path / "classifier")
    generator = save(generator_variables(), tmp_path / "generator")
    np.savez(tmp_path / "meanstd.npz", mean=np.linspace(-9, -5, 80), std=np.linspace(1, 2, 80))
    options = dict(verify=True, output=str(tmp_path / "c.keras"), tf1_checkpoint=classifier)
    with pytest.raises(InputError, match="--meanstd: is not given"):
        convert(ConversionSettings(**options))
    lines = convert(ConversionSettings(**options, meanstd=str(tmp_path / "meanstd.npz")))
    assert any(line.startswith("verify: logit: largest difference") for line in lines)
    assert keras.saving.load_model(tmp_path / "c.keras").output_shape == (None, 2)
    options |= dict(output=str(tmp_path / "g.keras"), tf1_checkpoint=generator)
    assert "generator with 932,801 parameters" in convert(ConversionSettings(**options))[-1]
    with pytest.raises(InputError, match="is a generator, which takes no --meanstd"):
        convert(
            ConversionSettings(**options, overwrite=True, meanstd=str(tmp_path / "meanstd.npz"))
        )


def changed(variables, **changes):
    """Variables with some replaced, and those given as None left out; ``__`` stands for ``/``."""
    names = {name.replace("__", "/"): value for name, value in changes.items()}
    merged = {**variables, **names}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            lambda: changed(classifier_variables(), conv2d_2__bias=None),
            r"has no 'conv2d_2/bias \(bias of conv3\)'",
        ),
        (
            lambda: changed(classifier_variables(), conv2d_4__kernel=np.zeros((3, 3), "f")),
            "holds 'conv2d_4/kernel' in addition to the 14 parameters",
        ),
        (
            lambda: changed(classifier_variables(), dense__kernel=np.zeros((4928, 100), "f")),
            r"dense/kernel \(kernel of fc1\) has shape \(4928, 100\), expected \(4928, 256\)",
        ),
        (
            lambda: changed(classifier_variables(), dense_1__bias=np.full(64, np.nan, "f")),
            r"dense_1/bias \(bias of fc2\) holds 64 values",
        ),
        (
            lambda: generator_variables(((7, 5), (5, 5), (5, 5), (5, 5))),
            "kernels .time x mel. 5x7, 5x5, 5x5, 5x5, expected one of",
        ),
        (
            lambda: changed(generator_variables(), gen__conv2d_transpose_2__kernel=None),
            "has no 'gen/conv2d_transpose_2/kernel'",
        ),
        (lambda: {"words": np.array([b"a", b"b"])}, "holds 'words', which are not numbers"),
    ],
)
def test_refuses_other_networks_and_writes_nothing(tmp_path, variables, message):
    prefix = save(variables(), tmp_path / "model")
    settings = ConversionSettings(
        tf1_checkpoint=prefix, standardised_input=True, output=str(tmp_path / "out.keras")
    )
    with pytest.raises(InputError, match=message) as refusal:
        convert(settings)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out.keras").exists()


def test_refuses_missing_and_damaged_files(tmp_path):
    with pytest.raises(InputError, match=r"is not a TensorFlow 1 checkpoint: no none.index"):
        load_tf1_checkpoint(tmp_path / "none")
    prefix = save(generator_variables(), tmp_path / "model")
    with pytest.raises(InputError, match="path without suffix"):
        load_tf1_checkpoint(tmp_path)
    data = tmp_path / "model.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is damaged or truncated"):
        load_tf1_checkpoint(prefix)
    data.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(InputError, match="is damaged or truncated"):
        load_tf1_checkpoint(prefix)
    (tmp_path / "model.index").write_bytes(b"no index")
    with pytest.raises(InputError, match="has no readable index"):
        load_tf1_checkpoint(prefix)
