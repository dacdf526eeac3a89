"""Model files from strangers: nothing in them is run, nothing outside them touched."""

import io
import json
import os
import pickle
import resource
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from svdam.core.runs import start_run
from svdam.core.settings import Settings
from svdam.core.validation import InputError
from svdam.models.loading import load_model

EXCERPT = (115, 80, 1)
TRACE = "/tmp/svdam-trace-of-a-hostile-model"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A harmless classifier."""
    excerpt = keras.Input(EXCERPT)
    x = keras.layers.AveragePooling2D(9)(excerpt)
    outputs = keras.layers.Dense(1, name="logit")(keras.layers.Flatten()(x))
    path = tmp_path_factory.mktemp("whole") / "classifier.keras"
    keras.Model(excerpt, outputs).save(path)
    return path


@pytest.fixture(autouse=True)
def nothing_is_run():
    """Fails if the hostile part of a model left its trace."""
    Path(TRACE).unlink(missing_ok=True)
    yield
    assert not os.path.lexists(TRACE)


def changed(whole, path, config=None, members=None, weights=None):
    """A copy of a model with another configuration, other members, or other weights."""
    with zipfile.ZipFile(whole) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    if config:
        values = json.loads(content["config.json"])
        config(values)
        content["config.json"] = json.dumps(values).encode()
    if weights:
        stream = io.BytesIO(content["model.weights.h5"])
        with h5py.File(stream, "r+") as file:
            weights(file)
        content["model.weights.h5"] = stream.getvalue()
    content |= members or {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
    return path


def refusal(path, flag="classifier", **options):
    with pytest.raises(InputError) as caught:
        load_model(path, flag, **options)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"--{flag}: ") and len(message) < 600
    return message


def layer(config, kind):
    return next(one for one in config["config"]["layers"] if one["class_name"] == kind)


def as_layer(module, name, inner):
    """Turns the Dense layer into an object of another class."""

    def change(config):
        layer(config, "Dense").update(module=module, class_name=name, config=inner)

    return change


def with_activation(activation):
    def change(config):
        layer(config, "Dense")["config"]["activation"] = activation

    return change


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wA=", None, None]}}
TOUCH = {"vocabulary": "/etc/passwd", "name": "x"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (as_layer("keras.layers", "Lambda", {"function": LAMBDA}), "keras.layers.Lambda"),
        (as_layer("keras.layers", "TFSMLayer", {"filepath": "/tmp"}), "TFSMLayer"),
        (as_layer("keras.layers", "TorchModuleWrapper", {"module": "gA=="}), "TorchModuleWrapper"),
        (as_layer("keras.layers", "JaxLayer", {}), "JaxLayer"),
        (as_layer("keras.layers", "FlaxLayer", {}), "FlaxLayer"),
        (as_layer("keras.layers", "StringLookup", TOUCH), "StringLookup"),
        (as_layer("keras.layers", "TextVectorization", TOUCH), "TextVectorization"),
        (as_layer("keras.src.layers.core.lambda_layer", "Lambda", {}), "Lambda"),
        (as_layer("keras.src.ops.core", "WhileLoop", {}), "WhileLoop"),
        (with_activation(LAMBDA), "__lambda__"),
        (with_activation({"class_name": "__typespec__", "config": []}), "__typespec__"),
    ],
)
def test_what_could_run_code_is_refused_by_name(whole, tmp_path, change, named):
    message = refusal(changed(whole, tmp_path / "m.keras", change))
    assert named in message and "which could run code" in message
    assert "--allow_unsafe_model" in message


@pytest.mark.parametrize("allow_unsafe", [False, True])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (as_layer("keras.layers", "deserialize", {}), "deserialize"),
        (as_layer("os", "system", {"command": f"touch {TRACE}"}), "os.system"),
        (as_layer("subprocess", "Popen", {"args": ["touch", TRACE]}), "subprocess.Popen"),
        (as_layer("stranger.layers", "Evil", {}), "stranger.layers.Evil"),
        (as_layer("keras.utils", "get_file", {"fname": TRACE}), "keras.utils.get_file"),
        (as_layer("keras.models", "load_model", {"filepath": "/tmp/x"}), "load_model"),
        (as_layer("keras.layers", "Nosuch", {}), "keras.layers.Nosuch"),
        (as_layer("keras.src.nosuch", "Dense", {}), "keras.src.nosuch.Dense"),
        (as_layer("keras.callbacks", "LambdaCallback", {}), "LambdaCallback"),
        (as_layer(None, "Lambda", {}), "Lambda"),
        (lambda c: layer(c, "Dense").pop("module"), "Dense"),
        (with_activation(function("builtins", "eval")), "function eval"),
        (with_activation(function("keras.utils", "get_file")), "function get_file"),
        (with_activation(function("builtins", "deserialize")), "function deserialize"),
        (with_activation({"class_name": ["x"], "config": {}}), "x"),
        (lambda c: c.update(module="os", class_name="system"), "os.system"),
    ],
)
def test_what_keras_does_not_know_is_not_looked_for(whole, tmp_path, change, named, allow_unsafe):
    message = refusal(changed(whole, tmp_path / "m.keras", change), allow_unsafe=allow_unsafe)
    assert named in message and "which Keras does not know" in message
    assert "--import_module=" in message


def test_a_pickle_in_a_lambda_is_not_opened(whole, tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (TRACE, "w")

    payload = pickle.dumps(Evil()).hex()
    message = refusal(
        changed(whole, tmp_path / "m.keras", as_layer("torch", "load", {"f": payload}))
    )
    assert "torch.load" in message


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../outside.txt": b"x"}, "../outside.txt"),
        ({"/tmp/outside.txt": b"x"}, "/tmp/outside.txt"),
        ({"assets/code.py": b"x"}, "assets/code.py"),
        ({"model.weights.npz": b"x", "model.weights.h5": None}, "holds no 'model.weights.h5'"),
        ({"config.json": b"[" * 200_000}, "config.json is damaged"),
        ({"config.json": b"[]"}, "config.json is damaged"),
        ({"config.json": b"\xff\xfe"}, "config.json is damaged"),
        ({"config.json": b'{"a": ' + b"1" * (17 << 20) + b"}"}, "config.json of 178"),
        ({"model.weights.h5": b"no HDF5"}, "not an HDF5 file"),
        ({"model.weights.h5": b""}, "not an HDF5 file"),
    ],
)
def test_strange_members_are_refused(whole, tmp_path, members, message):
    assert message in refusal(changed(whole, tmp_path / "m.keras", members=members))
    assert sorted(os.listdir(tmp_path)) == ["m.keras"]


def test_a_member_that_is_a_symbolic_link_is_not_followed(whole, tmp_path):
    link = zipfile.ZipInfo("config.json")
    link.external_attr = 0o120777 << 16
    path = changed(whole, tmp_path / "m.keras", members={"config.json": None})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "config.json is damaged" in refusal(path)


def replaced(make):
    """Replaces the kernel of the Dense layer."""

    def change(file):
        group = file["layers/dense/vars"]
        shape = group["0"].shape
        del group["0"]
        make(group, shape)

    return change


def external_storage(group, shape):
    group.create_dataset("0", shape, "f4", external=[("/etc/passwd", 0, 4 * int(np.prod(shape)))])


def virtual(group, shape):
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape)
    group.create_virtual_dataset("0", layout)


def terabytes(group, shape):
    group.create_dataset("0", (1 << 40,), "f4", chunks=(1 << 20,))


def bomb(group, shape):
    group.create_dataset("0", (1 << 30,), "f4", chunks=(1 << 20,), compression="gzip")[
        : 1 << 20
    ] = 0


def loop(group, shape):
    group["0"] = group.parent


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda group, _: group.__setitem__("0", h5py.ExternalLink("/etc/passwd", "/x")), "link"),
        (lambda group, _: group.__setitem__("0", h5py.SoftLink("/layers")), "link"),
        (external_storage, "in other files"),
        (virtual, "in other files"),
        (terabytes, "declares shape (1099511627776,)"),
        (bomb, "declares shape (1073741824,)"),
        (loop, "cannot be loaded"),
        (lambda group, shape: group.create_dataset("0", data=np.zeros((3, 3))), "cannot be loaded"),
        (lambda group, shape: group.create_dataset("0", data="text"), "cannot be loaded"),
    ],
)
def test_weights_that_reach_out_or_lie_are_refused(whole, tmp_path, make, message):
    assert message in refusal(changed(whole, tmp_path / "m.keras", weights=replaced(make)))


def with_units(count):
    def change(config):
        layer(config, "Dense")["config"]["units"] = count

    return change


def test_huge_on_paper_takes_no_memory(whole, tmp_path):
    bomb = bytes(1 << 28)
    cases = {
        "declares layers with more than": changed(whole, tmp_path / "a.keras", with_units(10**10)),
        "config.json of": changed(whole, tmp_path / "b.keras", members={"config.json": bomb}),
        "which is what it stores": changed(whole, tmp_path / "c.keras", with_units(2000)),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for message, path in cases.items():
        assert path.stat().st_size < 1 << 20
        assert message in refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_huge_activations_are_refused(tmp_path):
    excerpt = keras.Input(EXCERPT)
    keras.Model(excerpt, keras.layers.UpSampling2D(1000)(excerpt)).save(tmp_path / "m.keras")
    assert "GiB of memory for one example" in refusal(tmp_path / "m.keras")


def test_models_that_multiply_their_work_again_and_again_are_refused(tmp_path):
    """A small file: each model calls the one before four times."""
    excerpt = keras.Input(EXCERPT)
    model = keras.Model(excerpt, keras.layers.LeakyReLU()(excerpt))
    for _ in range(8):
        excerpt = keras.Input(EXCERPT)
        model = keras.Model(excerpt, model(model(model(model(excerpt)))))
    model.save(tmp_path / "m.keras")
    assert "GiB of memory for one example" in refusal(tmp_path / "m.keras")


def test_files_of_other_kinds(whole, tmp_path):
    for name, content, message in (
        ("empty", b"", "not a zip archive"),
        (
            "old",
            b"\x89HDF\r\n\x1a\n" + bytes(99),
            "format of older versions of Keras; convert it",
        ),
        ("pickle", pickle.dumps({"a": 1}), "not a zip archive"),
        ("cut", whole.read_bytes()[:-30], "not a zip archive"),
        ("lite", b"\x1c\0\0\0TFL3" + bytes(99), "a TensorFlow Lite model"),
    ):
        (tmp_path / f"{name}.keras").write_bytes(content)
        assert message in refusal(tmp_path / f"{name}.keras")
    with open(tmp_path / "arrays.keras", "wb") as stream:
        np.savez(stream, x=np.zeros(3))
    assert "holds no 'config.json'" in refusal(tmp_path / "arrays.keras")
    initializer = {"module": "keras.initializers", "class_name": "Zeros", "config": {}}
    path = changed(whole, tmp_path / "part.keras", members={"config.json": json.dumps(initializer)})
    assert "part.keras" in refusal(path)


def test_models_without_one_input_and_one_output(tmp_path):
    pair = [keras.Input(EXCERPT), keras.Input(EXCERPT)]
    keras.Model(pair, keras.layers.Add()(pair)).save(tmp_path / "two.keras")
    assert "has 2 inputs (" in refusal(tmp_path / "two.keras")
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Dense(3)]).save(tmp_path / "unbuilt.keras")
    assert "does not define its input" in refusal(tmp_path / "unbuilt.keras")


class Sample(Settings):
    """No settings."""


def test_a_run_folder_whose_model_is_a_link_to_elsewhere(whole, tmp_path):
    with start_run(tmp_path / "run", "train_classifier", Sample()) as run:
        run.mark_complete()
    (tmp_path / "run/classifier.keras").symlink_to(whole)
    with pytest.raises(InputError, match=r"classifier.keras: points outside its folder, to /"):
        load_model(tmp_path / "run", "classifier")


def test_what_users_build_is_loaded(tmp_path):
    """Layers, nested and compiled models, operations, activations: all but code."""
    excerpt = keras.Input(EXCERPT)
    inner = keras.Sequential(
        [keras.Input(EXCERPT), keras.layers.Conv2D(2, 3, activation="relu"),
         keras.layers.BatchNormalization(), keras.layers.PReLU(shared_axes=[1, 2])]
    )  # fmt: skip
    inner.compile("adam", "mse", metrics=["mae"])
    x = keras.ops.maximum(inner(excerpt), 0.1) * 2
    x = keras.ops.mean(keras.ops.log(x), axis=2)
    x = keras.layers.Bidirectional(keras.layers.GRU(3))(x)
    x = keras.layers.Dense(4, activation=keras.activations.silu, kernel_regularizer="l2")(x)
    x = keras.layers.Dense(4, activation=keras.layers.LeakyReLU(0.1), kernel_constraint="max_norm")(
        x
    )
    model = keras.Model(excerpt, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)))
    model.save(tmp_path / "m.keras")
    inputs = np.random.RandomState(0).normal(size=(2, *EXCERPT))
    found = load_model(tmp_path / "m.keras", "classifier", EXCERPT)
    np.testing.assert_array_equal(found(inputs), model(inputs))


def test_classes_that_the_program_registered_are_loaded(tmp_path):
    @keras.saving.register_keras_serializable("mine")
    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    excerpt = keras.Input(EXCERPT)
    keras.Model(excerpt, Doubled()(excerpt)).save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras", "classifier").output_shape == (None, *EXCERPT)
    keras.saving.get_custom_objects().pop("mine>Doubled")
    assert "Doubled" in refusal(tmp_path / "m.keras")


def test_ones_own_lambda_layers_are_loaded_on_demand(tmp_path):
    excerpt = keras.Input(EXCERPT)
    keras.Model(excerpt, keras.layers.Lambda(lambda x: x + 1)(excerpt)).save(tmp_path / "m.keras")
    assert "keras.layers.Lambda" in refusal(tmp_path / "m.keras")
    model = load_model(tmp_path / "m.keras", "classifier", allow_unsafe=True)
    assert float(model(np.zeros((1, *EXCERPT), np.float32))[0, 0, 0, 0]) == 1
