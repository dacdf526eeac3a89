"""Training the classifier: the loss, Nesterov momentum, and going on after a kill."""

import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from svdam.core.runs import start_run
from svdam.core.validation import InputError
from svdam.data.excerpts import labelled_batches
from svdam.data.records import open_records
from svdam.models.classifier import build_svdnet
from svdam.results.model_cards import read_model_card
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from svdam.stages.train_classifier import train_classifier as train
from svdam.training.classifier import ClassifierTrainer, classification_loss, train_classifier
from svdam.training.settings import ClassifierSettings, output_names


@pytest.fixture(scope="module")
def records_folder(tmp_path_factory):
    """Records of four short songs in Jamendo's layout; half of each is labelled as singing."""
    root = tmp_path_factory.mktemp("songs")
    splits = {"train": ["a", "b"], "valid": ["c"], "test": ["d"]}
    for folder in ("audio", "labels", "filelists"):
        (root / folder).mkdir()
    rng = np.random.RandomState(0)
    for split, names in splits.items():
        (root / "filelists" / split).write_text("".join(f"{name}.wav\n" for name in names))
        for name in names:
            time_secs = np.arange(4 * 22050) / 22050
            tone = np.sin(2 * np.pi * rng.uniform(200, 400) * time_secs) * (time_secs < 2)
            samples = 0.3 * tone + 0.01 * rng.normal(size=len(time_secs))
            soundfile.write(root / "audio" / f"{name}.wav", samples, 22050)
            (root / "labels" / f"{name}.lab").write_text("0 2 sing\n2 4 nosing\n")
    output = root / "records"
    prepare_data(PrepareSettings(output=str(output), dataset="jamendo", data_dir=str(root)))
    return output


def test_loss_of_one_output_is_the_soft_cross_entropy():
    logits, labels = np.array([[2.0], [-1.0], [0.3]], np.float32), np.array([1, 1, 0], np.float32)
    p = 1 / (1 + np.exp(-logits[:, 0]))
    targets = np.array([0.98, 0.98, 0.02])
    expected = -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p))
    assert float(classification_loss(logits, tf.constant(labels))) == pytest.approx(
        expected, rel=1e-6
    )


def test_loss_of_two_outputs_equals_one_output_of_their_difference():
    rng = np.random.RandomState(0)
    pair, labels = rng.normal(size=(9, 2)).astype(np.float32), rng.randint(0, 2, 9).astype("f")
    two = classification_loss(tf.constant(pair), tf.constant(labels))
    one = classification_loss(tf.constant(pair[:, 1:] - pair[:, :1]), tf.constant(labels))
    assert float(two) == pytest.approx(float(one), rel=1e-5)


def test_loss_of_several_labels_is_the_mean_of_their_losses():
    rng = np.random.RandomState(1)
    logits, labels = rng.normal(size=(5, 3)).astype("f"), rng.randint(0, 2, (5, 3)).astype("f")
    alone = [
        float(classification_loss(tf.constant(logits[:, [k]]), tf.constant(labels[:, k])))
        for k in range(3)
    ]
    together = classification_loss(tf.constant(logits), tf.constant(labels))
    assert float(together) == pytest.approx(np.mean(alone), rel=1e-5)


@pytest.mark.parametrize(
    ("label_names", "num_outputs", "expected"),
    [
        (("sing",), 1, ("singing",)),
        (("sing",), 2, ("no singing", "singing")),
        (("dog",), 2, ("no dog", "dog")),
        (("dog", "siren", "car"), 3, ("dog", "siren", "car")),
        (("sing",), 3, "--num_outputs: found 3, but the records have a single label, 'sing'"),
        (("dog", "siren"), 1, r"found 1, but the records have 2 labels \('dog', 'siren'\); exp"),
    ],
)
def test_outputs_are_those_of_the_labels(label_names, num_outputs, expected):
    if isinstance(expected, tuple):
        assert output_names(label_names, num_outputs) == expected
        return
    with pytest.raises(InputError, match=expected):
        output_names(label_names, num_outputs)


def test_several_labels_from_records_to_the_model_card(events_folder, tmp_path):
    """Two sigmoids on one network: each output must learn its own label from the batches."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = ClassifierSettings(
        output=str(tmp_path / "run"),
        records=str(events_folder),
        num_outputs=2,
        num_epochs=1,
        epoch_batches=2,
        batch_size=4,
        augment=False,
    )
    train(settings)
    card = read_model_card(tmp_path / "run/classifier.keras")
    assert card.output_names == ("dog", "siren") and card.activation == "sigmoid"
    events = EventAccumulator(str(tmp_path / "run/tensorboard"), {"tensors": 0}).Reload()
    tags = {*events.Tags()["tensors"]}
    assert {"validation/dog/error", "validation/siren/auroc", "validation/error"} <= tags
    assert {"excerpts/dog", "excerpts/no siren"} <= tags and "excerpts/singing" not in tags
    errors = [events.Tensors(f"validation/{name}error")[0] for name in ("dog/", "siren/", "")]
    dog, siren, mean = (tf.make_ndarray(error.tensor_proto).item() for error in errors)
    assert mean == pytest.approx((dog + siren) / 2, abs=1e-6)


def test_steps_of_several_labels_are_those_of_each(events_folder):
    """A linear network has no weights that its outputs share, so each learns as if alone."""
    records = open_records(events_folder)
    batches = labelled_batches(records, batch_size=8, seed=0)

    def trained(columns):
        excerpt = keras.Input((115, 80, 1))
        x = keras.layers.Flatten()(keras.layers.Cropping2D(((50, 50), (0, 0)))(excerpt))
        start = keras.initializers.Constant(0.0)
        model = keras.Model(excerpt, keras.layers.Dense(len(columns), kernel_initializer=start)(x))
        # The mean over the labels halves the gradient of each.
        rate = 1e-5 * len(columns)
        trainer = ClassifierTrainer(ClassifierSettings(learning_rate=rate), model)
        for number, (excerpts, labels) in enumerate(batches.take(3)):
            chosen = labels if len(columns) > 1 else labels[:, columns[0]]
            trainer.step(excerpts, chosen, tf.constant(number, tf.int64))
        return model.get_weights()[0]

    both = trained([0, 1])
    for column in (0, 1):
        np.testing.assert_allclose(both[:, [column]], trained([column]), rtol=1e-4, atol=1e-8)
    assert np.abs(both[:, 0] - both[:, 1]).max() > 1e-6


def test_steps_are_nesterov_momentum():
    """Against the update rule of Lasagne, which the original code uses."""
    excerpt = keras.Input((3,))
    model = keras.Model(excerpt, keras.layers.Dense(1, use_bias=False)(excerpt))
    trainer = ClassifierTrainer(ClassifierSettings(learning_rate=0.1, momentum=0.95), model)
    rng = np.random.RandomState(0)
    batches = [(rng.normal(size=(4, 3)), rng.randint(0, 2, 4)) for _ in range(5)]
    weights, velocity = model.get_weights()[0][:, 0].astype(float), np.zeros(3)
    for number, (x, labels) in enumerate(batches):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (p - (0.02 + 0.96 * labels)) / 4
        velocity = 0.95 * velocity - 0.1 * gradient
        weights = weights + 0.95 * velocity - 0.1 * gradient
        trainer.step(*(tf.constant(part, tf.float32) for part in (x, labels)), tf.constant(number))
    np.testing.assert_allclose(model.get_weights()[0][:, 0], weights, rtol=1e-4)


def command(records_folder, output, *flags):
    return [
        sys.executable,
        "-m",
        "svdam.train_classifier",
        f"--records={records_folder}",
        f"--output={output}",
        "--num_epochs=2",
        "--epoch_batches=6",
        "--batch_size=2",
        "--checkpoint_every=2",
        "--noaugment",
        *flags,
    ]


def weights(folder):
    return keras.saving.load_model(folder / "classifier_last.keras").get_weights()


@pytest.mark.slow
def test_killed_and_started_again_gives_the_same_weights(records_folder, tmp_path):
    """A real kill, some time after the first checkpoint."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(records_folder, whole), check=True, capture_output=True)
    process = subprocess.Popen(
        command(records_folder, killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (killed / "checkpoints" / "checkpoint").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "complete.json").exists()
    subprocess.run(command(records_folder, killed), check=True, capture_output=True)
    for a, b in zip(weights(whole), weights(killed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (killed / "classifier.keras").exists() and (killed / "complete.json").exists()

    other = subprocess.run(
        command(records_folder, killed, "--learning_rate=0.5"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 1
    assert "holds a run with learning_rate=0.01, now it is 0.5" in other.stderr
    assert "Traceback" not in other.stderr


def test_a_loss_that_explodes_is_named(records_folder, tmp_path):
    settings = ClassifierSettings(
        learning_rate=1e30, num_epochs=1, epoch_batches=50, batch_size=2, augment=False
    )
    from svdam.core.runs import start_run

    with (
        start_run(tmp_path / "run", "train_classifier", settings) as run,
        pytest.raises(InputError, match=r"batch \d+: the loss is (nan|inf)"),
    ):
        train_classifier(settings, open_records(records_folder), run)


def test_a_classifier_that_ends_in_probabilities_is_not_trained_further(records_folder, tmp_path):
    excerpt = keras.Input((115, 80, 1))
    x = keras.layers.GlobalAveragePooling2D()(excerpt)
    keras.Model(excerpt, keras.layers.Dense(1, activation="sigmoid")(x)).save(tmp_path / "c.keras")
    settings = ClassifierSettings(
        output=str(tmp_path / "run"), records=str(records_folder), initial=str(tmp_path / "c.keras")
    )
    records = open_records(records_folder)
    with (
        pytest.raises(InputError, match=r"--initial: .*c.keras ends in probabilities"),
        start_run(settings.output, "train_classifier", settings) as run,
    ):
        train_classifier(settings, records, run)


def test_bfloat16_trains_in_bfloat16_and_writes_float32(records_folder, tmp_path):
    records = open_records(records_folder)
    found = {}
    for precision in ("float32", "mixed_bfloat16"):
        settings = ClassifierSettings(
            output=str(tmp_path / precision),
            precision=precision,
            num_epochs=1,
            epoch_batches=3,
            batch_size=8,
            augment=False,
        )
        with start_run(settings.output, "train_classifier", settings) as run:
            train_classifier(settings, records, run)
        for name in ("classifier", "classifier_last"):
            model = keras.saving.load_model(run.folder / f"{name}.keras", compile=False)
            assert {layer.compute_dtype for layer in model.layers} == {"float32"}
        found[precision] = np.concatenate([weight.ravel() for weight in model.get_weights()])
    keras.utils.set_random_seed(settings.seed)
    start = build_svdnet(records.mean, records.std).get_weights()
    moved, apart = (
        np.linalg.norm(found["float32"] - other)
        for other in (np.concatenate([weight.ravel() for weight in start]), found["mixed_bfloat16"])
    )
    assert 1e-3 * moved < apart < 0.3 * moved
