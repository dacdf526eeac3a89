"""Bridges against what the target front end computes from the same sound."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.audio.front_ends import FRONT_ENDS
from svdam.audio.log_mel import log_mel_spectrogram
from svdam.core.validation import InputError
from svdam.explain.responses import response_function
from svdam.models.bridge import bridged_classifier, build_bridge

PAPER, MUSICNN, YAMNET = (FRONT_ENDS[name] for name in ("ismir2015", "musicnn", "yamnet"))


def sound(rate, secs=4.0):
    """Chords of decaying tones, noise that swells, and clicks; the same at any rate."""
    time_secs = np.arange(round(secs * rate)) / rate
    samples = np.zeros(len(time_secs))
    for start_secs, hz in ((0, 110), (0, 165), (0.8, 220), (1.5, 147), (1.5, 294), (2.6, 98)):
        since = time_secs - start_secs
        for partial in range(1, int(7000 / hz)):
            tone = np.sin(2 * np.pi * partial * hz * (since + 0.001 * np.sin(30 * since)))
            samples += np.where(since > 0, tone * np.exp(-2 * since) / partial, 0)
    noise_hz = np.random.RandomState(0).uniform(50, 7500, 800)
    phases = np.random.RandomState(1).uniform(0, 2 * np.pi, 800)
    swell = 0.02 + 0.02 * np.sin(2 * np.pi * 1.5 * time_secs)
    for hz, phase in zip(noise_hz, phases, strict=True):
        samples += swell * np.sin(2 * np.pi * hz * time_secs + phase)
    return (0.1 * samples).astype(np.float32)


def both(source, target, frames):
    """The log-mel spectrograms of the same sound, as batches of one."""
    secs = source.num_samples(frames) / source.sample_rate
    return (
        log_mel_spectrogram(sound(front_end.sample_rate, secs), front_end)[np.newaxis, ..., None]
        for front_end in (source, target)
    )


@pytest.fixture(scope="module")
def bridge():
    return build_bridge(PAPER, MUSICNN, frames=207)


def test_what_comes_out_is_what_the_target_front_end_computes(bridge):
    log_mel, expected = both(PAPER, MUSICNN, 207)
    found = np.asarray(bridge(log_mel))
    assert found.shape == expected.shape == (1, 187, 96, 1) and found.dtype == np.float32
    found, expected = found[:, 3:-3], expected[:, 3:-3]  # Where windows reach over the end.
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95
    assert abs((found - expected).mean()) < 0.1
    # Neither a shift in time nor one in frequency comes closer.
    error = np.abs(found - expected).mean()
    for axis in (1, 2):
        for by in (-1, 1):
            assert np.abs(np.roll(found, by, axis) - expected).mean() > 1.1 * error


def test_the_way_back():
    log_mel, expected = both(MUSICNN, PAPER, 187)
    found = np.asarray(build_bridge(MUSICNN, PAPER)(log_mel))
    assert found.shape == expected.shape
    loud = expected > np.log(0.01)  # Quieter sounds lie below the offset of the logarithm.
    assert np.corrcoef(found[loud], expected[loud])[0, 1] > 0.9
    assert found.min() >= np.float32(PAPER.silence)


def test_louder_sounds_are_louder_by_as_much(bridge):
    log_mel, _ = both(PAPER, MUSICNN, 207)
    found, louder = (np.asarray(bridge(log_mel + gain)) for gain in (5, 6))
    # As the target is log10 of power, and most of the cells are far above its offset.
    assert np.quantile(louder - found, [0.01, 0.99]) == pytest.approx(2 / np.log(10), abs=0.001)


def test_silence_stays_silent(bridge):
    silence = np.full((1, 207, 80, 1), PAPER.silence, np.float32)
    assert np.asarray(bridge(silence)).max() < 0.1


def test_gradients_are_those_of_finite_differences(bridge):
    log_mel, _ = both(PAPER, MUSICNN, 207)
    rng = np.random.RandomState(0)
    weights = tf.constant(rng.normal(size=(1, 187, 96, 1)), tf.float32)

    @tf.function
    def value(inputs):
        return tf.reduce_sum(weights * bridge(inputs))

    inputs = tf.constant(log_mel)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = value(inputs)
    gradient = tape.gradient(total, inputs).numpy()
    assert np.isfinite(gradient).all()
    for seed in range(4):
        direction = np.random.RandomState(seed).normal(size=log_mel.shape).astype(np.float32)
        step = 0.01
        there, back = (value(log_mel + way * direction).numpy() for way in (step, -step))
        assert (gradient * direction).sum() == pytest.approx((there - back) / step / 2, rel=0.01)


def test_a_saved_bridge_is_the_same(bridge, tmp_path):
    bridge.save(tmp_path / "bridge.keras")
    loaded = keras.saving.load_model(tmp_path / "bridge.keras", compile=False)
    log_mel, _ = both(PAPER, MUSICNN, 207)
    np.testing.assert_array_equal(loaded(log_mel), bridge(log_mel))
    assert loaded.get_layer("bridge").description == bridge.get_layer("bridge").description
    assert not loaded.trainable_variables


def test_logarithms_are_in_single_precision_whatever_the_policy(bridge):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = build_bridge(PAPER, MUSICNN, frames=207)
    finally:
        keras.config.set_dtype_policy("float32")
    log_mel, _ = both(PAPER, MUSICNN, 207)
    np.testing.assert_array_equal(mixed(log_mel), bridge(log_mel))


@pytest.mark.parametrize(
    "target_frames, places, description",
    [
        (None, range(187), "The classifier gets all 187 frames (3.0 s)."),
        (100, range(43, 143), "The classifier gets the middle 100 of 187 frames (3.0 s)."),
        (
            190,
            [1, *range(187), 185, 184],
            "The excerpt of 187 frames (3.0 s) is reflected at both ends until the classifier's "
            "190 are full.",
        ),
    ],
)
def test_lengths_are_made_to_fit(bridge, target_frames, places, description):
    fitting = build_bridge(PAPER, MUSICNN, 207, target_frames=target_frames)
    assert fitting.output_shape == (None, len(places), 96, 1)
    assert fitting.get_layer("bridge").description == description
    log_mel, _ = both(PAPER, MUSICNN, 207)
    np.testing.assert_array_equal(fitting(log_mel), np.asarray(bridge(log_mel))[:, list(places)])


def test_short_excerpts_are_reflected_as_often_as_it_takes():
    fitting = build_bridge(YAMNET, YAMNET, 3, target_frames=9)
    log_mel = np.broadcast_to(np.arange(3.0).reshape(1, 3, 1, 1), (1, 3, 64, 1))
    assert np.asarray(fitting(log_mel))[0, :, 0, 0].tolist() == [1, 2, 1, 0, 1, 2, 1, 0, 1]


def test_between_equal_front_ends_nothing_changes():
    longer = dataclasses.replace(YAMNET, excerpt_frames=200)
    log_mel = np.random.RandomState(0).normal(size=(2, 96, 64, 1)).astype(np.float32)
    np.testing.assert_array_equal(build_bridge(YAMNET, longer)(log_mel), log_mel)


def classifier_of(shape):
    """A classifier with random weights; its time axis may be open, its channel axis missing."""
    rng = np.random.RandomState(0)
    excerpt = keras.Input(shape, name="excerpt")
    x = keras.layers.Normalization(axis=-1, mean=[-4.0] * 64, variance=[9.0] * 64)(
        keras.layers.Reshape((-1, 64))(excerpt)
    )
    x = keras.layers.Conv1D(5, 3, activation="relu", name="edges")(x)
    x = keras.layers.GlobalMaxPooling1D(name="longest")(x)
    model = keras.Model(excerpt, keras.layers.Dense(2, name="tags")(x))
    model.set_weights([rng.normal(size=array.shape) for array in model.get_weights()])
    return model


@pytest.mark.parametrize("shape", [(None, 64, 1), (96, 64, 1), (200, 64), (1, 96, 64)])
def test_a_classifier_behind_a_bridge_is_the_same_with_other_excerpts(shape):
    classifier = classifier_of(shape)
    bridged = bridged_classifier(classifier, YAMNET, PAPER)
    assert bridged.input_shape == (None, 115, 80, 1)
    log_mel = np.random.RandomState(0).normal(-5, 2, size=(3, 115, 80, 1)).astype(np.float32)
    frames = max(shape[0] or 0, shape[1]) if shape[0] else None
    inner = build_bridge(PAPER, YAMNET, target_frames=frames)(log_mel).numpy()
    if frames:
        inner = inner.reshape(-1, *shape)
    np.testing.assert_allclose(bridged(log_mel), classifier(inner), rtol=1e-5)
    edges = keras.Model(classifier.input, classifier.get_layer("edges").output)
    np.testing.assert_allclose(
        response_function(bridged, "edges:3")(log_mel),
        edges(inner).numpy()[..., 3].mean(axis=1),
        rtol=1e-5,
    )
    assert bridged.get_layer("bridge").description.startswith(
        {None: "The classifier gets all 166", 96: "The classifier gets the middle 96"}.get(
            frames, "The excerpt of 166 frames (1.7 s) is reflected"
        )
    )


def test_no_bridge_is_built_where_none_is_needed():
    classifier = classifier_of((96, 64, 1))
    assert bridged_classifier(classifier, YAMNET, YAMNET) is classifier
    shorter = dataclasses.replace(YAMNET, excerpt_frames=50)
    log_mel = np.random.RandomState(0).normal(size=(1, 50, 64, 1)).astype(np.float32)
    found = bridged_classifier(classifier, YAMNET, shorter)(log_mel)
    places = np.pad(np.arange(50), (23, 23), "reflect")
    np.testing.assert_allclose(found, classifier(log_mel[:, places]), rtol=1e-5)
    open_axis = bridged_classifier(classifier_of((None, 64, 1)), YAMNET, shorter)
    assert "bridge" not in [layer.name for layer in open_axis.layers]
    assert open_axis.input_shape == (None, 50, 64, 1)


def test_a_classifier_of_another_front_end_is_refused():
    with pytest.raises(
        InputError, match=r"--classifier: it takes \(96, 64, 1\), expected \(96, 96"
    ):
        bridged_classifier(classifier_of((96, 64, 1)), MUSICNN, PAPER, "--classifier: it")


def test_bad_lengths_are_refused():
    with pytest.raises(InputError, match="frames: found 0, expected at least 1"):
        build_bridge(PAPER, MUSICNN, 0)
    with pytest.raises(InputError, match="target_frames: found -1, expected at least 1"):
        build_bridge(PAPER, MUSICNN, target_frames=-1)
    with pytest.raises(InputError, match="frames: 1 of yamnet are shorter than a window of ismir"):
        build_bridge(YAMNET, PAPER, 1)
