"""The networks against Tables 1, 2 and 4, layer by layer."""

from pathlib import Path

import keras
import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.models.classifier import build_svdnet
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.models.light_gan import build_light_critic, build_light_generator

ROOT = Path(__file__).parents[2]


def shapes(model, *names):
    return [tuple(model.get_layer(name).output.shape[1:]) for name in names]


def kernels(model, *names):
    return [tuple(model.get_layer(name).kernel.shape) for name in names]


def test_svdnet_is_table_4():
    model = build_svdnet()
    assert model.input_shape == (None, 115, 80, 1) and model.output_shape == (None, 1)
    assert shapes(model, "conv1", "conv2", "pool1", "conv3", "conv4", "pool2", "fc1", "fc2") == [
        (113, 78, 64),
        (111, 76, 32),
        (37, 25, 32),
        (35, 23, 128),
        (33, 21, 64),
        (11, 7, 64),
        (256,),
        (64,),
    ]
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 1_408_225
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in dropouts] == [0.5] * 3
    # Each before a dense layer.
    names = [layer.name for layer in model.layers]
    assert [names[names.index(d.name) + 1] for d in dropouts] == ["fc1_pre", "fc2_pre", "logit"]
    slopes = {float(v.negative_slope) for v in model.layers if hasattr(v, "negative_slope")}
    assert len(slopes) == 1 and slopes.pop() == pytest.approx(0.01)
    assert model.get_layer("logit").activation is keras.activations.linear


def test_svdnet_starts_orthogonal():
    kernel = build_svdnet().get_layer("fc2_pre").kernel.numpy()
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(64), atol=1e-5)


def test_svdnet_with_two_outputs():
    model = build_svdnet(num_outputs=2)
    assert model.output_shape == (None, 2)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 1_408_290


def test_generator_is_table_1():
    model = build_generator()
    assert model.input_shape == (None, 128) and model.output_shape == (None, 115, 80, 1)
    assert model.count_params() == 1_339_201
    assert shapes(model, "dense", "reshape", "up1", "up2", "up3", "up4", "out", "crop") == [
        (5120,),
        (8, 5, 128),
        (16, 10, 64),
        (32, 20, 32),
        (64, 40, 16),
        (128, 80, 8),
        (128, 80, 1),
        (115, 80, 1),
    ]
    assert kernels(model, "up1", "up2", "up3", "up4", "out") == [
        (5, 10, 64, 128),
        (5, 20, 32, 64),
        (5, 20, 16, 32),
        (5, 20, 8, 16),
        (5, 5, 8, 1),
    ]


@pytest.mark.parametrize(("preset", "parameters"), [("full_band", 1_428_801), ("square", 932_801)])
def test_other_presets_have_the_released_size(preset, parameters):
    assert build_generator(preset).count_params() == parameters


def test_unknown_preset_is_refused():
    with pytest.raises(InputError, match="'wide', expected one of 'paper', 'full_band', 'square'"):
        build_generator("wide")


def test_generator_crops_six_frames_before_and_seven_after():
    model = build_generator()
    latents = np.random.RandomState(0).normal(size=(2, 128))
    whole = keras.Model(model.input, model.get_layer("out").output)(latents)
    np.testing.assert_array_equal(model(latents), whole[:, 6:121])


def test_generator_never_goes_below_the_floor():
    model = build_generator()
    model.get_layer("out").bias.assign([np.log(1e-7)])
    output = np.asarray(model(100 * np.random.RandomState(0).normal(size=(4, 128))))
    floor = np.float32(np.log(1e-7))
    assert output.min() == floor and (output == floor).any() and (output > floor).any()


def test_critic_is_table_2():
    model = build_critic()
    assert model.input_shape == (None, 115, 80, 1) and model.output_shape == (None, 1)
    assert model.count_params() == 2_890_720
    assert shapes(model, "pad", "conv1", "conv2", "conv3", "conv4", "flatten") == [
        (128, 80, 1),
        (64, 40, 32),
        (32, 20, 64),
        (16, 10, 128),
        (8, 5, 256),
        (10240,),
    ]
    assert kernels(model, "conv1", "conv2", "conv3", "conv4") == [
        (5, 80, 1, 32),
        (5, 40, 32, 64),
        (5, 20, 64, 128),
        (5, 10, 128, 256),
    ]
    assert not model.get_layer("score").use_bias


def test_critic_pads_six_frames_before_and_seven_after():
    model = build_critic()
    clips = np.random.RandomState(0).normal(size=(1, 115, 80, 1)).astype(np.float32)
    padded = np.asarray(keras.Model(model.input, model.get_layer("pad").output)(clips))
    np.testing.assert_array_equal(padded[:, 6:121], clips)
    assert not padded[:, :6].any() and not padded[:, 121:].any()


def test_standardisation_is_inside_svdnet():
    rng = np.random.RandomState(0)
    mean, std = rng.normal(size=80), rng.uniform(0.5, 2, 80)
    raw = rng.normal(size=(2, 115, 80, 1)).astype(np.float32)
    inside, outside = build_svdnet(mean, std), build_svdnet()
    outside.set_weights(inside.get_weights())
    standardised = (raw - mean[:, None]) / std[:, None]
    np.testing.assert_allclose(inside(raw), outside(standardised), atol=2e-6)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (np.zeros(79), None, r"mean: found shape \(79,\), expected \(80,\)"),
        (None, np.zeros(80), "std: band 0 is 0, expected more than 0"),
        (np.full(80, np.inf), None, "mean: holds values that are not finite"),
    ],
)
def test_bad_statistics_are_refused(mean, std, message):
    with pytest.raises(InputError, match=message):
        build_svdnet(mean, std)


@pytest.mark.parametrize(
    ("build", "values", "sums"),
    [
        (build_generator, (-0.01152781, 0.00270721, 0.07271288), (11080.126, 5113.7408, 16.890059)),
        (build_critic, (-0.00726870, 0.00191429, 0.00362316), (138.09361, 3615.9609, 124.39344)),
        (build_svdnet, (0.05403188, -0.07504107, 0.01536096), (57.615176, 615.69454, 6.1032161)),
    ],
)
def test_the_papers_sizes_are_the_default_and_weights_follow_from_the_seed(build, values, sums):
    """Kernels of the first two layers and the last one, as the first version initialised them."""
    for sizes in ({}, {"frames": 115, "bands": 80}):
        keras.utils.set_random_seed(7)
        kernels = [array for array in build(**sizes).get_weights() if array.ndim > 1]
        chosen = [kernels[0], kernels[1], kernels[-1]]
        assert [kernel.ravel()[3] for kernel in chosen] == pytest.approx(values, rel=1e-4)
        assert [np.abs(kernel).sum() for kernel in chosen] == pytest.approx(sums, rel=1e-5)


@pytest.mark.parametrize(
    ("frames", "bands", "crop", "widths"),
    [
        (187, 96, ((2, 3), (0, 0)), (12, 24, 24, 24)),
        (96, 64, ((0, 0), (0, 0)), (8, 16, 16, 16)),
        (50, 37, ((7, 7), (5, 6)), (6, 12, 12, 12)),
        (128, 128, ((0, 0), (0, 0)), (16, 32, 32, 32)),
    ],
)
def test_generator_and_critic_of_other_sizes(frames, bands, crop, widths):
    generator = build_generator(frames=frames, bands=bands, silence=0.25)
    assert generator.output_shape == (None, frames, bands, 1)
    assert generator.get_layer("crop").cropping == crop
    names = ("up1", "up2", "up3", "up4")
    assert [kernel[:2] for kernel in kernels(generator, *names)] == [(5, width) for width in widths]
    examples = generator(np.random.RandomState(0).normal(size=(2, 128)) * 100)
    assert np.min(examples) == 0.25 < np.max(examples)
    critic = build_critic(frames, bands)
    padded = critic.get_layer("pad").output.shape[1:3]
    assert critic.get_layer("pad").padding == crop
    assert padded == generator.get_layer("out").output.shape[1:3]
    # Each kernel of the critic spans all bands that are left, as in Table 2.
    names = ("conv1", "conv2", "conv3", "conv4")
    assert [kernel[:2] for kernel in kernels(critic, *names)] == [
        (5, padded[1] // 2**step) for step in range(4)
    ]
    assert critic(examples).shape == (2, 1)


def test_square_kernels_stay_square():
    model = build_generator("square", 187, 96)
    assert {kernel[:2] for kernel in kernels(model, "up1", "up2", "up3", "up4")} == {(5, 5)}


def test_svdnet_of_other_sizes():
    model = build_svdnet(np.zeros(96), np.ones(96), 3, frames=187, bands=96)
    assert model.input_shape == (None, 187, 96, 1) and model.output_shape == (None, 3)
    assert build_svdnet(frames=25, bands=25).get_layer("pool2").output.shape[1:3] == (1, 1)


@pytest.mark.parametrize(
    ("build", "sizes", "message"),
    [
        (build_generator, {"frames": 0}, "frames: found 0, expected at least 1"),
        (build_critic, {"bands": -1}, "bands: found -1, expected at least 1"),
        (build_svdnet, {"frames": 24}, "frames: found 24, expected at least 25"),
        (build_svdnet, {"bands": 24}, "bands: found 24, expected at least 25"),
    ],
)
def test_sizes_that_are_too_small_are_refused(build, sizes, message):
    with pytest.raises(InputError, match=message):
        build(**sizes)


def test_statistics_must_have_as_many_bands_as_the_excerpt():
    with pytest.raises(InputError, match=r"mean: found shape \(80,\), expected \(96,\)"):
        build_svdnet(np.zeros(80), bands=96)


LIGHT = "checkpoints/{}_music.keras"


@pytest.mark.parametrize(
    ("name", "build"), [("generator", build_light_generator), ("critic", build_light_critic)]
)
def test_light_networks_are_those_of_the_checkpoints(name, build):
    trained = keras.saving.load_model(ROOT / LIGHT.format(name), compile=False)
    standardisation = trained.get_layer("raw" if name == "generator" else "standardised")
    model = build(np.ravel(standardisation.mean), np.sqrt(np.ravel(standardisation.variance)))
    assert [layer.name for layer in model.layers if layer.weights] == [
        layer.name for layer in trained.layers if layer.weights
    ]
    model.set_weights(trained.get_weights())
    inputs = np.random.RandomState(0).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_array_equal(model(inputs), trained(inputs))


@pytest.mark.parametrize(
    ("frames", "bands", "seed"), [(187, 96, (12, 24, 64)), (50, 37, (4, 12, 64))]
)
def test_light_networks_of_other_sizes(frames, bands, seed):
    statistics = np.linspace(-60, -20, bands), np.linspace(5, 10, bands)
    generator = build_light_generator(*statistics, frames, silence=-70.0)
    assert shapes(generator, "reshape") == [seed]
    assert generator.output_shape == (None, frames, bands, 1)
    examples = generator(np.random.RandomState(0).normal(size=(2, 128))).numpy()
    assert examples.min() >= -70
    assert np.corrcoef(examples.mean(axis=(0, 1, 3)), statistics[0])[0, 1] > 0.9
    critic = build_light_critic(*statistics, frames)
    assert critic(examples).shape == (2, 1)
    # Padded with as much as the generator cuts off: all strides divide what is left.
    assert shapes(critic, "pad") == [(16 * seed[0], 4 * seed[1], 1)]
