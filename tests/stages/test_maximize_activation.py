"""maximize_activation as a whole, with a user's own models of another excerpt size."""

import csv
import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from svdam.core.files import checksum
from svdam.core.validation import InputError
from svdam.explain.maximization import maximize
from svdam.explain.starts import latents_from_seeds
from svdam.models.classifier import build_svdnet
from svdam.results.examples import read_results
from svdam.stages import grid
from svdam.stages.maximize_activation import SearchSettings, maximize_activation
from tests.explain.small_models import (
    EXCERPT,
    LATENT_SIZE,
    save_small_models,
    small_classifier,
    small_generator,
)

GRID = dict(
    response="logit:1 - 0.5 * conv1",
    learning_rates=(0.1, 0.01),
    prior_weights=(0.1, 0.0),
    num_steps=(4, 9),
    seeds="0-4",
    precision="float32",
)

WAYS = {"response", "log_prior", "gradient_norm", "latent_norm"}


def events(folder):
    """What TensorBoard finds in a folder."""
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return accumulator


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return save_small_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def finished(models, tmp_path_factory):
    """A grid of 8 configurations, in three chunks."""
    folder = tmp_path_factory.mktemp("run") / "grid"
    before, grid.LARGEST_CHUNK = grid.LARGEST_CHUNK, 7
    try:
        maximize_activation(SearchSettings(output=str(folder), **GRID, **models))
    finally:
        grid.LARGEST_CHUNK = before
    return folder


def test_the_grid_is_the_runs_one_by_one(finished):
    results = read_results(finished)
    assert len(results.configurations) == 8
    for index, one in enumerate(results.configurations):
        alone = maximize(
            small_generator(),
            small_classifier(),
            latents_from_seeds(range(5), LATENT_SIZE),
            response=GRID["response"],
            learning_rate=one.learning_rate,
            prior_weight=one.prior_weight,
            num_steps=one.num_steps,
        )
        np.testing.assert_allclose(results.responses[index], alone.responses, atol=1e-5)
        np.testing.assert_allclose(results.latents[index], alone.latents, atol=1e-3)
        np.testing.assert_allclose(results.examples[index], alone.examples, atol=1e-3)
        for name, values in (
            ("responses", alone.response_history),
            ("log_priors", alone.log_prior_history),
            ("latent_norms", np.linalg.norm(alone.latents, axis=1)[None]),
        ):
            found = results.history(index, name)[-len(values) :]
            np.testing.assert_allclose(found, values, atol=1e-3)
        assert (results.history(index, "gradient_norms") > 0).all()


ONE = dict(learning_rates=(0.1,), prior_weights=(0.1,), num_steps=(2,), seeds="0-2")


@pytest.mark.parametrize("unit", [0, 1])
@pytest.mark.parametrize("output_is", ["auto", "multilabel_logits"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_probability_is_that_of_the_driven_unit(models, tmp_path, unit, output_is, precision):
    """Exactly, whatever precision the search is in."""
    results = maximize_activation(
        SearchSettings(
            output=str(tmp_path),
            response=f"logit:{unit}",
            output_is=output_is,
            precision=precision,
            **ONE,
            **models,
        )
    )
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert config["settings"]["precision"] == precision
    for found, examples in (
        (results.start_probabilities, results.start_examples),
        (results.probabilities[0], results.examples[0]),
    ):
        logits = small_classifier().predict(examples, verbose=0)
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        if output_is == "multilabel_logits":
            expected = 1 / (1 + np.exp(-logits))
        np.testing.assert_allclose(found, expected[:, unit], rtol=1e-5)


def test_a_response_that_is_no_single_output_has_no_probability(finished):
    results = read_results(finished)
    assert results.probabilities is None and results.start_probabilities is None
    with open(finished / "results.csv", encoding="utf-8") as stream:
        assert not [name for name in csv.DictReader(stream).fieldnames if "probability" in name]


def test_the_table_holds_every_example(finished):
    results = read_results(finished)
    with open(finished / "results.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 40
    assert [{name: str(value) for name, value in row.items()} for row in results.table()] == rows
    row = rows[5 * 3 + 2]
    one = results.configurations[3]
    assert (float(row["learning_rate"]), float(row["prior_weight"]), int(row["num_steps"])) == (
        one.learning_rate,
        one.prior_weight,
        one.num_steps,
    )
    assert (int(row["seed"]), float(row["response"])) == (2, results.responses[3, 2])


def test_provenance_names_the_files_by_checksum(finished, models):
    provenance = read_results(finished).provenance
    for name, path in models.items():
        assert provenance["inputs"][f"{name}_sha256"] == checksum(path)
    assert provenance["settings"]["learning_rates"] == [0.1, 0.01]
    assert {"svdam", "tensorflow", "keras"} <= provenance["versions"].keys()
    assert not (finished / "chunks").exists()
    assert json.loads((finished / "complete.json").read_text())["examples"] == 5


def test_tensorboard_shows_the_way(finished):
    results = read_results(finished)
    root = events(finished / "tensorboard")
    assert {"examples/start", "configuration"} <= set(root.Tags()["tensors"])
    for index, one in enumerate(results.configurations):
        found = events(finished / "tensorboard" / tensorboard_name(one))
        metrics = {"response_mean", "response_variance", "log_prior_mean"}
        tags = set(found.Tags()["tensors"])
        assert metrics | WAYS | {"examples/max", "_hparams_/session_start_info"} <= tags
        mean = make_ndarray(found.Tensors("response_mean")[0].tensor_proto)
        assert mean == pytest.approx(results.responses[index].mean())
        for name in WAYS:
            steps = [event.step for event in found.Tensors(name)]
            assert steps == list(range(one.num_steps + 1))
        assert [event.step for event in found.Tensors("examples/max")] == [one.num_steps]


def tensorboard_name(one):
    return f"rate={one.learning_rate:g},lambda={one.prior_weight:g},steps={one.num_steps}"


def test_log_mel_examples_can_be_heard(tmp_path):
    """Any number of frames; the sound needs the front end's 80 bands."""
    excerpt = (30, 80, 1)
    small_generator(excerpt).save(tmp_path / "g.keras")
    small_classifier(excerpt).save(tmp_path / "c.keras")
    maximize_activation(
        SearchSettings(
            output=str(tmp_path / "run"),
            generator=str(tmp_path / "g.keras"),
            classifier=str(tmp_path / "c.keras"),
            learning_rates=(0.1,),
            prior_weights=(0.1,),
            num_steps=(2,),
            seeds="3",
        )
    )
    (folder,) = (tmp_path / "run" / "tensorboard").glob("rate=*")
    found = events(folder)
    plugins = {
        found.SummaryMetadata(tag).plugin_data.plugin_name for tag in found.Tags()["tensors"]
    }
    assert {"audio", "images", "scalars", "histograms", "hparams"} == plugins


def test_a_second_start_goes_on_from_the_chunks(models, tmp_path, monkeypatch):
    """Ctrl-C in the third chunk; the first two are not computed again, and nothing differs."""
    monkeypatch.setattr(grid, "LARGEST_CHUNK", 7)
    whole = SearchSettings(output=str(tmp_path / "whole"), **GRID, **models)
    expected = maximize_activation(whole)
    settings = SearchSettings(output=str(tmp_path / "stopped"), **GRID, **models)
    calls = []

    run = grid.Maximizer.run

    def interrupted(self, *args, **options):
        calls.append(len(args[0]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(self, *args, **options)

    monkeypatch.setattr(grid.Maximizer, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        maximize_activation(settings)
    assert len(list((tmp_path / "stopped" / "chunks").iterdir())) == 2
    shown = tmp_path / "stopped" / "tensorboard"
    live = events(shown / "optimizing latents 1 to 7")
    curves = {f"response/{name}" for name in ("mean", "lowest", "highest")}
    assert set(live.Tags()["tensors"]) == WAYS | curves
    steps = [event.step for event in live.Tensors("response/mean")]
    assert steps == list(range(9))  # The states that a step was taken from.
    first = make_ndarray(live.Tensors("response/mean")[0].tensor_proto)
    seeds = [0, 1, 2, 3, 4, 0, 1]
    assert first == pytest.approx(expected.start_responses[seeds].mean(), rel=1e-4)
    calls[:] = [0] * 3
    found = maximize_activation(settings)
    assert len(calls) == 4
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(found, name), value)
    assert not list(shown.glob("searching*")), "shown twice"


def test_eq_1_searches_the_excerpt_itself(models, tmp_path):
    options = dict(
        generator="none",
        classifier=models["classifier"],
        response="logit:0",
        prior="none",
        prior_weights=(0.0,),
        learning_rates=(0.1,),
        num_steps=(8,),
    )
    first = maximize_activation(
        SearchSettings(output=str(tmp_path / "first"), seeds="0-2", **options)
    )
    assert first.latents.shape == (1, 3, *EXCERPT)
    np.testing.assert_array_equal(first.latents, first.examples)
    np.testing.assert_allclose(first.start_latents[1], latents_from_seeds([1], EXCERPT)[0])
    assert (first.responses[0] > first.start_responses).all()
    again = maximize_activation(
        SearchSettings(output=str(tmp_path / "again"), latents=str(tmp_path / "first"), **options)
    )
    np.testing.assert_array_equal(again.start_latents, first.latents[0])
    np.testing.assert_allclose(again.start_responses, first.responses[0], rtol=1e-5)
    assert "latents_sha256" in again.provenance["inputs"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "none"}, "--prior=paper: with --generator=none"),
        ({"prior": "none"}, "expected --prior_weights=0"),
        ({"optimizer": "gradient_ascent"}, "--num_steps: .* the learning rate decreases"),
        ({"optimizer": "gradient_ascent", "num_steps": (5,), "beta_1": 0.9}, "--beta_1: found 0.9"),
        (
            {"optimizer": "gradient_ascent", "num_steps": (5,), "weight_decay": 0.1},
            "--weight_decay: .* replaces the prior",
        ),
        ({"weight_decay": 0.1}, "--weight_decay: .*only gradient_ascent"),
        ({"max_memory": 0}, "--max_memory: found 0"),
        ({"seeds": "5-1"}, "--seeds"),
        ({"num_steps": (5, 5)}, "--num_steps: .* different values"),
        ({"strategy": "two"}, "--strategy: found 'two'"),
    ],
)
def test_combinations_without_meaning_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SearchSettings(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_memory": 0.5}, "--max_memory: found 0.5 GiB, .* need at least 1.3"),
        ({"strategy": "multi_worker"}, "TF_CONFIG is not set; expected for example"),
        ({"response": "fc9"}, "no layer 'fc9'; it has 'conv1', .*'logit'"),
        ({"latents": "missing.npy"}, "--latents: missing.npy does not exist"),
    ],
)
def test_what_cannot_be_done_is_said(models, tmp_path, monkeypatch, changes, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    settings = SearchSettings(**{"output": str(tmp_path / "run"), **GRID, **models, **changes})
    with pytest.raises(InputError, match=message):
        maximize_activation(settings)


def test_models_that_do_not_fit_show_both_shapes(models, tmp_path):
    build_svdnet().save(tmp_path / "svdnet.keras")
    changes = {"classifier": str(tmp_path / "svdnet.keras"), "output": str(tmp_path / "run")}
    message = r"excerpts of shape \(24, 20, 1\), but the classifier takes \(115, 80, 1\)"
    with pytest.raises(InputError, match=message):
        maximize_activation(SearchSettings(**{**models, **changes}))
