"""Networks of the original Lasagne code: the same numbers here, and back bit for bit."""

import importlib.util
import pathlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.models.classifier import build_svdnet
from svdam.models.conversion import lasagne, reference, verification
from svdam.models.conversion.convert import ConversionSettings, convert
from svdam.models.conversion.lasagne import load_lasagne_npz, to_lasagne

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "tests" / "fixtures"
FEATURES = ("conv1", "conv2", "pool1", "conv3", "conv4", "pool2", "fc1", "fc2", "logit")


def recipe_of_fixture():
    path = FIXTURES / "make_lasagne_recipe.py"
    spec = importlib.util.spec_from_file_location("make_lasagne_recipe", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.recipe()


@pytest.fixture(scope="module")
def recipe():
    return recipe_of_fixture()


@pytest.fixture(scope="module")
def network_path(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("lasagne") / "network.npz"
    np.savez(path, **recipe[0])
    return path


@pytest.fixture(scope="module")
def meanstd_path(tmp_path_factory):
    random = np.random.RandomState(8)
    path = tmp_path_factory.mktemp("lasagne") / "meanstd.npz"
    np.savez(path, mean=random.randn(80) - 5, std=random.rand(80) + 0.5)
    return path


def activations(model, excerpts):
    tapped = keras.Model(model.input, {name: model.get_layer(name).output for name in FEATURES})
    found = tapped(np.asarray(excerpts, np.float32)[..., None], training=False)
    return {name: np.asarray(values) for name, values in found.items()}


def two_outputs(parameters, seed=5):
    random = np.random.RandomState(seed)
    changed = {"param12": random.randn(64, 2).astype("f"), "param13": random.randn(2).astype("f")}
    return {**parameters, **changed}


def assert_close_to_largest(found, expected, tolerance, name):
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max(), name


def test_every_layer_is_what_lasagne_computed(recipe, network_path):
    found = activations(load_lasagne_npz(network_path), recipe[1])
    with np.load(FIXTURES / "lasagne_recipe_20150001.npz") as expected:
        for name in FEATURES:
            if name in expected.files:
                assert_close_to_largest(found[name], expected[name], 1e-5, name)
            else:
                means = found[name].mean(axis=(1, 2))
                assert_close_to_largest(means, expected[f"{name}_channel_mean"], 1e-5, name)
        np.testing.assert_allclose(found["logit"], expected["logit"], atol=2e-5, rtol=0)


def test_the_numpy_reference_is_what_lasagne_computed(recipe):
    found = reference.lasagne_forward(*recipe)
    with np.load(FIXTURES / "lasagne_recipe_20150001.npz") as expected:
        for name in ("fc1", "fc2", "logit"):
            assert_close_to_largest(found[name], expected[name], 1e-6, name)
        for name in FEATURES[:6]:
            means = found[name].mean(axis=(1, 2))
            assert_close_to_largest(means, expected[f"{name}_channel_mean"], 1e-6, name)


def test_every_feature_map_is_that_of_the_reference(recipe, network_path):
    found = activations(load_lasagne_npz(network_path), recipe[1])
    for name, expected in reference.lasagne_forward(*recipe).items():
        assert_close_to_largest(found[name], expected, 1e-5, name)


def test_mean_and_std_are_inside(recipe, network_path, meanstd_path):
    with np.load(meanstd_path) as statistics:
        mean, std = statistics["mean"], statistics["std"]
    log_mel = (recipe[1] * std + mean).astype(np.float32)
    standardised = (log_mel.astype(np.float64) - mean) / std
    expected = reference.lasagne_forward(recipe[0], standardised)["logit"]
    found = load_lasagne_npz(network_path, meanstd_path)(log_mel[..., None]).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)


def test_two_outputs(recipe, tmp_path):
    parameters = two_outputs(recipe[0])
    np.savez(tmp_path / "two.npz", **parameters)
    model = load_lasagne_npz(tmp_path / "two.npz")
    expected = reference.lasagne_forward(parameters, recipe[1])["logit"]
    assert model.output_shape == (None, 2)
    assert_close_to_largest(model(recipe[1][..., None]).numpy(), expected, 1e-5, "logit")


def test_parameters_go_by_number_in_any_order_and_precision(recipe, network_path, tmp_path):
    names = sorted(recipe[0], reverse=True)  # param9, param8, ..., param13, ...: as a dict may be.
    arrays = {name: recipe[0][name].astype(">f8") for name in names}
    np.savez_compressed(tmp_path / "other.npz", **arrays)
    expected = load_lasagne_npz(network_path).get_weights()
    found = load_lasagne_npz(tmp_path / "other.npz").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_values_that_numpy_numbered_are_taken_in_their_order(recipe, network_path, tmp_path):
    """``numpy.savez(path, *lasagne.layers.get_all_param_values(network))``."""
    path = tmp_path / "numbered.npz"
    np.savez(path, *(recipe[0][f"param{index}"] for index in range(14)))
    found = load_lasagne_npz(path).get_weights()
    for values, expected in zip(found, load_lasagne_npz(network_path).get_weights(), strict=True):
        np.testing.assert_array_equal(values, expected)
    np.savez(path, *(recipe[0][f"param{index}"] for index in range(13)))
    with pytest.raises(InputError, match="param13"):
        load_lasagne_npz(path)
    np.savez(path, *(recipe[0][f"param{index}"] for index in range(13)), arr_14=np.zeros(1))
    with pytest.raises(InputError, match="expected param0 to param13"):
        load_lasagne_npz(path)


def test_there_and_back_is_exact(recipe, network_path, meanstd_path, tmp_path):
    kernel = recipe[0]["param0"].copy()
    kernel[0, 0] = [[-0.0, 1e-42, 3.4e38], [0, -1e-45, 1], [2, 3, 4]]
    for parameters in (recipe[0], two_outputs({**recipe[0], "param0": kernel})):
        np.savez(tmp_path / "network.npz", **parameters)
        model = load_lasagne_npz(tmp_path / "network.npz", meanstd_path)
        model.save(tmp_path / "network.keras")
        loaded = keras.saving.load_model(tmp_path / "network.keras")
        back, mean, std = to_lasagne(loaded)
        assert list(back) == [f"param{i}" for i in range(14)]
        for name, values in parameters.items():
            assert back[name].dtype == np.float32
            np.testing.assert_array_equal(back[name].view(np.uint32), values.view(np.uint32))
        with np.load(meanstd_path) as statistics:
            np.testing.assert_array_equal(mean, statistics["mean"])
            np.testing.assert_array_equal(std, statistics["std"])


def test_a_keras_network_there_and_back(tmp_path):
    keras.utils.set_random_seed(3)
    model = build_svdnet(num_outputs=2)
    model.save(tmp_path / "a.keras")
    options = dict(to_lasagne=True, meanstd=str(tmp_path / "m.npz"), verify=True)
    convert(
        ConversionSettings(
            input=str(tmp_path / "a.keras"), output=str(tmp_path / "a.npz"), **options
        )
    )
    with np.load(tmp_path / "a.npz") as stored:  # As the original predict.py reads it.
        in_order = [stored[f"param{i}"] for i in range(len(stored.files))]
    assert [values.shape for values in in_order[:3]] == [(64, 1, 3, 3), (64,), (32, 64, 3, 3)]
    again = load_lasagne_npz(tmp_path / "a.npz", tmp_path / "m.npz")
    for found, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_to_lasagne_refuses_other_networks():
    inputs = keras.Input((115, 80, 1))
    other = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(inputs)))
    with pytest.raises(InputError, match="expected a SVDNet"):
        to_lasagne(other)
    with pytest.raises(InputError, match="has 3 outputs"):
        to_lasagne(build_svdnet(num_outputs=3))


def without(parameters, name):
    return {key: values for key, values in parameters.items() if key != name}


def transposed_conv2(parameters):
    return {**parameters, "param2": parameters["param2"].transpose(2, 3, 1, 0)}


def with_value(parameters, name, value):
    changed = parameters[name].copy()
    changed.flat[3] = value
    return {**parameters, name: changed}


def batch_normalised(parameters):
    """Parameters as the phd_extra branch saves them: W, beta, gamma, mean, inv_std a layer."""
    arrays = []
    for index in range(7):
        kernel, bias = parameters[f"param{2 * index}"], parameters[f"param{2 * index + 1}"]
        arrays += [kernel] + [bias] * (4 if index < 6 else 1)
    return {f"param{i}": values for i, values in enumerate(arrays)}


REFUSED = [
    (lambda p: without(p, "param7"), r"has no 'param7 \(bias of conv4\)'"),
    (lambda p: {**p, "param14": p["param1"]}, "holds 15 parameters in all"),
    (lambda p: {**p, "extra": p["param1"]}, "holds 'extra' in addition to the 14 parameters"),
    (lambda p: {**p, "param01": p["param1"]}, "holds 'param01' in addition to"),
    (transposed_conv2, r"param2 \(weights of conv2\) has shape \(3, 3, 64, 32\), expected \(32,"),
    (lambda p: {**p, "param8": p["param8"].T}, r"param8 \(weights of fc1\) has shape \(256, 4928"),
    (lambda p: {**p, "param1": p["param1"].astype(int)}, r"param1 \(bias of conv1\) has dtype"),
    (lambda p: {**p, "param1": p["param1"].astype(complex)}, "has dtype complex128"),
    (lambda p: {**p, "param1": p["param1"].astype(object)}, "'param1' holds Python objects"),
    (lambda p: with_value(p, "param4", np.nan), r"param4 \(weights of conv3\) holds 1 values that"),
    (lambda p: with_value(p, "param11", -np.inf),
     r"param11 \(bias of fc2\) holds 1 values"),
    (lambda p: {**p, "param3": p["param3"].astype(float) + 1e39}, "param3 .* holds 32 values"),
    (batch_normalised, "holds 32 parameters with batch normalisation.*phd_extra"),
    (lambda p: {"mean": np.zeros(80), "std": np.ones(80)}, "give it as --meanstd"),
    (lambda p: {"weights": np.zeros(80)}, "holds 'weights', expected param0 to param13"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_refuses_other_networks_and_writes_nothing(recipe, tmp_path, change, message):
    np.savez(tmp_path / "in.npz", **change(recipe[0]))
    settings = ConversionSettings(
        input=str(tmp_path / "in.npz"),
        output=str(tmp_path / "out.keras"),
        standardised_input=True,
    )
    with pytest.raises(InputError, match=message) as refusal:
        convert(settings)
    assert "in.npz" in str(refusal.value) and "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.npz"]


def statistics(**changes):
    return {"mean": np.zeros(80), "std": np.ones(80), **changes}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mean": np.zeros(80)}, "holds 'mean', expected mean and std"),
        (statistics(std=np.r_[np.ones(79), 0]), "std of band 79 is 0, expected more than 0"),
        (statistics(std=np.r_[1, -2, np.ones(78)]), "std of band 1 is -2"),
        (statistics(mean=np.full(80, np.nan)), "mean holds values that are not finite"),
        (statistics(std=np.full(80, np.inf)), "std holds values that are not finite"),
        (statistics(mean=np.zeros(372)), r"mean has shape \(372,\)"),
        (statistics(mean=np.zeros(80, object)), "'mean' holds Python objects"),
        ({f"param{i}": np.zeros(2) for i in range(14)}, "expected mean and std"),
    ],
)
def test_refuses_bad_statistics(network_path, tmp_path, arrays, message):
    np.savez(tmp_path / "meanstd.npz", **arrays)
    settings = ConversionSettings(
        input=str(network_path),
        meanstd=str(tmp_path / "meanstd.npz"),
        output=str(tmp_path / "out.keras"),
    )
    with pytest.raises(InputError, match=message):
        convert(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["meanstd.npz"]


def test_refuses_a_truncated_archive(network_path, tmp_path):
    (tmp_path / "cut.npz").write_bytes(network_path.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"cut.npz: is not a complete .npz archive"):
        load_lasagne_npz(tmp_path / "cut.npz")


def test_refuses_a_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("param0.npy", bytes(100_000_000))
    with pytest.raises(InputError, match="would take 100 MB"):
        load_lasagne_npz(tmp_path / "bomb.npz")


def test_without_statistics_it_must_be_asked_for(network_path, tmp_path):
    output = tmp_path / "out.keras"
    with pytest.raises(InputError, match=r"already standardised.*--standardised_input"):
        convert(ConversionSettings(input=str(network_path), output=str(output)))
    lines = convert(
        ConversionSettings(input=str(network_path), output=str(output), standardised_input=True)
    )
    assert "already standardised" in lines[-1]
    assert output.exists()


def test_an_output_that_exists_is_kept(network_path, meanstd_path, tmp_path):
    output = tmp_path / "out.keras"
    output.write_text("precious")
    options = dict(input=str(network_path), meanstd=str(meanstd_path), output=str(output))
    with pytest.raises(InputError, match=r"out.keras: exists.*--overwrite"):
        convert(ConversionSettings(**options))
    assert output.read_text() == "precious"
    convert(ConversionSettings(**options, overwrite=True))
    assert keras.saving.load_model(output).count_params() == 1_408_225


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(output="a.keras"), "either --input or --tf1_checkpoint"),
        (dict(input="a.npz", tf1_checkpoint="b", output="a.keras"), "either --input or"),
        (dict(input="a.npz"), "--output: is not given"),
        (dict(input="a.npz", output="a.h5"), "expected a name ending in .keras"),
        (dict(input="a.keras", output="a.keras", to_lasagne=True), "ending in .npz"),
        (dict(tf1_checkpoint="a", output="a.npz", to_lasagne=True), "--to_lasagne"),
        (
            dict(input="a.npz", output="a.keras", meanstd="m.npz", standardised_input=True),
            "contradicts",
        ),
    ],
)
def test_refuses_contradicting_settings(options, message):
    with pytest.raises(InputError, match=message):
        ConversionSettings(**options)


def test_verify_notices_kernels_that_were_not_flipped(
    network_path, meanstd_path, tmp_path, monkeypatch
):
    original = lasagne._to_keras

    def without_flip(kernel, layer):
        converted = original(kernel, layer)
        return converted[::-1, ::-1] if layer.name == "conv3_pre" else converted

    options = dict(input=str(network_path), meanstd=str(meanstd_path), verify=True)
    lines = convert(ConversionSettings(**options, output=str(tmp_path / "right.keras")))
    assert sum(line.startswith("verify: ") for line in lines) == len(FEATURES)
    monkeypatch.setattr(lasagne, "_to_keras", without_flip)
    with pytest.raises(InputError, match="verify: conv3 differs from the reference"):
        convert(ConversionSettings(**options, output=str(tmp_path / "wrong.keras")))
    assert not (tmp_path / "wrong.keras").exists()
    assert verification.TOLERANCE <= 1e-5


def test_the_tool_answers_bad_input_in_one_line(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools" / "convert_lasagne.py"),
            f"--input={tmp_path / 'none.npz'}",
            "--standardised_input",
            f"--output={tmp_path / 'out.keras'}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"error: {tmp_path / 'none.npz'}: no such file"
    assert not list(tmp_path.iterdir())
