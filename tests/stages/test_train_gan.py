"""train_gan as a user runs it: killed, interrupted, refused, watched."""

import dataclasses
import json
import shutil
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from svdam.core.runs import start_run
from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.models.classifier import build_svdnet
from svdam.training import gan
from svdam.training.checkpoints import Checkpoints
from svdam.training.gan import train_gan
from svdam.training.gan_watching import GanWatcher
from svdam.training.settings import GanSettings
from tests.stages.gan_commands import finish, make_records, start

pytestmark = pytest.mark.slow

FLAGS = ("--num_iterations=24", "--checkpoint_every=1")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def undisturbed(records, tmp_path_factory):
    """The run folder of a training that nobody touched."""
    folder = tmp_path_factory.mktemp("undisturbed") / "gan"
    status, output = finish(start(records, folder, *FLAGS))
    assert status == 0, output
    return folder


def weights(folder):
    models = (keras.saving.load_model(folder / f"{name}.keras") for name in ("generator", "critic"))
    return [array for model in models for array in model.get_weights()]


def assert_same_weights(folder, other):
    for found, expected in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(found, expected)


def last_saved(folder):
    return max((int(p.stem[5:]) for p in folder.glob("checkpoints/ckpt-*.index")), default=0)


def wait_for(condition, process, secs=100):
    end = time.monotonic() + secs
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.005)


def test_killed_and_interrupted_it_ends_with_the_same_weights(records, undisturbed, tmp_path):
    folder = tmp_path / "gan"
    rng = np.random.RandomState()
    print("seed", rng.get_state()[1][0])
    for _ in range(2):
        before = last_saved(folder)
        process = start(records, folder, *FLAGS)
        wait_for(lambda b=before: last_saved(folder) > b, process)
        time.sleep(rng.uniform(0, 0.3))  # While it computes, or writes a checkpoint.
        process.kill()
        process.communicate()
    before, events = last_saved(folder), set(folder.glob("tensorboard/events.*"))
    process = start(records, folder, FLAGS[0], "--checkpoint_every=1000")
    wait_for(lambda: set(folder.glob("tensorboard/events.*")) > events, process)
    process.send_signal(signal.SIGTERM)
    status, output = finish(process)
    assert status == 128 + signal.SIGINT and "run the same command again to resume" in output
    assert before < last_saved(folder) < 24
    status, output = finish(start(records, folder, *FLAGS))
    assert status == 0, output
    assert_same_weights(folder, undisturbed)
    names = {path.name.split(".")[0] for path in (folder / "checkpoints").glob("ckpt-*")}
    assert names == {"ckpt-22", "ckpt-23", "ckpt-24"}  # Leftovers of the kills are gone.


def test_other_settings_are_refused_by_name(records, undisturbed):
    status, output = finish(start(records, undisturbed, *FLAGS, "--gradient_penalty=3"))
    assert status == 1 and "gradient_penalty=10.0, now it is 3.0" in output
    assert "Traceback" not in output


def test_export_writes_the_last_checkpoint(records, undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "gan")
    for name in ("generator", "critic"):
        (tmp_path / f"gan/{name}.keras").unlink()
    settings = GanSettings(
        output=str(tmp_path / "gan"), records=str(records), preset="square", batch_size=2,
        critic_steps=2, precision="float32", export=True,
    )  # fmt: skip
    data = open_records(records)
    facts = {"records_fingerprint": data.fingerprint}
    with start_run(settings.output, "train_gan", settings, facts) as run:
        whole = json.loads((undisturbed / "complete.json").read_text())
        assert whole["iterations"] == 24 and len(whole) > 5
        assert train_gan(settings, data, run) == whole
        again = dataclasses.replace(settings, export=False, num_iterations=24)
        assert train_gan(again, data, run) == whole  # As after a kill at the very end.
    assert_same_weights(tmp_path / "gan", undisturbed)


def test_export_without_a_checkpoint_is_refused(records, tmp_path):
    with pytest.raises(InputError, match=r"--export: .* holds no checkpoint yet"):
        run_here(records, tmp_path, export=True)


def test_a_run_may_start_from_the_networks_of_another(records, undisturbed, tmp_path):
    """At a rate of nearly 0 they come out as they went in."""
    run_here(records, tmp_path, initial=str(undisturbed), num_iterations=1, learning_rate=1e-20)
    assert_same_weights(tmp_path / "gan", undisturbed)


def test_a_run_may_start_from_two_files_side_by_side(records, undisturbed, tmp_path):
    for network in ("generator", "critic"):
        shutil.copy(undisturbed / f"{network}.keras", tmp_path / f"our_{network}.keras")
    initial = str(tmp_path / "our_generator.keras")
    run_here(records, tmp_path, initial=initial, num_iterations=1, learning_rate=1e-20)
    assert_same_weights(tmp_path / "gan", undisturbed)


def test_networks_of_another_shape_are_refused(records, undisturbed, tmp_path):
    with pytest.raises(InputError, match=r"--initial: the generator .* has different layers"):
        run_here(records, tmp_path, initial=str(undisturbed), preset="paper")


def test_a_file_not_named_like_a_generator_is_refused(records, undisturbed, tmp_path):
    shutil.copy(undisturbed / "generator.keras", tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"--initial: .*model.keras is not named like a generator"):
        run_here(records, tmp_path, initial=str(tmp_path / "model.keras"))


def run_here(records, tmp_path, classifier=None, **settings):
    small = {"preset": "square", "batch_size": 2, "critic_steps": 1, "precision": "float32"}
    settings = {**small, **settings}
    settings = GanSettings(output=str(tmp_path / "gan"), records=str(records), **settings)
    with start_run(settings.output, "train_gan", settings) as run:
        return train_gan(settings, open_records(records), run, classifier)


def test_the_networks_with_the_best_score_are_kept(records, tmp_path):
    """With scores that are given; also over a stop between them."""
    scores = iter([7.0, 3.0, 5.0, 3.0])  # At iterations 1 to 4.
    seen = {}

    class Scored(GanWatcher):
        def samples(self, iteration):
            if not iteration:
                return {}
            seen[iteration] = self._generate(self._latents[:2]).numpy()
            return {"frechet_distance": next(scores)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan, "GanWatcher", Scored)
        run_here(records, tmp_path, num_iterations=2, samples_every=1)  # Then goes on.
        run_here(records, tmp_path, num_iterations=4, samples_every=1)
    kept = tmp_path / "gan/best"
    assert json.loads((kept / "score.json").read_text()) == {
        "iteration": 2, "frechet_distance": 3.0
    }  # fmt: skip
    generator = keras.saving.load_model(kept / "generator.keras")
    latents = np.random.RandomState(0).normal(size=(2, 128)).astype(np.float32)
    np.testing.assert_allclose(generator(latents), seen[2], atol=1e-5)
    assert np.abs(seen[2] - seen[4]).max() > 1e-3


def test_a_loss_that_explodes_stops_the_run_and_is_named(records, tmp_path):
    with pytest.raises(InputError, match=r"iteration 0: generator_loss is \S+; the run stops"):
        run_here(records, tmp_path, num_iterations=5, learning_rate=1e30, checkpoint_every=1)
    assert last_saved(tmp_path / "gan") == 0 and not (tmp_path / "gan/generator.keras").exists()


def test_poisoned_data_name_the_term_and_keep_the_checkpoint(records, tmp_path, monkeypatch):
    run_here(records, tmp_path, num_iterations=2)
    before = (tmp_path / "gan/checkpoints/ckpt-2.index").read_bytes()
    data = open_records(records)
    read = type(data).frames
    monkeypatch.setattr(type(data), "frames", lambda *a: read(*a) * np.float32(np.nan))
    with pytest.raises(InputError, match="iteration 2: wasserstein_estimate is nan"):
        run_here(records, tmp_path, num_iterations=5)
    assert last_saved(tmp_path / "gan") == 2
    assert (tmp_path / "gan/checkpoints/ckpt-2.index").read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "no index", "no data", "list"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    variable = tf.Variable(np.arange(5000.0))
    checkpoints = Checkpoints(tmp_path, 3, variable=variable)
    for step in (1, 2):
        variable.assign(variable + 1)
        checkpoints.save(step)
    data = tmp_path / "ckpt-2.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    if damage == "cut":
        data.write_bytes(content[:1000])
    elif damage == "flipped":
        content[30000] ^= 1
        data.write_bytes(content)
    elif damage == "no data":
        data.unlink()
    elif damage == "no index":
        (tmp_path / "ckpt-2.index").unlink()
    else:
        (tmp_path / "checkpoint").write_text("damaged")
    variable.assign(np.zeros(5000))
    again = Checkpoints(tmp_path, 3, variable=variable)
    step = 2 if damage == "list" else 1
    if damage in ("no index", "list"):
        assert again.restore() == step
    else:
        with pytest.warns(UserWarning, match="ckpt-2: .* resuming from step 1 instead"):
            assert again.restore() == step
    np.testing.assert_array_equal(variable.numpy(), np.arange(5000.0) + step)
    again.save(3)
    assert {path.name.split(".")[0] for path in tmp_path.glob("ckpt-*")} <= {
        "ckpt-1", "ckpt-2", "ckpt-3"
    }  # fmt: skip


def test_without_any_whole_checkpoint_it_does_not_start_afresh(tmp_path):
    variable = tf.Variable(1.0)
    Checkpoints(tmp_path, 3, variable=variable).save(1)
    (tmp_path / "ckpt-1.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot be restored .* nor can any other"):
        Checkpoints(tmp_path, 3, variable=variable).restore()


def test_the_last_few_checkpoints_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, 2, variable=tf.Variable(1.0))
    (tmp_path / "ckpt-5_temp").mkdir()  # As a full disk leaves it.
    for step in range(1, 6):
        checkpoints.save(step)
    assert sorted(path.name for path in tmp_path.glob("*.index")) == [
        "ckpt-4.index",
        "ckpt-5.index",
    ]
    assert not (tmp_path / "ckpt-5_temp").exists()


def test_what_can_be_watched(records, tmp_path):
    keras.utils.set_random_seed(0)
    summary = run_here(
        records, tmp_path, build_svdnet(np.full(80, -8.0), np.full(80, 3.0)),
        num_iterations=3, scalars_every=1, samples_every=2,
    )  # fmt: skip
    events = EventAccumulator(
        str(tmp_path / "gan/tensorboard"), size_guidance={"tensors": 0}
    ).Reload()
    points = {
        name: [
            (event.step, float(tf.make_ndarray(event.tensor_proto)))
            for event in events.Tensors(name)
        ]
        for name in events.Tags()["tensors"]
        if name.startswith("gan/")
    }
    assert {
        "wasserstein_estimate", "gradient_penalty", "critic_loss", "critic_gradient_norm",
        "generator_loss", "generator_gradient_norm", "output_minimum", "output_maximum",
        "frechet_distance", "frechet_floor",
    } == {name.removeprefix("gan/") for name in points}  # fmt: skip
    assert [step for step, _ in points["gan/critic_loss"]] == [1, 2, 3]
    assert [step for step, _ in points["gan/frechet_distance"]] == [0, 2, 3]
    last = {name.removeprefix("gan/"): values[-1][1] for name, values in points.items()}
    assert last == pytest.approx({name: summary[name] for name in last}, rel=1e-6)
    terms = 10 * last["gradient_penalty"] - last["wasserstein_estimate"]
    assert last["critic_loss"] == pytest.approx(terms, rel=1e-5)
    assert last["frechet_distance"] > last["frechet_floor"] > 0
    sheets = events.Tensors("samples/generated (left), real (right)")
    assert [event.step for event in sheets] == [0, 2, 3]
    image = tf.io.decode_png(sheets[0].tensor_proto.string_val[2]).numpy()
    assert image.shape == (4 * (160 + 4) - 4, 8 * (230 + 4) - 4, 3)
    sounds = events.Tensors("samples/generated")[0].tensor_proto
    sound, rate = tf.audio.decode_wav(sounds.string_val[0])
    assert rate == 22050 and len(sound) == 114 * 315 + 1024
    assert len(events.Tensors("samples/real")) == 1


def test_bfloat16_trains_and_exports_float32(records, tmp_path):
    run_here(records, tmp_path, num_iterations=1, precision="mixed_bfloat16")
    generator = keras.saving.load_model(tmp_path / "gan/generator.keras")
    assert {layer.compute_dtype for layer in generator.layers} == {"float32"}


def test_unequal_shares_are_refused(records, tmp_path):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    settings = GanSettings(output=str(tmp_path), records=str(records), batch_size=3)
    object.__setattr__(strategy.extended, "_devices", ("CPU:0", "CPU:1"))
    with pytest.raises(InputError, match="--batch_size: found 3, expected a multiple of the 2"):
        train_gan(settings, open_records(records), None, strategy=strategy)


def test_settings_of_an_older_run_are_still_the_same(undisturbed):
    """Settings that came later, and change no result, do not shut older runs out."""
    config = json.loads((undisturbed / "config.json").read_text())
    assert "strategy" not in GanSettings().identity() and "strategy" in config["settings"]
