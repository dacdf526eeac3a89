"""Models go to disk and back unchanged, and files that hold code or nothing are refused."""

import keras
import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.models.loading import load_model
from svdam.models.saving import save_model


@pytest.mark.parametrize("build", [build_generator, build_critic])
def test_round_trip(tmp_path, build):
    model = build()
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras", "generator")
    inputs = np.random.RandomState(0).normal(size=(2, *model.input_shape[1:]))
    np.testing.assert_array_equal(model(inputs), again(inputs))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_the_same_model_gives_the_same_bytes_however_many_were_made_before(tmp_path):
    for name in ("one", "other"):
        generator = build_generator("square")
        generator.set_weights([np.ones(weight.shape) for weight in generator.weights])
        save_model(generator, tmp_path / f"{name}.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "other.keras").read_bytes()
    latents = np.ones((1, 128))
    again = load_model(tmp_path / "other.keras", "generator")
    np.testing.assert_array_equal(again(latents), generator(latents))


def test_an_operation_does_not_take_the_name_of_a_layer(tmp_path):
    inputs = keras.Input((3,), name="inputs")
    x = keras.ops.maximum(keras.layers.Dense(2, name="maximum")(inputs), 0.5)
    model = keras.Model(inputs, keras.ops.maximum(keras.ops.abs(x), 1.0))
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras", "generator")
    values = np.random.RandomState(0).normal(size=(4, 3))
    np.testing.assert_array_equal(again(values), model(values))


def test_lambda_layers_are_refused(tmp_path):
    excerpt = keras.Input((115, 80, 1))
    marker = tmp_path / "was_run"

    def run_code(x):
        marker.touch()
        return x

    model = keras.Model(excerpt, keras.layers.Lambda(run_code)(excerpt))
    model.save(tmp_path / "model.keras")
    marker.unlink()
    with pytest.raises(
        InputError, match=r"--classifier: .*model.keras holds 'keras.layers.Lambda'"
    ):
        load_model(tmp_path / "model.keras", "classifier")
    assert not marker.exists()


def test_files_that_are_no_models_are_refused(tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    save_model(build_generator("square"), tmp_path / "whole.keras")
    content = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    (tmp_path / "runless").mkdir()
    for name, message in (
        ("text.keras", "is no .keras file"),
        ("cut.keras", "is no .keras file|cannot be loaded"),
        ("missing.keras", "does not exist; make it with: python -m svdam.train_gan"),
        ("runless", "is empty; make it with: python -m svdam.train_gan --flagfile=flags/gan.cfg"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_model(tmp_path / name, "generator")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"takes \(128,\), expected \(115, 80, 1\)"):
        load_model(tmp_path / "whole.keras", "classifier", (115, 80, 1))
