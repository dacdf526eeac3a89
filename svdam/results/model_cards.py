"""Model cards: what must be known about a model to use it, as JSON next to its file.

The card of ``tagger.keras`` is ``tagger.json``. Trainings and converters write it; for a model from
elsewhere it is written by hand::

    {
      "format": 1,
      "front_end": "yamnet",
      "excerpt_shape": [96, 64],
      "outputs": "logits",
      "output_names": ["dog", "siren"]
    }

``front_end`` is the name of a front end, or an object with the fields of a front end's JSON file
(`svdam.audio.front_ends`); ``excerpt_shape`` is frames and bands, by default those of the front
end. The other fields are those of `ModelCard`.
"""

import collections
import dataclasses
import os
from pathlib import Path
from typing import Any

from svdam.audio.front_ends import FRONT_ENDS, front_end_from_fields
from svdam.core.files import checksum, read_json, write_json
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError, one_line, quoted_list

FORMAT = 1
OUTPUTS = ("logits", "probabilities", "scores", "excerpts")
ACTIVATIONS = ("sigmoid", "softmax")

_REQUIRED = ("format", "front_end", "outputs")
_SHAPE_FIELDS = ("format", "front_end", "excerpt_shape")
_MAX_BYTES = 1 << 20
_MAX_FRAMES = 1 << 20
_SHOWN = 80


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What is known about a model.

    Attributes:
        front_end: The front end of the excerpts that the model takes or, if it is a generator,
            makes. Its ``excerpt_frames`` are those of the model; one whose time axis is open was
            trained with this number.
        outputs: What the model puts out: ``logits``, ``probabilities``, other ``scores``, e.g. of a
            critic or a regression, or ``excerpts``, as a generator does.
        output_names: Names of the outputs in order, e.g. the tags; empty if they have none.
        activation: What makes probabilities of the logits, or has made them: ``sigmoid``, if the
            outputs are independent, or ``softmax``, if they exclude each other.
        data: What the model was trained on; one line, as are those that follow.
        training: How, and how well it does.
        licence: Licence of the weights, e.g. ``MIT``.
        source: Where they come from: a paper, a package, an address.
        checksum: SHA-256 of the model's file, 64 hexadecimal digits.

    Raises:
        InputError: If a field makes no sense. The message names it.
    """

    front_end: FrontEnd
    outputs: str
    output_names: tuple[str, ...] = ()
    activation: str | None = None
    data: str | None = None
    training: str | None = None
    licence: str | None = None
    source: str | None = None
    checksum: str | None = None

    def __post_init__(self):
        _require(self.outputs in OUTPUTS, "outputs", self.outputs, f"one of {quoted_list(OUTPUTS)}")
        names = self.output_names
        is_list = isinstance(names, list | tuple) and all(map(_is_line, names))
        _require(is_list, "output_names", names, "a list of names, each a line of text")
        object.__setattr__(self, "output_names", tuple(names))
        for name, count in collections.Counter(names).most_common(1):
            if count > 1:
                raise InputError(f"output_names: holds {_shown(name)} {count} times")
        if self.activation is not None:
            known = self.activation in ACTIVATIONS
            _require(known, "activation", self.activation, f"one of {quoted_list(ACTIVATIONS)}")
            sound = self.outputs in ("logits", "probabilities")
            _require(sound, "activation", self.activation, f"none, since outputs={self.outputs!r}")
        for name in ("data", "training", "licence", "source"):
            value = getattr(self, name)
            _require(value is None or _is_line(value), name, value, "one line of text")
        _require(_is_checksum(self.checksum), "checksum", self.checksum, "64 hexadecimal digits")


def model_card_path(path: str | os.PathLike) -> Path:
    """Where the card of a model lies: ``NAME.json`` for ``NAME.keras``."""
    return Path(os.path.splitext(path)[0] + ".json")


def read_model_card(path: str | os.PathLike) -> ModelCard | None:
    """Reads the card of a model.

    Args:
        path: The model's file, or its card.

    Returns:
        The card, or None if the model has none.

    Raises:
        InputError: If the card that is named does not exist, or if a card is damaged, has a field
            that is missing, unknown or senseless, or the checksum of another file. The message
            names the file and the field.
    """
    place = model_card_path(path)
    if not place.exists() and place != Path(path):
        return None
    if not place.is_file():
        raise InputError(f"{place}: does not exist, expected a model card")
    if place.stat().st_size > _MAX_BYTES:
        raise InputError(f"{place}: is larger than {_MAX_BYTES} bytes, expected a model card")
    try:
        card = _parsed(read_json(place))
    except InputError as error:
        message = str(error).removeprefix(f"{place}: ")
        raise InputError(f"{place}: {message}") from error
    _require_same_model(card, place, Path(path))
    return card


def write_model_card(path: str | os.PathLike, card: ModelCard) -> Path:
    """Writes the card of a model, with the checksum of its file.

    Args:
        path: The model's file, which has been written before.
        card: What is known about it; its checksum is replaced.

    Returns:
        The card's path.
    """
    facts = {field.name: getattr(card, field.name) for field in dataclasses.fields(card)}
    facts |= {"front_end": _front_end_fact(card.front_end), "checksum": checksum(path)}
    shape = [card.front_end.excerpt_frames, card.front_end.num_mels]
    known = {name: value for name, value in facts.items() if value not in (None, ())}
    first = {"format": FORMAT, "front_end": known.pop("front_end"), "excerpt_shape": shape}
    write_json(model_card_path(path), {**first, **known})
    return model_card_path(path)


def _parsed(found: Any) -> ModelCard:
    if not isinstance(found, dict):
        raise InputError(f"found {_shown(found)}, expected a JSON object, a model card")
    for name in _REQUIRED:
        if name not in found:
            raise InputError(f"{name}: is missing; a model card needs {quoted_list(_REQUIRED)}")
    _require(found["format"] == FORMAT, "format", found["format"], str(FORMAT))
    known = [field.name for field in dataclasses.fields(ModelCard)]
    known[1:1] = ["excerpt_shape"]
    for name in found:
        if name not in known and name != "format":
            raise InputError(
                f"{_shown(name)}: is not a field of a model card; expected one of "
                f"{quoted_list(known)}"
            )
    facts = {name: value for name, value in found.items() if name not in _SHAPE_FIELDS}
    return ModelCard(front_end=_front_end(found), **facts)


def _front_end(found: dict[str, Any]) -> FrontEnd:
    given = found["front_end"]
    if isinstance(given, dict):
        try:
            front_end = front_end_from_fields(given)
        except InputError as error:
            raise InputError(f"front_end: {one_line(error)}") from error
    else:
        known = isinstance(given, str) and given in FRONT_ENDS
        names = quoted_list(list(FRONT_ENDS))
        _require(known, "front_end", given, f"one of {names}, or an object with its fields")
        front_end = FRONT_ENDS[given]
    if "excerpt_shape" not in found:
        return front_end
    shape, bands = found["excerpt_shape"], front_end.num_mels
    sound = isinstance(shape, list) and [type(size) for size in shape] == [int, int]
    sound = sound and 1 <= shape[0] <= _MAX_FRAMES and shape[1] == bands
    _require(
        sound, "excerpt_shape", shape, f"[frames, {bands}], as the front end has {bands} bands"
    )
    return dataclasses.replace(front_end, excerpt_frames=shape[0])


def _front_end_fact(front_end: FrontEnd) -> str | dict[str, Any]:
    """A front end's name, if it has one but for its frames, or all its fields."""
    for name, known in FRONT_ENDS.items():
        if front_end.is_like(known):
            return name
    return dataclasses.asdict(front_end)


def _require_same_model(card: ModelCard, place: Path, path: Path) -> None:
    model = place.with_suffix(".keras") if path == place else path
    if card.checksum is None or not model.is_file():
        return
    if checksum(model) != card.checksum.lower():
        raise InputError(
            f"{place}: checksum: is not that of {model.name}, so the card is of another model; "
            "write the right one, or remove the field"
        )


def _require(sound: bool, field: str, value: Any, expected: str) -> None:
    if not sound:
        raise InputError(f"{_cut(field)}: found {_shown(value)}, expected {expected}")


def _shown(value: Any) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_line(value: Any) -> bool:
    """Whether it is a text that can be shown in a line."""
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def _is_checksum(value: Any) -> bool:
    if value is None:
        return True
    digits = set("0123456789abcdefABCDEF")
    return isinstance(value, str) and len(value) == 64 and digits.issuperset(value)
