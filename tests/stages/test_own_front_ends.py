"""Every command with other front ends than the paper's, in miniature: sizes, rates and names."""

import io
import json
import re
import shutil
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from svdam.audio.front_ends import front_end_name, get_front_end, write_front_end
from svdam.core.config import FRONT_END
from svdam.core.validation import InputError
from svdam.data.records import open_records
from svdam.models.bridge import bridged_classifier
from svdam.models.generator import build_generator
from svdam.models.loading import load_model
from svdam.results.examples import read_results
from svdam.results.model_cards import ModelCard, read_model_card, write_model_card
from svdam.results.responses import read_responses
from svdam.stages import bridging
from svdam.stages.collect_responses import ResponseSettings, collect_responses
from svdam.stages.evaluate_classifier import EvaluationSettings, evaluate_classifier
from svdam.stages.explain_classifier import ExplainSettings, explain_classifier
from svdam.stages.make_report import ReportSettings, make_report
from svdam.stages.maximize_activation import SearchSettings, maximize_activation
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from svdam.stages.select_hyperparameters import SelectionSettings, select_hyperparameters
from svdam.stages.train_classifier import train_classifier
from svdam.stages.train_gan import train_gan
from svdam.stages.unit_responses import extreme_excerpts
from svdam.training.settings import ClassifierSettings, GanSettings
from tests.data.small_corpora import add_song, write_jamendo

pytestmark = pytest.mark.slow

NAMES = ("musicnn", "odd")


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """A song for each split, of 5 to 6 s, sung from 0.5 s on."""
    folder = tmp_path_factory.mktemp("songs")
    write_jamendo(folder, {split: [f"{split}.wav"] for split in ("train", "valid", "test")})
    for number, split in enumerate(("train", "valid", "test")):
        add_song(folder, f"{split}.wav", 5 + number / 2, number)
    return folder


@pytest.fixture(scope="module", params=NAMES)
def runs(request, songs, odd_file, tmp_path_factory):
    """The run folders of all stages, with random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVDAM_CACHE", str(folder / "cache"))
        return _all_stages(folder, songs, odd_file if request.param == "odd" else request.param)


def _all_stages(folder, songs, name):
    stages = ("data", "classifier", "evaluation", "gan", "responses", "grid", "selection", "report")
    place = types.SimpleNamespace(
        front_end=get_front_end(name), **{stage: str(folder / stage) for stage in stages}
    )
    prepare_data(
        PrepareSettings(
            output=place.data, dataset="jamendo", data_dir=str(songs), front_end=name, num_workers=1
        )
    )
    train_classifier(
        ClassifierSettings(
            output=place.classifier, records=place.data, num_epochs=1, epoch_batches=1, batch_size=2
        )
    )
    evaluate_classifier(
        EvaluationSettings(output=place.evaluation, records=place.data, classifier=place.classifier)
    )
    train_gan(
        GanSettings(
            output=place.gan,
            records=place.data,
            preset="light",
            objective="logistic",
            num_iterations=1,
            critic_steps=1,
            batch_size=2,
            clip_spacing=20,
        )
    )
    collect_responses(
        ResponseSettings(
            output=place.responses,
            records=place.data,
            classifier=place.classifier,
            top_n=2,
            excerpt_spacing=10,
        )
    )
    _explain(place, place.gan, critic=place.gan)
    return place


def _explain(place, generator, **selection):
    """Search, selection and page with the smallest settings."""
    maximize_activation(
        SearchSettings(
            output=place.grid,
            classifier=place.classifier,
            generator=generator,
            learning_rates=(0.1, 0.01),
            prior_weights=(0.01,),
            num_steps=(1,),
            seeds="0-1",
            precision="float32",
            records=selection.pop("records", None),
        )
    )
    select_hyperparameters(
        SelectionSettings(
            output=place.selection,
            grid=place.grid,
            responses=place.responses,
            num_resamples=100,
            nearest_layer="fc2",
            **selection,
        )
    )
    make_report(
        ReportSettings(
            output=place.report,
            grid=place.grid,
            selection=place.selection,
            responses=place.responses,
            evaluation=place.evaluation,
            sounds="best",
        )
    )


@pytest.fixture(scope="module")
def bridged(runs, tmp_path_factory):
    """The same classifier, explained by a generator of the paper's front end."""
    folder = tmp_path_factory.mktemp("bridged")
    generator = folder / "generator.keras"
    keras.utils.set_random_seed(0)
    build_generator("square").save(generator)
    write_model_card(generator, ModelCard(FRONT_END, "excerpts"))
    place = types.SimpleNamespace(**vars(runs))
    for stage in ("grid", "selection", "report"):
        setattr(place, stage, str(folder / stage))
    _explain(place, str(generator), records=place.data)
    return place


def test_networks_have_the_size_of_the_records_and_a_card(runs):
    excerpt = (None, runs.front_end.excerpt_frames, runs.front_end.num_mels, 1)
    for stage, name, outputs in (
        ("classifier", "classifier", "logits"),
        ("classifier", "classifier_last", "logits"),
        ("gan", "critic", "scores"),
        ("gan", "generator", "excerpts"),
    ):
        path = f"{getattr(runs, stage)}/{name}.keras"
        model = keras.saving.load_model(path, compile=False)
        assert excerpt == (model.output_shape if outputs == "excerpts" else model.input_shape)
        card = read_model_card(path)
        assert card.front_end == runs.front_end and card.outputs == outputs
        assert card.data == "1 songs, 0.00 hours" and card.training.startswith("train_")
        if outputs == "excerpts":
            latents = np.random.RandomState(0).normal(size=(4, 128))
            assert model.predict(latents, verbose=0).min() >= np.float32(runs.front_end.silence)


def test_a_classifier_of_another_front_end_is_not_trained_further(runs, records_folder, tmp_path):
    name = "musicnn" if runs.front_end.num_mels == 96 else "37 bands, 40 to 5000 Hz"
    message = rf"--initial: the front ends differ \(records: ismir2015, initial: {name}.*\)"
    settings = ClassifierSettings(
        output=str(tmp_path / "run"), records=str(records_folder), initial=runs.classifier
    )
    with pytest.raises(InputError, match=message):
        train_classifier(settings)
    message = message.replace("initial", "classifier")
    settings = GanSettings(
        output=str(tmp_path / "run"), records=str(records_folder), classifier=runs.classifier
    )
    with pytest.raises(InputError, match=message):
        train_gan(settings)


def test_frames_are_those_of_the_front_end_wherever_time_is_meant(runs):
    config = json.loads(Path(runs.evaluation, "config.json").read_text())
    frames_per_second = runs.front_end.sample_rate / runs.front_end.hop_length
    assert config["settings"]["median_frames"] == round(0.8 * frames_per_second)
    real = read_responses(runs.responses)
    rows = real.table()
    for row, first_frame in zip(rows, real.highest.first_frame, strict=False):
        assert row["start_secs"] == round(first_frame / frames_per_second, 3)


def test_every_run_says_its_front_end(runs):
    assert read_responses(runs.responses).front_end == runs.front_end
    results = read_results(runs.grid)
    assert results.front_end == results.classifier_front_end == runs.front_end
    assert "bridge" not in results.provenance
    figure = results.plot()
    right = figure.axes[0].images[0].get_extent()[1]
    secs = runs.front_end.excerpt_frames * runs.front_end.hop_length / runs.front_end.sample_rate
    assert right == pytest.approx(secs)
    assert results.audio().sample_rate == runs.front_end.sample_rate


def test_sounds_of_pages_and_tensorboard_have_the_rate_of_the_front_end(runs):
    sounds = [*Path(runs.report, "sounds").iterdir(), *Path(runs.responses, "sounds").iterdir()]
    assert {soundfile.info(path).samplerate for path in sounds} == {runs.front_end.sample_rate}
    for folder, tag in ((runs.gan, "samples/real"), (runs.responses, "sounds/real/highest")):
        events = EventAccumulator(f"{folder}/tensorboard", size_guidance={"tensors": 0})
        events.Reload()
        ((content, _), *_) = make_ndarray(events.Tensors(tag)[0].tensor_proto)
        assert soundfile.info(io.BytesIO(content)).samplerate == runs.front_end.sample_rate


def test_a_bridge_is_built_measured_kept_and_shown(bridged):
    results, real = read_results(bridged.grid), read_responses(bridged.responses)
    assert results.front_end == FRONT_END and results.examples.shape[2:] == (115, 80, 1)
    assert results.classifier_front_end == real.front_end == bridged.front_end
    facts = results.provenance["bridge"]
    assert facts["source"] == "ismir2015" and facts["target"] in ("musicnn", facts["target"])
    assert facts["num_excerpts"] == 12 and -1 <= facts["correlation"] <= 1
    classifier = load_model(bridged.classifier, "classifier")
    through = bridged_classifier(classifier, bridged.front_end, FRONT_END)
    np.testing.assert_allclose(
        results.start_responses, through(results.start_examples).numpy()[:, 0], rtol=1e-3, atol=1e-3
    )
    page = " ".join(Path(bridged.report, "index.html").read_text().split())
    assert facts["description"].split(".")[0] in page and "12 real excerpts" in page
    rates = {
        name: soundfile.info(next(Path(bridged.report, "sounds").glob(f"{name}-*"))).samplerate
        for name in ("start", "real-highest")
    }
    assert rates == {"start": 22050, "real-highest": bridged.front_end.sample_rate}


def test_runs_of_two_front_ends_are_refused_by_name(runs, bridged, records_folder, tmp_path):
    own = front_end_name(runs.front_end)
    output = str(tmp_path / "run")
    options = dict(output=output, records=str(records_folder), classifier=runs.classifier)
    message = re.escape(f"(records: ismir2015, classifier: {own})")
    for stage, settings in (
        (collect_responses, ResponseSettings(**options)),
        (evaluate_classifier, EvaluationSettings(**options)),
    ):
        with pytest.raises(InputError, match=message):
            stage(settings)
    responses = str(tmp_path / "responses")
    collect_responses(ResponseSettings(output=responses, records=str(records_folder), top_n=2))
    message = re.escape(f"(responses: ismir2015, classifier of --grid: {own})")
    for grid in (runs.grid, bridged.grid):
        with pytest.raises(InputError, match=message):
            select_hyperparameters(SelectionSettings(output=output, grid=grid, responses=responses))
    message = re.escape(f"--critic: the front ends differ (examples: ismir2015, responses: {own}")
    with pytest.raises(InputError, match=message):
        select_hyperparameters(
            SelectionSettings(
                output=output, grid=bridged.grid, responses=runs.responses, critic=runs.gan
            )
        )


def test_models_without_cards_take_what_flags_say(runs, tmp_path):
    classifier = tmp_path / "classifier.keras"
    shutil.copy(f"{runs.classifier}/classifier.keras", classifier)
    options = dict(
        output=str(tmp_path / "run"),
        classifier=str(classifier),
        learning_rates=(0.1,),
        prior_weights=(0.01,),
        num_steps=(1,),
        seeds="0-1",
    )
    results = maximize_activation(SearchSettings(generator=runs.gan, **options))
    assert results.front_end == runs.front_end  # That of the generator, which fits.
    message = "if they have different front ends, name .* --classifier_front_end=yamnet"
    with pytest.raises(InputError, match=message):
        maximize_activation(SearchSettings(**options))
    write_front_end(tmp_path / "own.json", runs.front_end)
    named = dict(classifier_front_end=str(tmp_path / "own.json"))
    message = "there is no bridge .* to be measured"
    with pytest.raises(InputError, match=message):
        maximize_activation(
            SearchSettings(generator=runs.gan, records=runs.data, **named, **options)
        )
    contradiction = dict(generator=runs.gan, generator_front_end="vggish")
    with pytest.raises(InputError, match="--generator_front_end: is vggish, but the model card"):
        maximize_activation(SearchSettings(**contradiction, **options))
    with pytest.raises(InputError, match="front end, vggish, has 64 bands; correct its model card"):
        maximize_activation(SearchSettings(classifier_front_end="vggish", **options))


def test_records_of_neither_front_end_are_refused(runs, records_folder, tmp_path):
    settings = ExplainSettings(
        output=str(tmp_path / "atlas"),
        classifier=runs.classifier,
        generator=runs.gan,
        records=str(records_folder),
        seeds="0-1",
        top_n=2,
    )
    name = front_end_name(runs.front_end)
    message = rf"front ends differ \(records: ismir2015, generator: {re.escape(name)}, classifier: "
    with pytest.raises(InputError, match=message):
        explain_classifier(settings)


@pytest.mark.parametrize("records_of", ["classifier", "generator"])
def test_units_are_explained_through_the_bridge(
    bridged, records_folder, tmp_path, records_of, monkeypatch, capsys
):
    """Real excerpts are heard directly where they have the classifier's front end."""
    sufficient = 1.1 if records_of == "classifier" else -1.1
    monkeypatch.setattr(bridging, "SUFFICIENT_CORRELATION", sufficient)
    records = bridged.data if records_of == "classifier" else records_folder
    generator = read_results(bridged.grid).provenance["settings"]["generator"]
    units = explain_classifier(
        ExplainSettings(
            output=str(tmp_path / "atlas"),
            classifier=bridged.classifier,
            generator=generator,
            records=str(records),
            response="fc2:0,logit",
            seeds="0-1",
            top_n=2,
            max_steps=1,
            excerpt_spacing=40,
            num_sounds=1,
            precision="float32",
        )
    )
    warning = "warning: the correlation of 'fc2:0', 'logit' is below 1.1"
    assert (warning in capsys.readouterr().err) == (sufficient > 1)
    classifier = load_model(bridged.classifier, "classifier")
    through = bridged_classifier(classifier, bridged.front_end, FRONT_END)
    measured = classifier if records_of == "classifier" else through
    for hears, excerpts, found in (
        (through, units.start_examples[..., 0], units.start_responses[1]),
        (
            measured,
            extreme_excerpts(units, open_records(records), "train", 1, "highest", 2),
            units.statistics.highest[1],
        ),
    ):
        expected = hears(excerpts[..., np.newaxis]).numpy()[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    page = (tmp_path / "atlas/index.html").read_text("utf-8")
    assert "bridge from ismir2015 to" in page
    rates = {
        name: soundfile.info(tmp_path / f"atlas/sounds/{name}-0000.wav").samplerate
        for name in ("start", "00001-highest")
    }
    front_end = bridged.front_end if records_of == "classifier" else FRONT_END
    assert rates == {"start": 22050, "00001-highest": front_end.sample_rate}
