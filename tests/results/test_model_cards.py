"""Model cards come back as they were written, and what is wrong with one is said by its field."""

import dataclasses
import hashlib
import json

import pytest

from svdam.core.validation import InputError
from svdam.results.model_cards import ModelCard, model_card_path, read_model_card, write_model_card

CARD = ModelCard(
    front_end="musicnn",
    excerpt_frames=187,
    num_mels=96,
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
    "front_end": {"base": "yamnet", "num_mels": 37},
    "excerpt_frames": 50,
    "num_mels": 37,
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
    assert card == ModelCard({"base": "yamnet", "num_mels": 37}, 50, 37, "probabilities")
    write_model_card(model, card)
    written = json.loads(model_card_path(model).read_text())
    assert written == {**BY_HAND, "checksum": hashlib.sha256(b"weights").hexdigest()}


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
        ({"front_end": 16000}, "front_end: found 16000, expected a name or an object"),
        ({"front_end": ""}, "front_end: found '', expected a name or an object"),
        ({"front_end": {"hop": []}}, r"front_end: hop: found \[\], expected a number, true, false"),
        ({"front_end": {"hop": 10**400}}, r"front_end: hop: found 1000.*\.\.\., expected a number"),
        ({"excerpt_frames": 0}, "excerpt_frames: found 0, expected an integer from 1 to 100000"),
        ({"excerpt_frames": 50.0}, "excerpt_frames: found 50.0, expected an integer"),
        ({"num_mels": True}, "num_mels: found True, expected an integer"),
        ({"num_mels": "96"}, "num_mels: found '96', expected an integer"),
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
        ({"license": "MIT"}, "'license': is no field of a model card; expected one of 'front_end'"),
        ({"x" * 500: 1}, r"'x+\.\.\.: is no field of a model card"),
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


def test_python_gets_the_same_checks():
    with pytest.raises(InputError, match=r"^num_mels: found -1, expected an integer from 1"):
        dataclasses.replace(CARD, num_mels=-1)
