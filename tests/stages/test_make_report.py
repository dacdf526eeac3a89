"""make_report on small runs: what goes into the page, and runs that do not belong together."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

from svdam.core.runs import start_run
from svdam.core.validation import InputError
from svdam.evaluation.concept import measure_excerpts
from svdam.evaluation.ranking import Configuration
from svdam.report.pages import render_page
from svdam.results.responses import read_responses, write_responses
from svdam.stages.evaluate_classifier import EvaluationSettings
from svdam.stages.make_report import ReportSettings, make_report, read_content
from svdam.stages.report_sets import explained_concept, explained_label
from svdam.stages.select_hyperparameters import SelectionSettings, select_hyperparameters
from tests.explain.fake_runs import NUM_EXAMPLES, excerpts, write_real, write_search

BEST = Configuration(0.01, 0.01, 20)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_search(folder / "grid")
    write_real(folder / "responses", song="a <b>bold</b> song")
    names = ("grid", "responses")
    select_hyperparameters(
        SelectionSettings(
            **{name: str(folder / name) for name in names},
            output=str(folder / "selection"),
            num_resamples=100,
        )
    )
    write_search(folder / "am_min", "min", {BEST: -6.0})
    return folder


def settings(runs, **options):
    names = ("grid", "responses", "selection")
    values = {name: str(runs / name) for name in names} | {"minimize": str(runs / "am_min")}
    return ReportSettings(**{**values, "output": str(runs / "report"), **options})


def test_content_comes_from_the_runs(runs):
    content = read_content(settings(runs))
    assert [row.num_steps for row in content.ranking] == [20, 10, 10, 20]
    assert content.best.configuration == BEST
    # The fourth configuration of the grid is the best one.
    np.testing.assert_array_equal(content.best.log_mels, excerpts(4))
    np.testing.assert_array_equal(content.start.log_mels, excerpts(0))
    assert content.maximized is content.best
    assert content.minimized.responses.mean() < -5
    assert content.best.history.shape == (21, NUM_EXAMPLES)
    assert [one.mark for one in content.configurations] == ["best", "median", "", "worst"]
    probability = 1 / (1 + np.exp(-content.start.responses.astype(float)))
    np.testing.assert_allclose(content.start.probabilities, probability, rtol=1e-6)
    assert (content.best.probabilities > 0.9).all()
    assert content.highest.labels[0] == "a <b>bold</b> song, 0:27.9"  # Frame 39 * 50 at 70 Hz.


def test_scores_are_those_of_the_explained_classifier(runs, tmp_path):
    def with_scores_of(checksum):
        inputs = {"classifier_sha256": checksum}
        flags = EvaluationSettings(output=str(tmp_path / checksum), classifier="mine.keras")
        with start_run(flags.output, "evaluate_classifier", flags, inputs) as run:
            run.mark_complete({"error": 0.25})
        return read_content(settings(runs, grid=grid, evaluation=flags.output)).detection

    provenance = {"inputs": {"classifier_sha256": "a"}, "settings": {"classifier": "demo.keras"}}
    grid = str(write_search(tmp_path / "grid", provenance=provenance))
    assert with_scores_of("a") == {"error": 0.25}
    with pytest.warns(UserWarning, match=r"another classifier \(mine.keras\) .*\(demo.keras\)"):
        assert with_scores_of("b") is None


def test_concept_is_measured_on_the_sets_of_figure_4(runs):
    rows = read_content(settings(runs)).concept
    assert len(rows) == 4 * 3
    [row] = [r for r in rows if (r.comparison, r.measure) == ("start → maximized", "transients")]
    assert row.mean_after == pytest.approx(measure_excerpts(excerpts(4))["transients"].mean())
    assert row.claimed_sign == -1
    [row] = [r for r in rows if (r.comparison, r.measure) == ("start → minimized", "transients")]
    assert row.claimed_sign == 1


@pytest.mark.parametrize(
    ("response", "labels", "label", "concept"),
    [
        ("logit", ("sing",), "sing", "singing voice"),
        ("fc2:17", ("sing",), "sing", "singing voice"),
        ("tags:singing", ("sing",), "sing", "singing voice"),
        ("tags:guitar", ("sing",), "guitar", "guitar"),
        ("logit", ("dog or wolf",), "dog or wolf", "dog or wolf"),
        ("logit:1", ("sing",), "sing", "singing voice"),  # Of two outputs with softmax.
        ("logit:1", ("dog", "siren"), "siren", "siren"),
        ("tags:'siren'", ("dog", "siren"), "siren", "siren"),
        ("tags:singing", ("dog", "sing"), "sing", "singing voice"),
        ("fc2:1", ("dog", "siren"), None, "dog, siren"),
        ("logit:1 - logit:0", ("dog", "siren"), None, "dog, siren"),
    ],
)
def test_label_and_concept_of_a_response(response, labels, label, concept):
    assert explained_label(response, labels) == label
    assert explained_concept(response, labels) == concept


def test_words_follow_the_label_of_the_records(runs, tmp_path):
    """Real responses of records with two labels: the page names the one that is explained."""
    real = read_responses(runs / "responses")
    provenance = {"inputs": {"label_names": ["dog", "siren"]}}
    shutil.copytree(runs / "responses", tmp_path / "responses")
    write_responses(tmp_path / "responses", dataclasses.replace(real, provenance=provenance))
    content = read_content(settings(runs, responses=str(tmp_path / "responses")))
    assert content.concept_name == "dog, siren"
    assert {row.claimed_sign for row in content.concept} == {0}  # The paper's are of a voice.
    assert "recognise dog, siren in music" in render_page(content, {})
    own = read_content(settings(runs))
    assert own.concept_name == "singing voice" and any(row.claimed_sign for row in own.concept)


def test_sounds_of_figures_alone_on_request(runs):
    content = read_content(settings(runs, sounds="best"))
    assert len(content.minimized.sounds_of) == len(content.best.sounds_of) == NUM_EXAMPLES
    assert [len(one.sounds_of) for one in content.configurations[1:]] == [2, 0, 2]


def test_all_examples_have_sounds(runs):
    content = read_content(settings(runs))
    assert {len(one.sounds_of) for one in content.configurations} == {NUM_EXAMPLES}


def test_report_without_the_other_direction(runs):
    content = read_content(settings(runs, minimize=None))
    assert content.minimized is None
    assert not any("minimized" in row.comparison for row in content.concept)


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    """Hears the mean level of band 20, where the highest real excerpts have their ridge, and half
    of that of band 14, where the best configuration's examples have it."""
    inputs = keras.Input((115, 80, 1))
    bands = keras.layers.Permute((2, 1))(keras.layers.Reshape((115, 80))(inputs))
    bands = keras.layers.GlobalAveragePooling1D(data_format="channels_first")(bands)
    level = keras.layers.Dense(1, use_bias=False, name="level")
    model = keras.Model(inputs, level(bands))
    kernel = np.zeros((80, 1), np.float32)
    kernel[20], kernel[14] = 1, 0.5
    level.set_weights([kernel])
    path = tmp_path_factory.mktemp("listener") / "listener.keras"
    model.save(path)
    return str(path)


def test_a_listener_hears_the_sets(runs, listener):
    content = read_content(settings(runs, listener=listener, listener_response="level"))
    heard = content.heard
    # The ridges are 5 high; all else is noise around -8.
    expected = {"lowest": -12, "minimized": -12, "start": -12, "maximized": -9.5, "highest": -7}
    assert heard.transfer.means == pytest.approx(expected, abs=0.15)
    assert heard.transfer.transfer == pytest.approx(0.5, abs=0.05)
    for one, name in ((content.best, "maximized"), (content.highest, "highest")):
        np.testing.assert_array_equal(one.measures["listener"], heard.responses[name])
        assert "transients" in one.measures


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"listener_response": None}, "--listener: requires --listener_response"),
        ({"listener": None}, "--listener_response: requires --listener"),
        ({"minimize": None}, "--listener: .* specify --minimize"),
        ({"listener": "missing.keras"}, "--listener: missing.keras does not exist"),
        ({"listener_response": "loudness"}, "--listener_response: .*no layer 'loudness'.*'level'"),
        ({"listener_response": "tags:vocal"}, "--listener_response: nothing names the outputs"),
    ],
)
def test_a_listener_that_cannot_hear_is_refused(runs, listener, changes, message):
    with pytest.raises(InputError, match=message):
        read_content(
            settings(runs, **{"listener": listener, "listener_response": "level", **changes})
        )


def test_make_report(runs, monkeypatch):
    from svdam.stages import make_report as reporting
    from svdam.stages import report_sets

    # Griffin-Lim has tests of its own; here it would only take time.
    asked = set()

    def to_audio(log_mels, **options):
        asked.add((options["inversion"], options["momentum"]))
        return np.tanh(np.repeat(log_mels[..., 0], 322, axis=1))

    monkeypatch.setattr(report_sets, "log_mels_to_audio", to_audio)
    page = make_report(settings(runs, inversion="nnls", momentum=0.9))
    assert asked == {("nnls", 0.9)}
    text = page.read_text("utf-8")
    assert "non-negative least squares" in text and "momentum 0.9" in text
    assert "a &lt;b&gt;bold&lt;/b&gt; song" in text
    assert (page.parent / "figures/figure_4.pdf").stat().st_size > 1000
    assert list((page.parent / "tensorboard").iterdir())
    stray = page.parent / "sounds/left-over.wav"
    stray.write_bytes(b"")
    monkeypatch.setattr(reporting, "write_report", lambda folder, *others: folder / "index.html")
    make_report(settings(runs, inversion="nnls", momentum=0.9))
    assert not stray.exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"direction": "max"}, "its direction.*'max', expected 'min'.*best.cfg"),
        ({"seeds": np.arange(1, NUM_EXAMPLES + 1)}, "its seeds"),
        ({"start_examples": excerpts(9)[..., None]}, "another generator"),
        ({"start_responses": np.ones(NUM_EXAMPLES, np.float32)}, "another classifier"),
        ({"response": "conv3"}, "its response"),
    ],
)
def test_runs_that_do_not_belong_together(runs, tmp_path, changes, message):
    changes = dict(changes)
    direction = changes.pop("direction", "min")
    write_search(tmp_path / "other", direction, {BEST: -6.0}, **changes)
    with pytest.raises(InputError, match=f"--minimize: .*{message}"):
        read_content(settings(runs, minimize=str(tmp_path / "other")))


def test_run_of_another_configuration(runs, tmp_path):
    write_search(tmp_path / "other", "min", {Configuration(0.1, 0.01, 10): -6.0})
    with pytest.raises(InputError, match="its configurations"):
        read_content(settings(runs, minimize=str(tmp_path / "other")))


def test_missing_run_is_answered_with_the_command_that_makes_it(runs):
    with pytest.raises(InputError, match=r"--minimize: .*best\.cfg --direction=min --output="):
        read_content(settings(runs, minimize=str(runs / "missing")))


def test_selection_of_another_grid(runs, tmp_path):
    write_search(tmp_path / "grid", means={BEST: 3.0})
    with pytest.raises(InputError, match=r"--selection: ranks .* run select_hyperparameters"):
        read_content(settings(runs, grid=str(tmp_path / "grid")))
