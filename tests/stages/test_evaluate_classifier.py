"""evaluate_classifier: from records or prediction files to scores, files and pictures."""

import json
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import soundfile

from svdam.audio.decoding import load_audio
from svdam.audio.pitch_shift import pitch_shifted_log_mel
from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.evaluation import detection
from svdam.models.classifier import build_svdnet
from svdam.models.fully_convolutional import FramePredictor
from svdam.results.predictions import read_predictions, truth_of_frames, write_predictions
from svdam.stages.evaluate_classifier import EvaluationSettings, evaluate_classifier
from svdam.stages.prediction_source import outputs_of_labels
from svdam.stages.prepare_data import PrepareSettings, prepare_data

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPLITS = {"train": ["a.wav"], "valid": ["b $x$.wav", "c.wav"], "test": ["d é.wav", "e.wav"]}


def write_corpus(folder):
    """Songs with a tone from 1 s to 2 s, where somebody sings, and noise; e.wav has no singing."""
    for name in ("audio", "labels", "filelists"):
        (folder / name).mkdir()
    random = np.random.RandomState(0)
    time_secs = np.arange(3 * 22050) / 22050
    for split, names in SPLITS.items():
        (folder / "filelists" / split).write_text("\n".join(names) + "\n", "utf-8")
        for name in names:
            sung = (time_secs >= 1) & (time_secs < 2) & (name != "e.wav")
            tone = sung * np.sin(2 * np.pi * random.uniform(300, 900) * time_secs)
            noise = 0.05 * random.randn(len(time_secs))
            soundfile.write(folder / "audio" / name, 0.5 * tone + noise, 22050)
            label = "0 3 nosing\n" if name == "e.wav" else "0 1 nosing\n1 2 sing\n2 3 nosing\n"
            (folder / "labels" / name.replace(".wav", ".lab")).write_text(label)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a corpus, its records and a classifier."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "corpus").mkdir()
    write_corpus(folder / "corpus")
    prepare_data(
        PrepareSettings(
            output=str(folder / "records"), dataset="jamendo", data_dir=str(folder / "corpus")
        )
    )
    keras.utils.set_random_seed(5)
    records = open_records(folder / "records")
    classifier = build_svdnet(records.mean, records.std)
    logit = classifier.get_layer("logit")
    # Larger logits, so that predictions are not all alike.
    logit.set_weights([20 * logit.get_weights()[0], logit.get_weights()[1]])
    classifier.save(folder / "classifier.keras")
    return folder


@pytest.fixture(scope="module")
def expected(place):
    """Predictions and labels of the records' songs, by name."""
    records = open_records(place / "records")
    predictor = FramePredictor(keras.saving.load_model(place / "classifier.keras"))
    songs = records.songs()
    return (
        {s.id: singing(predictor.predict(records.log_mel(s))) for s in songs},
        {s.id: records.labels(s) for s in songs},
    )


def singing(outputs):
    """The sigmoid of the one logit."""
    return 1 / (1 + np.exp(-outputs[:, 0].astype(np.float64)))


def of_split(values, split):
    return [values[name] for name in SPLITS[split]]


def settings(place, tmp_path, **options):
    options = {"classifier": place / "classifier.keras", "records": place / "records", **options}
    text = {
        name: str(value) if isinstance(value, pathlib.Path) else value
        for name, value in options.items()
    }
    return EvaluationSettings(output=str(tmp_path / "run"), **text)


@pytest.mark.filterwarnings("ignore:AUROC is undefined")
def test_threshold_from_validation_scores_from_test(place, expected, tmp_path, capsys):
    found = evaluate_classifier(settings(place, tmp_path))
    chosen = detection.evaluate(*(of_split(values, "valid") for values in expected))["threshold"]
    scores = detection.evaluate(*(of_split(values, "test") for values in expected), chosen)
    report = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert report == found
    assert report["scores"] == pytest.approx(scores, abs=1e-6)
    assert report["threshold_chosen_on"] == "valid"
    assert [row["song"] for row in report["songs"]] == SPLITS["test"]
    assert report["songs"][1]["auroc"] is None  # Nobody sings in it.
    table, _ = capsys.readouterr().out.split("\nThreshold: chosen on split 'valid'\n")
    assert f"{scores['f1']:.3f}" in table.splitlines()[-1]


def test_predictions_are_written_as_the_original_reads_them(place, expected, tmp_path):
    with pytest.warns(UserWarning, match="AUROC is undefined for 1 of 2 songs.*'e.wav'"):
        evaluate_classifier(settings(place, tmp_path))
    with np.load(tmp_path / "run" / "predictions.npz") as stored:
        assert sorted(stored.files) == sorted(SPLITS["valid"] + SPLITS["test"])
        for name in stored.files:
            assert stored[name].shape == (len(expected[0][name]), 1)
            np.testing.assert_allclose(stored[name][:, 0], expected[0][name], atol=1e-5)


@pytest.mark.filterwarnings("ignore:AUROC is undefined")
def test_summaries_and_charts(place, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evaluate_classifier(settings(place, tmp_path, threshold=0.4))
    charts = sorted(path.name for path in (tmp_path / "run" / "charts").iterdir())
    assert charts == ["001_d_é.wav.png", "002_e.wav.png"]
    events = EventAccumulator(str(tmp_path / "run/tensorboard"), {"tensors": 0}).Reload()
    tags = events.Tags()["tensors"]
    assert {"evaluation/f1", "evaluation/auroc", "songs/d é.wav", "table", "configuration"} <= {
        *tags
    }
    assert json.loads((tmp_path / "run" / "complete.json").read_text())["threshold"] == 0.4


def saved_with(place, tmp_path, ending):
    """The classifier with something after its logit."""
    model = keras.saving.load_model(place / "classifier.keras")
    path = tmp_path / "with_ending.keras"
    keras.Model(model.inputs[0], ending(model.outputs[0])).save(path)
    return path


def two_logits(logit):
    return keras.layers.Concatenate()([0.0 * logit, logit])


@pytest.mark.filterwarnings("ignore:AUROC is undefined", "ignore:.* excerpt by excerpt")
@pytest.mark.parametrize(
    "ending",
    [
        keras.layers.Activation("sigmoid"),  # Slides over time, as the classifier itself does.
        lambda logit: keras.layers.Reshape((1, 1))(keras.ops.sigmoid(logit)),
        lambda logit: keras.layers.Softmax()(two_logits(logit)),
    ],
)
def test_a_classifier_that_ends_in_probabilities_is_scored_as_the_same_logits(
    place, tmp_path, ending
):
    whole = evaluate_classifier(settings(place, tmp_path / "logit", split="valid"))
    changed = saved_with(place, tmp_path, ending)
    found = evaluate_classifier(
        settings(place, tmp_path / "changed", split="valid", classifier=changed)
    )
    files = [tmp_path / name / "run/predictions.npz" for name in ("logit", "changed")]
    predictions = [read_predictions([file]) for file in files]
    for name in SPLITS["valid"]:
        np.testing.assert_allclose(predictions[1][name], predictions[0][name], atol=1e-5)
    assert found["scores"] == pytest.approx(whole["scores"], abs=1e-3)


def test_an_output_that_may_be_anything_is_asked_for(place, tmp_path):
    path = saved_with(place, tmp_path, keras.ops.tanh)
    with pytest.raises(InputError, match=r"--output_is: --classifier=.* ends in 'tanh.*\(Tanh\)"):
        evaluate_classifier(settings(place, tmp_path, classifier=path))
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:AUROC is undefined")
def test_pitch_shifts_are_averaged(place, expected, tmp_path):
    evaluate_classifier(
        settings(place, tmp_path, audio=place / "corpus", pitch_shifts=(0, 15.0), threshold=0.5)
    )
    predictor = FramePredictor(keras.saving.load_model(place / "classifier.keras"))
    found = read_predictions([tmp_path / "run" / "predictions.npz"])
    for name in SPLITS["test"]:
        shifted = pitch_shifted_log_mel(load_audio(place / "corpus" / "audio" / name), 15)
        other = singing(predictor.predict(shifted))
        assert np.abs(other - expected[0][name]).max() > 1e-3
        np.testing.assert_allclose(found[name], (other + expected[0][name]) / 2, atol=1e-5)


@pytest.mark.filterwarnings("ignore:AUROC is undefined")
@pytest.mark.parametrize("source", ["records", "data set", "folder", "arrays"])
def test_prediction_files_with_labels_from(place, expected, tmp_path, source):
    predictions, labels = expected
    scored = SPLITS["valid"] + SPLITS["test"]
    write_predictions(tmp_path / "p.npz", {name: predictions[name] for name in scored})
    np.savez(tmp_path / "truth.npz", **{name: labels[name] for name in scored})
    options, scored = {
        "records": ({}, SPLITS["test"]),
        "data set": ({"labels": place / "corpus", "threshold": None}, SPLITS["test"]),
        "folder": ({"labels": place / "corpus" / "labels"}, scored),
        "arrays": ({"labels": tmp_path / "truth.npz"}, scored),
    }[source]
    options = {"threshold": 0.6, "predictions": (str(tmp_path / "p.npz"),), **options}
    report = evaluate_classifier(settings(place, tmp_path, **options))
    threshold = options["threshold"]
    if threshold is None:
        valid = (of_split(values, "valid") for values in expected)
        threshold = detection.evaluate(*valid)["threshold"]
    chosen = ([values[name] for name in scored] for values in expected)
    assert report["scores"] == pytest.approx(detection.evaluate(*chosen, threshold), abs=1e-6)


def test_several_prediction_files_are_averaged(tmp_path):
    random = np.random.RandomState(1)
    first, second = ({name: random.rand(9).astype("f") for name in "ab"} for _ in range(2))
    write_predictions(tmp_path / "1.npz", first)
    write_predictions(tmp_path / "2.npz", second)
    found = read_predictions([tmp_path / "1.npz", tmp_path / "2.npz"])
    for name in "ab":
        np.testing.assert_allclose(found[name], (first[name] + second[name]) / 2, rtol=1e-6)


def test_truth_once_a_second():
    truth = np.array([False, True, False])
    found = truth_of_frames(truth, 175, 1.0, "song")  # 2.5 s: the last second is incomplete.
    np.testing.assert_array_equal(found, np.repeat(truth, 70)[:175])
    longer = truth_of_frames(truth, 240, 1.0, "song")  # 3.43 s: goes on with the last entry.
    np.testing.assert_array_equal(longer, np.r_[np.repeat(truth, 70), np.zeros(30, bool)])
    np.testing.assert_array_equal(truth_of_frames(truth, 3, 70.0, "song"), truth)
    for frames, rate in ((4, 70.0), (2, 70.0), (281, 1.0), (139, 1.0)):
        with pytest.raises(InputError, match="song: the labels cover"):
            truth_of_frames(truth, frames, rate, "song")


def test_from_the_command_line_without_any_classifier(tmp_path):
    """Two songs at 70 predictions and one label a second, scored by hand."""
    singing = np.r_[np.full(140, 0.1), np.full(140, 0.9)]
    write_predictions(
        tmp_path / "p.npz", {"a.mp3": singing, "b.ogg": 1 - singing, "c.ogg": singing}
    )
    np.savez(tmp_path / "t.npz", **{"a.mp3": [0, 0, 1, 1], "b.ogg": [0, 0, 1, 1]})
    command = [sys.executable, "-m", "svdam.evaluate_classifier", "--num_charts=0"]
    command += [f"--predictions={tmp_path / 'p.npz'}", f"--labels={tmp_path / 't.npz'}"]
    command += ["--labels_per_second=1", "--threshold=0.5", f"--output={tmp_path / 'run'}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    # Of two equal halves the median filter takes the greater values, which makes the second song's
    # falling edge a frame late: of 560 frames 141 and 140 are right, 140 and 139 wrong.
    row = result.stdout.splitlines()[3].split()
    assert row[-7:-1] == ["0.50", "0.502", "0.504", "0.500", "0.503", "0.498"]
    assert "1 of 3 predicted songs have no labels" in result.stderr
    assert json.loads((tmp_path / "run" / "complete.json").read_text())["error"] == pytest.approx(
        279 / 560
    )


def write_bad_predictions(path, **songs):
    np.savez(path, **{name.replace("_", "."): values for name, values in songs.items()})
    return (str(path),)


GOOD = np.full((207, 1), 0.5, "f")


@pytest.mark.parametrize(
    ("songs", "options", "message"),
    [
        ({"e_wav": GOOD + 1}, {}, r"bad.npz: 'e.wav' holds values that are not probabilities"),
        ({"e_wav": np.full((9, 1), np.nan)}, {}, "not probabilities"),
        ({"e_wav": np.zeros((9, 2))}, {}, r"'e.wav' has shape \(9, 2\)"),
        ({"e_wav": np.zeros(9, int)}, {}, "dtype int64"),
        ({}, {}, "bad.npz: contains no array"),
        ({"e_wav": np.zeros(9)}, {}, "'e.wav' has 9 frames, but 207 in the records"),
        ({"x_wav": GOOD}, {}, "has no song with labels in split 'test' to score"),
        (
            {"x_wav": GOOD},
            {"labels": "corpus"},
            "do not contain 'b .x..wav', 'c.wav', which .*valid list",
        ),
        ({"e_wav": GOOD}, {"labels": "corpus/labels"}, "--threshold=0.5"),
        ({"x_wav": GOOD}, {"labels": "corpus/labels", "threshold": 0.5}, "no song with labels"),
        ({"e_wav": GOOD}, {"labels": "none.npz", "threshold": 0.5}, "none.npz: no such file"),
        ({"e_wav": GOOD}, {"threshold": None}, "'valid' to choose the threshold on"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*predicted songs have no labels")
def test_refuses_prediction_files(place, tmp_path, songs, options, message):
    paths = write_bad_predictions(tmp_path / "bad.npz", **songs)
    options = {"threshold": 0.5, **options} if "labels" not in options else dict(options)
    if "labels" in options:
        options["labels"] = place / options["labels"]
    with pytest.raises(InputError, match=message):
        evaluate_classifier(settings(place, tmp_path, predictions=paths, **options))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"classifier": "/none/classifier.keras"},
            "--classifier: .* does not exist; create it with",
        ),
        ({"records": "/none"}, "--records: /none does not exist; create it with"),
        ({"labels": "/x"}, "--labels: requires --predictions"),
        ({"positive_label": ("dog",)}, "--positive_label: requires --labels"),
        ({"pitch_shifts": ()}, "--pitch_shifts: is empty"),
        ({"pitch_shifts": (10,)}, "--pitch_shifts: needs --audio"),
        ({"pitch_shifts": (-99,), "audio": "/x"}, "--pitch_shifts: found -99"),
        ({"pitch_shifts": (5,), "audio": "/x/y"}, "/x/y/audio/.*: no such file"),
        ({"threshold": 1.5}, "--threshold: found 1.5"),
        ({"split": "dev"}, "--split: found 'dev'"),
    ],
)
def test_refuses_settings(place, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        evaluate_classifier(settings(place, tmp_path, **options))


@pytest.mark.parametrize(
    ("labels", "names", "num_outputs", "expected"),
    [
        (("sing",), (), 1, [0]),
        (("sing",), (), 2, [1]),
        (("sing",), ("no singing", "singing"), 2, [1]),
        (("dog",), ("dog", "no dog"), 2, [0]),
        (("dog",), ("cat", "dog", "siren"), 3, [1]),
        (("dog", "siren"), (), 2, [0, 1]),
        (("dog", "siren"), ("siren", "cat", "dog"), 3, [2, 0]),
        (("dog", "siren"), ("siren", "cat"), 2, [0, 1]),
        (("sing",), (), 5, r"5 outputs, expected 1 \(singing\) or 2 \(no singing, and singing\)"),
        (("dog", "siren"), (), 3, "3 outputs, expected 2, one for each label of the records"),
    ],
)
def test_outputs_that_predict_the_labels(labels, names, num_outputs, expected):
    if isinstance(expected, list):
        assert outputs_of_labels(labels, names, num_outputs, "x") == expected
        return
    with pytest.raises(InputError, match=expected):
        outputs_of_labels(labels, names, num_outputs, "x")


@pytest.fixture(scope="module")
def several(events_folder, tmp_path_factory):
    """An evaluation of two labels, by a network whose outputs are tones of two bands."""
    folder = tmp_path_factory.mktemp("several")
    keras.utils.set_random_seed(3)
    excerpt = keras.Input((115, 80, 1))
    centre = keras.layers.Cropping2D(((57, 57), (0, 0)))(excerpt)
    weights = keras.layers.Dense(2, name="tones")
    model = keras.Model(excerpt, weights(keras.layers.Flatten()(centre)))
    records = open_records(events_folder)
    edges = records.front_end.band_edges_hz()[1:-1]
    kernel = np.zeros((80, 2), "f")
    for output, pitch_hz in enumerate((300, 3000)):
        kernel[np.argmin(np.abs(edges - pitch_hz)), output] = 1
    weights.set_weights([kernel, np.full(2, 2.0, "f")])
    model.save(folder / "tones.keras")
    report = evaluate_classifier(
        EvaluationSettings(
            output=str(folder / "run"),
            records=str(events_folder),
            classifier=str(folder / "tones.keras"),
        )
    )
    return folder, report, records


@pytest.mark.filterwarnings("ignore:.* excerpt by excerpt")
def test_each_of_several_labels_is_scored_by_its_output(several):
    folder, report, records = several
    assert json.loads((folder / "run/evaluation.json").read_text()) == report
    (song,) = records.songs("test")
    for index, name in enumerate(("dog", "siren")):
        one = report["labels"][name]
        assert one["label"] == name and one["scores"]["error"] < 0.2 < one["scores"]["recall"]
        with np.load(folder / "run/predictions.npz") as stored:
            prediction = stored[song.id][:, index]
        truth = records.labels(song)[:, index]
        found = detection.evaluate([prediction], [truth], one["scores"]["threshold"])
        assert one["scores"] == pytest.approx(found, abs=1e-6)
    swapped = detection.evaluate([prediction], [records.labels(song)[:, 0]], 0.5)
    assert swapped["error"] > 0.2  # The labels are not those of the other output.
    complete = json.loads((folder / "run/complete.json").read_text())
    assert complete == {name: one["scores"] for name, one in report["labels"].items()}


def test_charts_and_tables_of_several_labels_carry_their_names(several):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = several[0] / "run"
    charts = sorted(path.name for path in (folder / "charts").iterdir())
    assert charts == ["001_test_e.wav_dog.png", "001_test_e.wav_siren.png"]
    tags = EventAccumulator(str(folder / "tensorboard"), {"tensors": 0}).Reload().Tags()["tensors"]
    assert {"evaluation/dog/f1", "evaluation/siren/f1", "table/dog", "table/siren"} <= {*tags}


def test_prediction_files_of_several_labels(several, events_folder, tmp_path):
    folder, report, _ = several
    again = evaluate_classifier(
        EvaluationSettings(
            output=str(tmp_path / "run"),
            records=str(events_folder),
            predictions=(str(folder / "run/predictions.npz"),),
            num_charts=0,
        )
    )
    for name in ("dog", "siren"):
        assert again["labels"][name]["scores"] == report["labels"][name]["scores"]


def test_prediction_files_with_label_files_of_any_form(events, tmp_path, capsys):
    heard = np.zeros(276, "f")
    heard[70:175] = 1  # The dog of `write_events`.
    names = {"train/b": "b.txt", "train/c": "c.csv", "test/e": "e.txt"}
    (tmp_path / "labels").mkdir()
    for name, copy in names.items():
        (source,) = events.glob(f"{name}.[tc][xs][tv]")
        shutil.copy(source, tmp_path / "labels" / copy)
    predictions = {f"{copy[0]}.wav": heard for copy in names.values()}
    write_predictions(tmp_path / "p.npz", predictions)
    report = evaluate_classifier(
        EvaluationSettings(
            output=str(tmp_path / "run"),
            predictions=(str(tmp_path / "p.npz"),),
            labels=str(tmp_path / "labels"),
            positive_label=("dog",),
            threshold=0.5,
            median_frames=0,
            num_charts=0,
        )
    )
    assert report["label"] == "dog" and report["scores"]["error"] == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("Split 'test', dog")


def test_refuses_a_classifier_with_many_outputs(place, tmp_path):
    build_svdnet(num_outputs=5).save(tmp_path / "five.keras")
    with pytest.raises(InputError, match=r"five.keras has 5 outputs, expected 1 .* or 2"):
        evaluate_classifier(settings(place, tmp_path, classifier=tmp_path / "five.keras"))


@pytest.mark.filterwarnings("ignore:AUROC is undefined")
def test_songs_of_one_class_have_no_auroc(place, expected, tmp_path, capsys):
    write_predictions(tmp_path / "p.npz", {"e.wav": expected[0]["e.wav"]})
    options = dict(predictions=(str(tmp_path / "p.npz"),), threshold=0.5)
    report = evaluate_classifier(settings(place, tmp_path, **options))
    assert report["scores"]["auroc"] is None
    table, _ = capsys.readouterr().out.split("\nThreshold: as given\n")
    assert table.splitlines()[-1].split()[-1] == "-"
