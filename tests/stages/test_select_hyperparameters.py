"""select_hyperparameters on runs whose best configuration is known."""

import csv

import keras
import numpy as np
import pytest
import scipy.spatial
from absl import flags

from svdam.core.files import read_json, write_json
from svdam.core.settings import define_flags, settings_from_flags
from svdam.core.validation import InputError
from svdam.evaluation.frechet import frechet_distance
from svdam.evaluation.ranking import Configuration
from svdam.evaluation.realism import Realism
from svdam.results.rankings import read_ranking, read_realism
from svdam.stages import select_hyperparameters as selection
from svdam.stages.maximize_activation import SearchSettings
from svdam.stages.select_hyperparameters import SelectionSettings, select_hyperparameters
from tests.explain.fake_runs import GRID_MEANS, NUM_EXAMPLES, excerpts, write_real, write_search


def select(folder, **options):
    return select_hyperparameters(
        SelectionSettings(
            grid=str(folder / "grid"),
            responses=str(folder / "responses"),
            output=str(folder / "selection"),
            num_resamples=100,
            **options,
        )
    )


@pytest.fixture
def runs(tmp_path):
    write_search(tmp_path / "grid")
    write_real(tmp_path / "responses")
    return tmp_path


def test_ranking_of_a_known_grid(runs, capsys):
    ranking = select(runs)
    # All sets have the same spread as the real responses, so only the means' distances remain.
    expected = sorted((mean - 9) ** 2 for mean in GRID_MEANS.values())
    np.testing.assert_allclose([row.distance for row in ranking.rows], expected, rtol=1e-4)
    assert ranking.num_real == NUM_EXAMPLES
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["best", "median", "0.1", "worst"]
    assert lines[1].split()[2:5] == ["0.01", "0.01", "20"]


def test_csv_can_be_checked_by_hand_and_read_back(runs):
    ranking = select(runs)
    path = runs / "selection/ranking.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    for row in rows:
        numbers = [float(row[n]) for n in ("mean", "variance", "real_mean", "real_variance")]
        assert float(row["distance"]) == pytest.approx(frechet_distance(*numbers), rel=1e-6)
    assert [int(row["num_steps"]) for row in rows[:2]] == [20, 10]
    again = read_ranking(path)
    assert again.rows == ranking.rows and again.ahead_share == ranking.ahead_share
    assert again.best.configuration == Configuration(0.01, 0.01, 20)


def test_best_cfg_is_a_flagfile_of_maximize_activation(runs):
    select(runs)
    values = flags.FlagValues()
    original, flags.FLAGS = flags.FLAGS, values
    try:
        define_flags_into(values, SearchSettings)
        values(["maximize_activation", f"--flagfile={runs / 'selection/best.cfg'}"])
        settings = settings_from_flags(SearchSettings)
    finally:
        flags.FLAGS = original
    assert settings == SearchSettings(
        output=str(runs / "am"),
        learning_rates=(0.01,),
        prior_weights=(0.01,),
        num_steps=(20,),
        seeds="0-5",
        prior="released_code",
    )


def define_flags_into(values, settings_class):
    """define_flags, but into flag values of our own: absl's defaults were bound at import."""
    import functools
    from unittest import mock

    names = ("list", "boolean", "enum", "integer", "float", "string")
    replaced = {
        f"DEFINE_{name}": functools.partial(getattr(flags, f"DEFINE_{name}"), flag_values=values)
        for name in names
    }
    with mock.patch.multiple(flags, **replaced):
        define_flags(settings_class)


def test_minimizing_compares_with_the_lowest(tmp_path):
    means = {0.1: -50.0, 0.01: -1.5, 1.0: 9.0}
    means = {Configuration(rate, 0.1, 5): mean for rate, mean in means.items()}
    write_search(tmp_path / "grid", "min", means)
    write_real(tmp_path / "responses")
    assert select(tmp_path).best.index == 1
    assert "--output=" + str(tmp_path / "am_min") in (
        (tmp_path / "selection/best.cfg").read_text().splitlines()
    )


def test_hparams_are_in_tensorboard(runs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    ranking = select(runs)
    for row in ranking.rows:
        one = list(GRID_MEANS)[row.index]
        assert row.configuration == one
        name = f"rate={one.learning_rate:g},lambda={one.prior_weight:g},steps={one.num_steps}"
        folder = runs / "selection/tensorboard" / name
        events = EventAccumulator(str(folder)).Reload()
        assert "_hparams_/session_start_info" in events.summary_metadata
        [distance] = events.Tensors("selection/distance")
        assert make_ndarray(distance.tensor_proto) == pytest.approx(row.distance, rel=1e-5)


def test_realism_goes_beside_the_ranking(runs, capsys, monkeypatch):
    seen = []

    def realism(measures, examples, real_run):
        assert [*measures] == ["scores"]
        seen.append(examples.shape)
        return Realism(critic_scores=np.array([-7.0, -9.0, -0.5, -0.1]), real_critic_score=0.25)

    monkeypatch.setattr(selection, "_critic", lambda *arguments: None)
    monkeypatch.setattr(selection, "_realism", realism)
    select(runs, critic="critic.keras")
    assert seen == [(4, NUM_EXAMPLES, 115, 80, 1)]
    rows = list(csv.DictReader((runs / "selection/realism.csv").open(encoding="utf-8")))
    assert [row["critic_scores"] for row in rows] == ["-0.1", "-0.5", "-7.0", "-9.0", "0.25"]
    assert rows[0]["nearest_distances"] == "" and rows[-1]["rank"] == "real"
    assert "critic scores: -1.00" in capsys.readouterr().out


def test_realism_is_measured_by_critic_and_classifier(tmp_path, monkeypatch):
    """Models whose output is known: a critic that takes the mean, a layer that doubles."""
    inputs = keras.Input((115, 80, 1))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(tmp_path / "mean.keras")
    flat = keras.layers.Flatten(name="twice")(keras.layers.Rescaling(2.0)(inputs))
    outputs = keras.layers.Dense(1, name="logit")(flat)
    keras.Model(inputs, outputs).save(tmp_path / "twice.keras")
    write_search(tmp_path / "grid")
    write_real(tmp_path / "responses", classifier=str(tmp_path / "twice.keras"))
    real = excerpts(40, 70)
    batches = [real[:40, ..., None], real[40:, ..., None]]
    monkeypatch.setattr(selection, "_real_batches", lambda real_run: iter(batches))
    ranking = select(tmp_path, critic=str(tmp_path / "mean.keras"), nearest_layer="twice")
    rows = list(csv.DictReader((tmp_path / "selection/realism.csv").open(encoding="utf-8")))
    points = 2 * real.reshape(70, -1)
    for row, ranked in zip(rows, ranking.rows, strict=False):
        found = excerpts(ranked.index + 1)
        assert float(row["critic_scores"]) == pytest.approx(found.mean(), abs=1e-4)
        distances = scipy.spatial.distance.cdist(2 * found.reshape(NUM_EXAMPLES, -1), points)
        assert float(row["nearest_distances"]) == pytest.approx(
            distances.min(axis=1).mean(), rel=1e-5
        )
    assert float(rows[-1]["critic_scores"]) == pytest.approx(real.mean(), abs=1e-4)
    between = scipy.spatial.distance.cdist(points, points) + np.diag([np.inf] * 70)
    expected = between.min(axis=1).mean()
    assert float(rows[-1]["nearest_distances"]) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match=r"--nearest_layer: .*'fc9'.*'twice'"):
        select(tmp_path, critic=str(tmp_path / "mean.keras"), nearest_layer="fc9")


def band_means(excerpts):
    """Stands for a layer: 80 units, the mean of each band."""
    return excerpts[..., 0].mean(axis=1).astype(float)


@pytest.fixture
def bands(monkeypatch):
    measures = selection.Measures(band_means, band_means)
    monkeypatch.setattr(selection, "_layers", lambda *arguments: {"distance_layer": measures})


def test_a_whole_layer_is_compared_by_the_multivariate_distance(runs, capsys, bands):
    ranking = select(runs, distance_layer="bands")
    real = band_means(excerpts(30)[..., None])  # What write_real calls the highest.
    for row in ranking.rows:
        units = band_means(excerpts(row.index + 1)[..., None])
        expected = frechet_distance(real.mean(0), np.cov(real.T), units.mean(0), np.cov(units.T))
        assert row.distance == pytest.approx(expected, rel=1e-6)
        # Mean and variance stay those of the response.
        assert row.mean == pytest.approx(list(GRID_MEANS.values())[row.index], abs=2)
    assert ranking.real_mean == pytest.approx(9, abs=1)
    assert read_ranking(runs / "selection/ranking.csv").layer == "bands"
    assert "all units of bands" in capsys.readouterr().out


def test_layer_needs_as_many_kept_excerpts_as_are_compared(runs, bands):
    with pytest.raises(InputError, match=r"keeps 6; run collect_responses with --top_n=7"):
        select(runs, num_real=NUM_EXAMPLES + 1, distance_layer="bands")


def test_grid_and_responses_of_two_classifiers(runs):
    for folder, checksum in (("grid", "a"), ("responses", "b")):
        path = runs / folder / "config.json"
        config = read_json(path)
        config["inputs"]["classifier_sha256"] = checksum
        write_json(path, config)
    with pytest.raises(InputError, match=r"--responses: .* another classifier"):
        select(runs)


def test_diverged_configurations_are_refused_or_left_out(tmp_path, capsys):
    responses = np.random.default_rng(0).normal(size=(4, NUM_EXAMPLES))
    responses[1, 2] = np.inf
    write_search(tmp_path / "grid", responses=responses)
    write_real(tmp_path / "responses")
    with pytest.raises(InputError, match=r"'rate 0.1, lambda 0.01, 20 steps'.*not finite"):
        select(tmp_path)
    assert not (tmp_path / "selection").exists()
    ranking = select(tmp_path, drop_unusable=True)
    assert len(ranking.rows) == 3
    assert "left out" in capsys.readouterr().err


def test_other_responses_are_refused(tmp_path):
    write_search(tmp_path / "grid")
    write_real(tmp_path / "responses", response="conv3")
    with pytest.raises(InputError, match=r"'conv3'.*'logit'.*--response=logit"):
        select(tmp_path)


def test_missing_grid_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match=r"--grid: .*does not exist.*svdam.maximize_activation"):
        select(tmp_path)


def test_damaged_realism(runs):
    ranking = select(runs)
    path = runs / "selection/realism.csv"
    assert read_realism(path, ranking) == []
    path.write_text("rank,distance,critic_scores,nearest_distances\n1,0.5,?,\n")
    with pytest.raises(InputError, match=r"realism.csv:2: is not a row"):
        read_realism(path, ranking)


@pytest.mark.parametrize(
    "text, message",
    [("", "no rows"), ("rank,index\n1,x\n", r"ranking.csv:2"), (None, "cannot be read")],
)
def test_damaged_ranking(tmp_path, text, message):
    path = tmp_path / "ranking.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_ranking(path)
