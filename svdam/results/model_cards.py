"""Model cards: what must be known about a model to use it, as JSON next to its file.

The card of ``tagger.keras`` is ``tagger.json``. Trainings and converters write it; for a model from
elsewhere it is written by hand::

    {
      "format": 1,
      "front_end": "musicnn",
      "excerpt_frames": 187,
      "num_mels": 96,
      "outputs": "logits",
      "output_names": ["dog", "siren"]
    }

`ModelCard` lists all fields. Everything but the outputs' names is checked when a card is built; how
many outputs there are only the model knows.
"""

import collections
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from svdam.core.files import checksum, read_json, write_json
from svdam.core.validation import InputError, is_number, quoted_list

FORMAT = 1
OUTPUTS = ("logits", "probabilities", "scores", "excerpts")
ACTIVATIONS = ("sigmoid", "softmax")

_MAX_BYTES = 1 << 20
_MAX_SIZE = 100_000
_SHOWN = 80


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What is known about a model; the fields of the JSON file, where ``format`` precedes them.

    Attributes:
        front_end: The front end of the excerpts that the model takes or, for a generator, makes: a
            name, e.g. ``musicnn``, or an object with the fields of a front end's JSON file.
        excerpt_frames: Frames of an excerpt. A model whose time axis is open was trained with so
            many.
        num_mels: Bands of an excerpt.
        outputs: What the model puts out: ``logits``, ``probabilities``, other ``scores``, e.g. of a
            critic or a regression, or ``excerpts``, as a generator does.
        output_names: Names of the outputs in order, e.g. the tags. Optional, as all that follow.
        activation: What makes probabilities of the logits, or has made them: ``sigmoid``, if the
            outputs are independent, or ``softmax``, if they exclude each other.
        data: What the model was trained on.
        training: How, and how well it does.
        licence: Licence of the weights, e.g. ``MIT``.
        source: Where they come from: a paper, a package, an address.
        checksum: SHA-256 of the model's file, 64 hexadecimal digits.

    Raises:
        InputError: If a field makes no sense. The message names it.
    """

    front_end: str | Mapping[str, Any]
    excerpt_frames: int
    num_mels: int
    outputs: str
    output_names: tuple[str, ...] = ()
    activation: str | None = None
    data: str | None = None
    training: str | None = None
    licence: str | None = None
    source: str | None = None
    checksum: str | None = None

    def __post_init__(self):
        if isinstance(self.front_end, Mapping):
            for name, value in self.front_end.items():
                plain = isinstance(value, bool) or is_number(value) or _is_line(value)
                _require(plain, f"front_end: {name}", value, "a number, true, false or a text")
        else:
            _require(_is_line(self.front_end), "front_end", self.front_end, "a name or an object")
        for name in ("excerpt_frames", "num_mels"):
            value = getattr(self, name)
            sound = type(value) is int and 1 <= value <= _MAX_SIZE
            _require(sound, name, value, f"an integer from 1 to {_MAX_SIZE}")
        _require(self.outputs in OUTPUTS, "outputs", self.outputs, f"one of {quoted_list(OUTPUTS)}")
        self._check_output_names()
        if self.activation is not None:
            _require(
                self.activation in ACTIVATIONS,
                "activation",
                self.activation,
                f"one of {quoted_list(ACTIVATIONS)}, or nothing",
            )
            sound = self.outputs in ("logits", "probabilities")
            _require(sound, "activation", self.activation, f"none, since outputs={self.outputs!r}")
        for name in ("data", "training", "licence", "source"):
            value = getattr(self, name)
            _require(value is None or _is_line(value), name, value, "one line of text")
        _require(_is_checksum(self.checksum), "checksum", self.checksum, "64 hexadecimal digits")

    def _check_output_names(self) -> None:
        names = self.output_names
        is_list = isinstance(names, list | tuple) and all(map(_is_line, names))
        _require(is_list, "output_names", names, "a list of names, each a line of text")
        object.__setattr__(self, "output_names", tuple(names))
        for name, count in collections.Counter(names).most_common(1):
            if count > 1:
                raise InputError(f"output_names: holds {_shown(name)} {count} times")


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
        card = ModelCard(**_fields(read_json(place)))
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
    values = {**dataclasses.asdict(card), "checksum": checksum(path)}
    known = {name: value for name, value in values.items() if value not in (None, ())}
    write_json(model_card_path(path), {"format": FORMAT, **known})
    return model_card_path(path)


def _fields(found: Any) -> dict[str, Any]:
    """The fields of a card that was read, without its format."""
    if not isinstance(found, dict):
        raise InputError(f"found {_shown(found)}, expected a JSON object, a model card")
    known = {field.name: field for field in dataclasses.fields(ModelCard)}
    required = ("format", *(n for n, f in known.items() if f.default is dataclasses.MISSING))
    for name in required:
        if name not in found:
            raise InputError(f"{name}: is missing; a model card needs {quoted_list(required)}")
    _require(found["format"] == FORMAT, "format", found["format"], str(FORMAT))
    for name in found:
        if name not in known and name != "format":
            raise InputError(
                f"{_shown(name)}: is no field of a model card; expected one of "
                f"{quoted_list(list(known))}"
            )
    return {name: value for name, value in found.items() if name != "format"}


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
