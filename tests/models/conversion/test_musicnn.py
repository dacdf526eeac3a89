"""The networks of musicnn: random weights against NumPy, the released ones against their graphs."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.core.validation import InputError
from svdam.models.conversion import reference
from svdam.models.conversion.musicnn import MODELS, TAGS, load_musicnn, read_musicnn_variables
from svdam.models.loading import load_model
from svdam.models.saving import save_model

tf1 = tf.compat.v1

KERNELS = {
    "musicnn": {
        "conv2d": (7, 38, 1, 204),
        "conv2d_1": (7, 67, 1, 204),
        "conv2d_2": (128, 1, 1, 51),
        "conv2d_3": (64, 1, 1, 51),
        "conv2d_4": (32, 1, 1, 51),
        "conv2d_5": (7, 561, 1, 64),
        "conv2d_6": (7, 64, 1, 64),
        "conv2d_7": (7, 64, 1, 64),
        "dense": (1506, 200),
        "dense_1": (200, 50),
    },
    "vgg": {
        "1CNN": (3, 3, 1, 128),
        **{f"{index}CNN": (3, 3, 128, 128) for index in range(2, 6)},
        "dense": (256, 50),
    },
}
NORMALIZED = {
    "musicnn": (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200),
    "vgg": (1, 128, 128, 128, 128, 128),
}
FORWARD = {"musicnn": reference.musicnn_forward, "vgg": reference.musicnn_vgg_forward}

_PACKAGE = importlib.util.find_spec("musicnn")
needs_package = pytest.mark.skipif(
    _PACKAGE is None, reason="musicnn is not installed; make published installs it"
)


def random_variables(kind, seed=0):
    """Random weights and statistics, in the original's layout, by name."""
    random = np.random.RandomState(seed)
    variables = {}
    for name, shape in KERNELS[kind].items():
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        variables[f"{name}/kernel"] = scale * random.randn(*shape)
        variables[f"{name}/bias"] = 0.1 * random.randn(shape[-1])
    for index, size in enumerate(NORMALIZED[kind]):
        name = f"batch_normalization_{index}" if index else "batch_normalization"
        variables[f"{name}/gamma"] = random.uniform(0.5, 1.5, size)
        variables[f"{name}/beta"] = 0.1 * random.randn(size)
        variables[f"{name}/moving_mean"] = random.randn(size)
        variables[f"{name}/moving_variance"] = random.uniform(0.1, 2, size)
    return {name: values.astype(np.float32) for name, values in variables.items()}


def save(variables, folder):
    """Writes a checkpoint as the package holds them: ``folder/.index`` and the like."""
    folder.mkdir(parents=True)
    with tf.Graph().as_default(), tf1.Session() as session:
        holders = [tf1.get_variable(name, initializer=value) for name, value in variables.items()]
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver(holders).save(session, f"{folder}/", write_meta_graph=False)


def random_excerpts(frames=187, seed=1):
    return np.random.RandomState(seed).uniform(0, 4, (2, frames, 96)).astype(np.float32)


def require_same_layers(model, expected, excerpts):
    """Every layer that the reference names has its values."""
    tapped = keras.Model(model.input, {name: model.get_layer(name).output for name in expected})
    for name, found in tapped(excerpts[..., np.newaxis], training=False).items():
        values = expected[name]
        np.testing.assert_allclose(found, values, atol=3e-5 * np.abs(values).max(), err_msg=name)


@pytest.mark.parametrize("model", MODELS)
def test_random_weights_compute_what_the_numpy_reference_does(tmp_path, model):
    kind = model.split("_")[1]
    variables = random_variables(kind)
    trained = {name: values for name, values in variables.items() if "moving" not in name}
    slots = {f"{name}/Adam_1": values for name, values in trained.items()}
    save({**variables, **slots, "beta1_power": np.float32(0.9)}, tmp_path / model)
    excerpts = random_excerpts()
    expected = FORWARD[kind](variables, excerpts)
    assert expected["logits"].shape == (2, 50) and expected["logits"].std() > 0.1
    require_same_layers(load_musicnn(tmp_path, model), expected, excerpts)
    require_same_layers(load_musicnn(tmp_path / model, model), expected, excerpts)


@pytest.mark.parametrize("frames", [1, 115, 300])
def test_musicnn_takes_excerpts_of_any_length(tmp_path, frames):
    variables = random_variables("musicnn")
    save(variables, tmp_path / "MTT_musicnn")
    excerpts = random_excerpts(frames)
    expected = reference.musicnn_forward(variables, excerpts)
    require_same_layers(load_musicnn(tmp_path), expected, excerpts)


@pytest.mark.parametrize("model", ["MTT_musicnn", "MTT_vgg"])
def test_the_safe_loader_reads_what_was_converted(tmp_path, model):
    save(random_variables(model.split("_")[1]), tmp_path / model)
    converted = load_musicnn(tmp_path, model)
    save_model(converted, tmp_path / "tagger.keras")
    again = load_model(tmp_path / "tagger.keras", "classifier")
    assert again.input_shape == converted.input_shape
    excerpts = random_excerpts()[..., np.newaxis]
    np.testing.assert_array_equal(again(excerpts), converted(excerpts))


def test_tags_are_unique_lists_of_fifty():
    assert {name: len(set(tags)) for name, tags in TAGS.items()} == {"MTT": 50, "MSD": 50}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dense/kernel": None}, r"has no 'dense/kernel \(kernel of dense\)'"),
        (
            {"conv2d_5/kernel": np.zeros((7, 561, 1, 512), "f")},
            r"conv2d_5/kernel \(kernel of cnn1_conv\) has shape \(7, 561, 1, 512\), expected "
            r"\(7, 561, 1, 64\)",
        ),
        (
            {"batch_normalization_9/moving_mean": np.full(1506, np.inf, "f")},
            r"moving_mean \(moving mean of pooled_norm\) holds 1506 values that are not finite",
        ),
        (
            {"1CNN/kernel": np.zeros((3, 3, 1, 128), "f")},
            "holds '1CNN/kernel' in addition to the 64",
        ),
    ],
)
def test_other_networks_are_refused(tmp_path, change, message):
    variables = {**random_variables("musicnn"), **change}
    kept = {name: values for name, values in variables.items() if values is not None}
    save(kept, tmp_path / "MTT_musicnn")
    with pytest.raises(InputError, match=message) as refusal:
        load_musicnn(tmp_path)
    assert "\n" not in str(refusal.value)


def test_missing_and_damaged_checkpoints_are_refused(tmp_path):
    with pytest.raises(InputError, match="has no network 'MTT_big'; it has 'MTT_musicnn', "):
        load_musicnn(tmp_path, "MTT_big")
    with pytest.raises(InputError, match=r"holds no MTT_vgg/\.index; expected the installed"):
        load_musicnn(tmp_path, "MTT_vgg")
    save(random_variables("vgg"), tmp_path / "MTT_vgg")
    data = tmp_path / "MTT_vgg/.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(InputError, match="is damaged or truncated"):
        load_musicnn(tmp_path, "MTT_vgg")


def released_logits(model, excerpts):
    """Logits by the graph that the authors trained, which lies next to each checkpoint."""
    folder = Path(_PACKAGE.origin).parent
    # The one of MSD_vgg has other pools than the released code, which has one network for both.
    of_graph = "MTT_vgg" if model == "MSD_vgg" else model
    meta = tf1.MetaGraphDef.FromString((folder / of_graph / ".meta").read_bytes())
    output = "model/dense_1/BiasAdd" if model.endswith("_musicnn") else "model/dense/BiasAdd"
    definition = tf1.graph_util.extract_sub_graph(meta.graph_def, [output])
    reader = tf1.train.NewCheckpointReader(f"{folder / model}/")
    with tf.Graph().as_default(), tf1.Session() as session:
        tf.import_graph_def(definition, name="")
        given = {
            f"{node.name}/read:0": reader.get_tensor(node.name)
            for node in definition.node
            if node.op == "VariableV2"
        }
        given |= {"model/Placeholder:0": excerpts, "model/Placeholder_2:0": False}
        return session.run(f"{output}:0", given)


@needs_package
@pytest.mark.parametrize("model", MODELS)
def test_released_weights_compute_what_the_released_graph_does(model):
    folder = Path(_PACKAGE.origin).parent
    excerpts = random_excerpts()
    converted = load_musicnn(folder, model)
    np.testing.assert_allclose(
        converted(excerpts[..., np.newaxis]), released_logits(model, excerpts), atol=1e-4
    )
    variables, _ = read_musicnn_variables(folder, model)
    require_same_layers(converted, FORWARD[model.split("_")[1]](variables, excerpts), excerpts)


@needs_package
def test_tags_are_those_of_the_package():
    from musicnn import configuration

    assert list(TAGS["MTT"]) == configuration.MTT_LABELS
    assert list(TAGS["MSD"]) == configuration.MSD_LABELS
