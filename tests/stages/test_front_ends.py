"""Every command with other front ends than the paper's, in miniature: sizes, rates and names."""

import types

import keras
import numpy as np
import pytest

from svdam.audio.front_ends import get_front_end
from svdam.core.validation import InputError
from svdam.results.model_cards import read_model_card
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from svdam.stages.train_classifier import train_classifier
from svdam.stages.train_gan import train_gan
from svdam.training.settings import ClassifierSettings, GanSettings
from tests.data.small_corpora import add_song, write_jamendo

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
    place = types.SimpleNamespace(
        front_end=get_front_end(name),
        **{stage: str(folder / stage) for stage in ("data", "classifier", "gan")},
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
