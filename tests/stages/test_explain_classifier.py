"""explain_classifier on small models: against NumPy, separate searches, kills and broken units."""

import collections
import csv
import functools
import re

import keras
import numpy as np
import pytest

from svdam.core.config import FrontEnd
from svdam.core.validation import InputError
from svdam.explain.maximization import Maximizer
from svdam.explain.path_search import PathSearch, geometric_steps
from svdam.explain.responses import response_function
from svdam.explain.starts import latents_from_seeds
from svdam.results.explanations import (
    explanation_path,
    read_explanation,
    read_explanations,
    read_units,
)
from svdam.stages import response_parts
from svdam.stages.explain_classifier import ExplainSettings, explain_classifier
from svdam.stages.response_parts import PartWorker, plan_parts
from svdam.stages.unit_responses import label_names, measure_units
from svdam.stages.unit_search import UnitSearch
from tests.explain.small_models import LATENT_SIZE, small_classifier, small_generator

EXCERPT = (115, 80, 1)
SPACING = 40
UNITS = ["fc1:0", "fc1:1", "fc1:2", "fc1:3", "logit:1"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Flags that name a small classifier and generator for excerpts of the paper's size."""
    folder = tmp_path_factory.mktemp("models")
    small_classifier(EXCERPT).save(folder / "classifier.keras")
    small_generator(EXCERPT).save(folder / "generator.keras")
    return {name: str(folder / f"{name}.keras") for name in ("classifier", "generator")}


def settings(models, records_folder, output, **changes):
    values = dict(
        **models,
        records=str(records_folder),
        output=str(output),
        response="fc1:*,logit:1",
        excerpt_spacing=SPACING,
        top_n=5,
        seeds="0-2",
        max_steps=12,
        prior_weights=(0.1, 0.001),
        precision="float32",
        num_sounds=1,
    )
    return ExplainSettings(**values | changes)


@pytest.fixture(scope="module", autouse=True)
def small_parts():
    patch = pytest.MonkeyPatch()
    patch.setattr(response_parts, "plan_parts", functools.partial(plan_parts, part_excerpts=4))
    patch.setattr(UnitSearch, "chunk_units", 2)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def finished(models, records_folder, tmp_path_factory):
    """A finished run."""
    output = tmp_path_factory.mktemp("run") / "explain"
    explain_classifier(settings(models, records_folder, output, listening_test=True))
    return output


@pytest.fixture(scope="module")
def excerpts(records_folder):
    """(song, first frame, excerpt) of every excerpt."""
    records = response_parts.open_records(records_folder)
    found = []
    for index, song in enumerate(records.songs("train")):
        log_mel = records.log_mel(song)
        starts = range(0, song.num_frames - 114, SPACING)
        found += [(index, start, log_mel[start : start + 115]) for start in starts]
    return found


def test_real_responses_are_those_of_numpy(finished, models, excerpts):
    units = read_units(finished)
    assert units.names == units.responses == UNITS
    classifier = keras.saving.load_model(models["classifier"])
    stacked = np.stack([excerpt for *_, excerpt in excerpts])[..., None]
    for unit, name in enumerate(UNITS):
        expected = response_function(classifier, name)(stacked).numpy()
        assert units.statistics.num_excerpts == len(expected)
        order = np.argsort(-expected, kind="stable")[:5]
        np.testing.assert_allclose(units.statistics.highest[unit], expected[order], rtol=1e-5)
        places = zip(units.highest_song[unit], units.highest_first_frame[unit], strict=True)
        assert list(places) == [excerpts[i][:2] for i in order]
    assert units.labels == ["singing voice"]
    assert np.isnan(units.statistics.effect_sizes).all()  # Somebody sings in all of them.


@pytest.mark.parametrize("names", [("sing",), ("sing", "dog")])
def test_the_labels_of_an_excerpt_are_those_of_its_centre_frame(names):
    class Songs:
        front_end = FrontEnd(num_mels=4, excerpt_frames=6)
        label_names = names

        def songs(self, split):
            return [Song("a", 20, True), Song("b", 9, False)]

        def labels(self, song):
            first = np.arange(20) % 5 == 0
            labels = first if len(names) == 1 else np.stack([first, np.arange(20) > 9], axis=1)
            return labels if song.has_labels else None

    Song = collections.namedtuple("Song", "id num_frames has_labels")
    measure = measure_units(lambda excerpts: excerpts[:, :2, 0, 0], Songs(), "train")
    first_frame = np.array([0, 2, 7, 0, 3])
    batch = np.random.default_rng(0).normal(size=(5, 6, 4, 1)).astype(np.float32)
    found = measure(batch, np.array([0, 0, 0, 1, 1]), first_frame)
    columns = [[0, 1, 1, np.nan, np.nan], [0, 0, 1, np.nan, np.nan]]
    np.testing.assert_array_equal(found["labels"].T, columns[: len(names)])
    assert label_names(Songs(), "train") == ["singing voice", "dog"][: len(names)]
    np.testing.assert_array_equal(found["responses"], batch[:, :2, 0, 0])


def loaded(models):
    return [keras.saving.load_model(models[name]) for name in ("generator", "classifier")]


def separate_search(units, unit, generator, classifier, starts):
    return PathSearch(
        Maximizer(generator, classifier, units.names[unit]),
        starts,
        highest=units.statistics.highest[unit, :3],
        lowest=units.statistics.lowest[unit, :3],
        prior_weights=(0.1, 0.001),
        steps=geometric_steps(12),
        negligible=1e-2 * units.statistics.variance[unit],
    ).run()


def test_explanations_are_those_of_separate_searches(finished, models):
    units = read_units(finished)
    explanations = {(one.unit, one.direction): one for one in read_explanations(finished)}
    assert list(explanations) == [(name, way) for name in UNITS for way in ("max", "min")]
    generator, classifier = loaded(models)
    starts = latents_from_seeds(range(3), LATENT_SIZE)
    for unit in (1, 4):
        for expected in separate_search(units, unit, generator, classifier, starts):
            found = explanations[UNITS[unit], expected.direction]
            assert found.configuration == expected.configuration
            np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-3)
            np.testing.assert_allclose(found.latents, expected.latents, atol=1e-4)
            np.testing.assert_allclose(found.examples, expected.examples, atol=1e-4)
            best = found.way_steps.tolist().index(found.configuration.num_steps)
            np.testing.assert_allclose(
                found.way_examples[best], found.examples[:2], rtol=0, atol=1e-5
            )
    np.testing.assert_allclose(units.start_examples, generator(starts), atol=1e-5)


def test_a_search_starts_from_the_best_of_several_draws(models, records_folder, tmp_path):
    explain_classifier(settings(models, records_folder, tmp_path, response="fc1:1", draws=7))
    units = read_units(tmp_path)
    generator, classifier = loaded(models)
    pool = [np.random.RandomState(seed).normal(size=(7, LATENT_SIZE)) for seed in range(3)]
    respond = response_function(classifier, "fc1:1")
    reached = np.stack([respond(generator(draws)).numpy() for draws in pool])
    found = read_explanations(tmp_path)
    for one, real in zip(found, (units.statistics.highest, units.statistics.lowest), strict=True):
        nearest = np.abs(reached - real[0, :3].mean()).argmin(axis=1)
        assert nearest.any()  # It isn't the first everywhere.
        starts = np.stack([draws[best] for draws, best in zip(pool, nearest, strict=True)])
        searched = separate_search(units, 0, generator, classifier, starts)
        expected = searched[("max", "min").index(one.direction)]
        assert one.configuration == expected.configuration
        np.testing.assert_allclose(one.latents, expected.latents, atol=1e-4)
    first = np.stack([draws[0] for draws in pool])
    np.testing.assert_allclose(units.start_latents, first)
    assert "the one of 7 draws of its seed" in (tmp_path / "unit-00000.html").read_text()
    assert "another, the best of 7 draws, after" in (tmp_path / "index.html").read_text()


def test_the_table_holds_them(finished):
    with (finished / "explanations.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, found in zip(rows, read_explanations(finished), strict=True):
        assert (row["unit"], row["direction"]) == (found.unit, found.direction)
        assert float(row["mean"]) == pytest.approx(found.responses.mean(), rel=1e-6)
        assert row["effect of singing voice"]


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_bits(
    finished, models, records_folder, tmp_path, monkeypatch
):
    asked = settings(models, records_folder, tmp_path / "run")
    for kind, method in ((PartWorker, "process"), (UnitSearch, "_search")):
        original, calls = getattr(kind, method), []

        def killed(*arguments, original=original, calls=calls):
            if calls:
                raise KeyboardInterrupt
            calls.append(1)
            return original(*arguments)

        monkeypatch.setattr(kind, method, killed)
        with pytest.raises(KeyboardInterrupt):
            explain_classifier(asked)
        monkeypatch.setattr(kind, method, original)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run/explanations").iterdir()}
    assert len(kept) == 4  # A chunk of two units, in both directions.
    explain_classifier(asked)
    assert not (tmp_path / "run/parts").exists()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    damaged = explanation_path(tmp_path / "run", 2, "max")
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    with pytest.warns(UserWarning, match=r"00002-max.h5.* it is computed again"):
        explain_classifier(asked)
    for one, other in zip(
        read_explanations(tmp_path / "run"), read_explanations(finished), strict=True
    ):
        np.testing.assert_array_equal(one.latents, other.latents)
        np.testing.assert_array_equal(one.distances, other.distances)


def broken_classifier():
    """Units: one as it should be, one that is constant, one that is always below 0, one that is NaN
    for loud excerpts, one that is NaN for what the generator makes of its latents."""
    inputs = keras.Input(EXCERPT)
    mean = keras.layers.GlobalAveragePooling2D()(inputs)  # Real: below -1, generated: above it.
    first = keras.layers.Dense(1, kernel_initializer="ones")(mean)
    outputs = [
        first,
        keras.ops.zeros_like(first),
        -keras.ops.exp(first),
        keras.ops.log(-9 - first),
        keras.ops.log(-1 - first),
    ]
    return keras.Model(inputs, keras.layers.Concatenate(name="units")(outputs))


def test_units_that_cannot_be_explained_are_said_and_do_not_fail_the_run(
    records_folder, models, tmp_path, capsys
):
    model = broken_classifier()
    model.save(tmp_path / "broken.keras")
    asked = settings(
        models | {"classifier": str(tmp_path / "broken.keras")},
        records_folder,
        tmp_path / "run",
        response="units:*",
    )
    units = explain_classifier(asked)
    printed = capsys.readouterr().out
    assert "explained 2 of 5 units" in printed
    assert "units:1: its response is the same for all real excerpts" in printed
    assert "units:3: its response to some real excerpts is not finite" in printed
    assert "units:4: its response to what the generator makes is not finite" in printed
    assert [units.fires(unit) for unit in (1, 2)] == [False, False]
    explained = [one.unit for one in read_explanations(tmp_path / "run", "run")]
    assert explained == ["units:0"] * 2 + ["units:2"] * 2
    atlas = (tmp_path / "run/index.html").read_text("utf-8")
    assert sorted(re.findall('data-state="(.*?)"', atlas)) == [
        *["never fires"] * 2, *["not explained"] * 3
    ]  # fmt: skip
    pages = [(tmp_path / f"run/unit-{unit:05d}.html").read_text("utf-8") for unit in range(5)]
    assert [page.count('id="max"') for page in pages] == [1, 0, 1, 0, 0]
    only = settings(
        models | {"classifier": str(tmp_path / "broken.keras")},
        records_folder,
        tmp_path / "none",
        response="units:1",
    )
    with pytest.raises(InputError, match=r"--response: no unit could be explained: .* the same"):
        explain_classifier(only)


def test_one_unit_that_fails_in_the_search_is_searched_alone(
    records_folder, models, tmp_path, monkeypatch, finished
):
    original = PathSearch.run

    def run(self, *arguments):
        if any(place == 1 for place, _ in self._targets):
            raise InputError("response: fc1:1 is not finite after 1 steps")
        return original(self, *arguments)

    monkeypatch.setattr(PathSearch, "run", run)
    explain_classifier(settings(models, records_folder, tmp_path / "run"))
    assert [one.unit for one in read_explanations(tmp_path / "run")][::2] == [
        "fc1:0", "fc1:2", "fc1:3", "logit:1"
    ]  # fmt: skip
    one, other = (
        read_explanation(explanation_path(folder, 0, "max"))
        for folder in (tmp_path / "run", finished)
    )
    np.testing.assert_allclose(one.latents, other.latents, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"response": "fc9:*"}, "no layer 'fc9'"),
        ({"response": "fc1:0,fc1:*"}, "'fc1:0' is named twice"),
        ({"top_n": 100}, "--top_n: 100 excerpts are requested"),
        ({"split": "other"}, "--split: found 'other'"),
    ],
)
def test_bad_input_is_refused(models, records_folder, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        explain_classifier(settings(models, records_folder, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": "0-60"}, "--seeds: names 61 latents, expected from 2 to --top_n=50"),
        ({"directions": ()}, "--directions: found"),
        ({"prior_weights": (1, 1)}, "--prior_weights: found"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ExplainSettings(**changes)


def test_a_listening_test_asks_about_each_unit_that_was_searched(finished):
    with open(finished / "listening_key.csv", newline="", encoding="utf-8") as stream:
        key = list(csv.DictReader(stream))
    text = (finished / "listening_test.html").read_text(encoding="utf-8")
    sounds = {path.name for path in (finished / "listening").iterdir()}
    asked = collections.Counter((row["unit"], row["kind"]) for row in key if row["catch"] == "0")
    assert asked and set(asked.values()) == {1} and len(asked) % 3 == 0
    assert {unit for unit, _ in asked} <= set(UNITS)
    assert all(row["trial"] in text and row["right"] in sounds for row in key)
