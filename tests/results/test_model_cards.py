"""Model cards come back as they were written, and what is wrong with one is said by its field."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from svdam.audio.front_ends import get_front_end
from svdam.core.validation import InputError
from svdam.results.model_cards import ModelCard, model_card_path, read_model_card, write_model_card

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
CARD = ModelCard(
    front_end=get_front_end("musicnn"),
    outputs="logits",
    output_names=("guitar", "Mellow", "années 80"),
    activation="sigmoid",
    data="MagnaTagATune",
    training="Adam",
    licence="ISC",
    source="https://github.com/jordipons/musicnn",
)
BY_HAND = {
    "format": 1,
    "front_end": "yamnet",
    "excerpt_shape": [50, 64],
    "outputs": "probabilities",
}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "a model.v2.keras"
    path.write_bytes(b"weights")
    return path


def test_round_trip_with_the_checksum_of_the_model(model):
    path = write_model_card(model, CARD)
    assert path == model_card_path(model) == model.with_name("a model.v2.json")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert read_model_card(model) == dataclasses.replace(CARD, checksum=digest)
    assert read_model_card(path) == read_model_card(str(model))
    assert json.loads(path.read_text("utf-8"))["output_names"][2] == "années 80"


def test_a_card_may_say_little(model):
    model_card_path(model).write_text(json.dumps(BY_HAND))
    card = read_model_card(model)
    yamnet = dataclasses.replace(get_front_end("yamnet"), excerpt_frames=50)
    assert card == ModelCard(yamnet, "probabilities")
    write_model_card(model, card)
    written = json.loads(model_card_path(model).read_text())
    assert written == {**BY_HAND, "checksum": hashlib.sha256(b"weights").hexdigest()}


def test_front_ends_without_a_name_are_kept_field_by_field(model):
    front_end = dataclasses.replace(get_front_end("vggish"), sample_rate=11025, max_hz=5000.0)
    write_model_card(model, dataclasses.replace(CARD, front_end=front_end))
    assert read_model_card(model).front_end == front_end
    odd = {"base": "vggish", "num_mels": 37}
    model_card_path(model).write_text(json.dumps({**BY_HAND, "front_end": odd}))
    with pytest.raises(InputError, match=r"excerpt_shape: found \[50, 64\], expected \[frames, 37"):
        read_model_card(model)
    card = {"format": 1, "front_end": odd, "outputs": "scores"}
    model_card_path(model).write_text(json.dumps(card))
    assert read_model_card(model).front_end == dataclasses.replace(
        get_front_end("vggish"), num_mels=37
    )


def test_a_model_without_a_card_has_none(tmp_path, model):
    assert read_model_card(model) is None
    assert read_model_card(tmp_path) is None
    with pytest.raises(InputError, match=r"none\.json: does not exist, expected a model card"):
        read_model_card(tmp_path / "none.json")


def test_a_card_of_another_model_is_refused(model):
    path = write_model_card(model, CARD)
    model.write_bytes(b"other weights")
    for named in (model, path):
        with pytest.raises(InputError, match=r"checksum: is not that of a model\.v2\.keras"):
            read_model_card(named)
    model.unlink()
    assert read_model_card(path).licence == "ISC"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"front_end": None}, "front_end: is missing; a model card needs 'format', 'front_end', "),
        ({"front_end": 16000}, "front_end: found 16000, expected one of 'ismir2015', 'musicnn'"),
        ({"front_end": "my.json"}, "front_end: found 'my.json', expected one of 'ismir2015'"),
        ({"front_end": {"hop": 1}}, "front_end: hop: is not a field of a front end"),
        ({"front_end": {"base": "x"}}, "front_end: base: found 'x', expected one of 'ismir2015'"),
        (
            {"front_end": {"base": "yamnet", "max_hz": "8 kHz"}},
            "front_end: max_hz: found '8 kHz', expected 0 or a larger number",
        ),
        ({"front_end": {"base": "yamnet", "max_hz": 10**400}}, "front_end: max_hz: found 1000"),
        ({"excerpt_shape": 50}, r"excerpt_shape: found 50, expected \[frames, 64\], as the front"),
        ({"excerpt_shape": [0, 64]}, r"excerpt_shape: found \[0, 64\], expected \[frames, 64\]"),
        ({"excerpt_shape": [50, 80]}, r"excerpt_shape: found \[50, 80\], expected \[frames, 64\]"),
        ({"excerpt_shape": [50.0, 64]}, r"excerpt_shape: found \[50.0, 64\], expected"),
        ({"excerpt_shape": [True, 64]}, r"excerpt_shape: found \[True, 64\], expected"),
        ({"outputs": "logit"}, "outputs: found 'logit', expected one of 'logits', 'probab"),
        ({"outputs": ["logits"]}, r"outputs: found \['logits'\], expected one of"),
        ({"output_names": "guitar"}, "output_names: found 'guitar', expected a list of names"),
        ({"output_names": ["a", ""]}, r"output_names: found \['a', ''\], expected a list of names"),
        ({"output_names": ["a", "b", "a"]}, "output_names: holds 'a' 2 times"),
        ({"activation": "relu"}, "activation: found 'relu', expected one of 'sigmoid', 'softmax'"),
        (
            {"activation": "sigmoid", "outputs": "excerpts"},
            "activation: found 'sigmoid', expected none, since outputs='excerpts'",
        ),
        ({"data": "two\nlines"}, r"data: found 'two\\nlines', expected one line of text"),
        ({"licence": 3}, "licence: found 3, expected one line of text"),
        ({"checksum": "12ab"}, "checksum: found '12ab', expected 64 hexadecimal digits"),
        ({"format": 2}, "format: found 2, expected 1"),
        (
            {"license": "MIT"},
            "'license': is not a field of a model card; expected one of 'front_end'",
        ),
        ({"x" * 500: 1}, r"'x+\.\.\.: is not a field of a model card"),
    ],
)
def test_what_is_wrong_is_said_by_its_field(model, changes, message):
    card = {name: value for name, value in {**BY_HAND, **changes}.items() if value is not None}
    path = model_card_path(model)
    path.write_text(json.dumps(card))
    with pytest.raises(InputError, match=message) as refusal:
        read_model_card(model)
    assert str(refusal.value).startswith(f"{path}: ")
    assert str(refusal.value).count(str(path)) == 1 and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[]", r"found \[\], expected a JSON object, a model card"),
        (b" " * (1 << 20) + b"{}", "is larger than 1048576 bytes"),
    ],
)
def test_files_that_are_no_cards_are_refused(model, content, message):
    model_card_path(model).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_model_card(model)


@pytest.mark.parametrize("name", ["demo_svdnet", "demo_generator"])
def test_the_models_that_ship_have_cards(name):
    """Reading compares the checksum with the file's."""
    card = read_model_card(CHECKPOINTS / f"{name}.keras")
    assert card.checksum in (CHECKPOINTS / "README.md").read_text("utf-8")
    assert card.front_end == get_front_end("ismir2015")
    assert card.outputs == ("logits" if name == "demo_svdnet" else "excerpts")
    assert card.output_names == (("singing",) if name == "demo_svdnet" else ())
    assert card.data and card.training and card.licence == "MIT"


def test_python_gets_the_same_checks():
    with pytest.raises(InputError, match=r"^outputs: found 'logit', expected one of"):
        dataclasses.replace(CARD, outputs="logit")
