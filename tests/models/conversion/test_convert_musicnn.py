"""tools/convert_musicnn.py: a model and its card, or one line and nothing."""

import convert_musicnn
import numpy as np
import pytest
from convert_musicnn import MusicnnSettings

from svdam.audio.front_ends import get_front_end
from svdam.core.validation import InputError
from svdam.models.conversion import reference
from svdam.models.conversion.musicnn import TAGS
from svdam.models.loading import load_model
from svdam.results.model_cards import read_model_card
from tests.models.conversion.test_musicnn import random_variables, save


@pytest.mark.parametrize("model", ["MSD_musicnn", "MTT_vgg"])
def test_writes_a_model_and_its_card(tmp_path, model):
    save(random_variables(model.split("_")[1]), tmp_path / model)
    output = tmp_path / "tagger.keras"
    settings = MusicnnSettings(model=model, input=str(tmp_path), output=str(output))
    lines = convert_musicnn.convert_musicnn(settings)
    assert sum(line.startswith("verify: ") for line in lines) == (6 if "vgg" in model else 9)
    card = read_model_card(output)
    assert card.front_end == get_front_end("musicnn")
    assert card.output_names == TAGS[model[:3]]
    assert (card.outputs, card.activation, card.licence) == ("logits", "sigmoid", "ISC")
    tagger = load_model(output, "classifier")
    assert tagger.output_shape == (None, len(card.output_names))
    shape = tagger.input_shape[1:]
    assert shape[0] in (None, card.front_end.excerpt_frames)
    assert shape[1:] == (card.front_end.num_mels, 1)
    with pytest.raises(InputError, match=r"tagger\.keras: exists; choose another name, or use"):
        convert_musicnn.convert_musicnn(settings)


def test_nothing_is_written_if_the_result_is_wrong(tmp_path, monkeypatch):
    variables = random_variables("vgg")
    save(variables, tmp_path / "MTT_vgg")
    settings = MusicnnSettings(
        model="MTT_vgg", input=str(tmp_path), output=str(tmp_path / "tagger.keras")
    )
    forward = reference.musicnn_vgg_forward

    def another(variables, excerpts):
        swapped = variables["3CNN/kernel"].swapaxes(0, 1)
        return forward({**variables, "3CNN/kernel": swapped}, excerpts)

    monkeypatch.setattr(reference, "musicnn_vgg_forward", another)
    with pytest.raises(InputError, match="verify: pool3 differs from the reference by"):
        convert_musicnn.convert_musicnn(settings)
    assert not list(tmp_path.glob("tagger*"))


def test_without_the_package_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(convert_musicnn.importlib.util, "find_spec", lambda name: None)
    settings = MusicnnSettings(output=str(tmp_path / "tagger.keras"))
    with pytest.raises(InputError, match="is not installed; pip install --no-deps musicnn"):
        convert_musicnn.convert_musicnn(settings)
    with pytest.raises(InputError, match=r"--output: found tagger\.h5, expected a name ending in"):
        MusicnnSettings(output="tagger.h5")


@pytest.mark.parametrize("model", sorted(convert_musicnn.SCORES))
def test_cards_of_all_networks(model):
    card = convert_musicnn.musicnn_card(model)
    assert model in card.source and len(card.output_names) == 50
    assert ("other pools" in card.training) == (model == "MSD_vgg")
    assert np.all([0 < score < 1 for score in convert_musicnn.SCORES[model]])
