"""Settings: frozen dataclasses that explain and check themselves, and become flags of a command.

A library declares its settings once, with help text, unit and bounds::

    @dataclasses.dataclass(frozen=True)
    class TrainingSettings(Settings):
        batch_size: int = setting(16, "Number of clips per batch.", minimum=1)

A command turns them into absl flags with `define_flags` and reads them back with
`settings_from_flags`; a Python user builds the dataclass directly. Both get the same checks.
"""

import dataclasses
import math
import types
import typing
from typing import Any

from svdam.core.files import expand_home, shipped
from svdam.core.flagfiles import quoted
from svdam.core.validation import InputError, quoted_list

LARGEST_INTEGER = 2**31 - 1
"""Numbers beyond mean nothing here, and overflow elsewhere."""

OUTPUT_KINDS = ("auto", "logits", "multilabel_logits", "probabilities")
"""What the output of a classifier can be; see `output_setting`."""


def unsafe_model_setting() -> Any:
    """Setting of all commands that load models: consent to run code from a model file."""
    return setting(
        False,
        "Also load models with Lambda layers or other code. DANGER: as soon as it is loaded, such "
        "a file can do anything on this machine that you can; only load files that you made.",
        identity=False,
        written=False,
    )


def import_module_setting() -> Any:
    """Setting of all commands that load models: the module with custom layers."""
    return setting(
        None,
        "Python module to import before models are loaded, e.g. mylayers, which registers your "
        "own layers with keras.saving.register_keras_serializable. The module may be in the "
        "current directory.",
    )


def output_setting() -> Any:
    """Setting of all commands that show probabilities: the kind of output of the classifier."""
    return setting(
        "auto",
        "Kind of output of the classifier: logits (of a sigmoid or, for several outputs, of a "
        "softmax), multilabel_logits (of one sigmoid each), probabilities, or auto to infer it "
        "from the last layers of the classifier.",
        choices=OUTPUT_KINDS,
    )


def setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: tuple | None = None,
    path: bool = False,
    identity: bool = True,
    written: bool = True,
) -> Any:
    """A field of a `Settings` class.

    Args:
        default: Default value; tuples for lists.
        help: One sentence for ``--help``, with the unit.
        minimum: Smallest allowed number (of each element, for tuples).
        maximum: Largest allowed number.
        above: Numbers must be greater than this.
        choices: Allowed values.
        path: Whether it names a file or folder (each element, for tuples): ``~`` is expanded.
        identity: Whether a run with another value is another run. False for what does not change
            the result, as the number of workers, and for what may grow, as a number of steps.
        written: Whether it goes into a run's flagfile. False for consent, which is given again each
            time: a flagfile may come from somebody else.
    """
    metadata = dict(
        help=help, minimum=minimum, maximum=maximum, above=above, choices=choices, path=path,
        identity=identity, written=written,
    )  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all settings. Checks types and bounds when built.

    Raises:
        InputError: Naming the setting, what was found and what is allowed.
    """

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            kind, optional = _value_type(hints[field.name])
            value = getattr(self, field.name)
            if optional and (value is None or (value == "" and kind is str)):
                object.__setattr__(self, field.name, None)  # Empty: left out.
                continue
            object.__setattr__(self, field.name, _checked(field, kind, value))
        self.validate()

    def validate(self) -> None:
        """Checks what involves several settings; subclasses override it."""

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-ready values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def identity(self) -> dict[str, Any]:
        """The settings in which two runs of the same folder must agree."""
        values = self.to_dict()
        fields = dataclasses.fields(self)
        return {field.name: values[field.name] for field in fields if field.metadata["identity"]}

    def to_flagfile(self) -> str:
        """The settings as the text of a flagfile; settings that are None are left out."""
        lines = []
        values = self.to_dict()
        for name in (f.name for f in dataclasses.fields(self) if f.metadata["written"]):
            value = values[name]
            if value is not None:
                text = ",".join(map(str, value)) if isinstance(value, list) else value
                text = str(text).lower() if isinstance(value, bool) else str(text)
                lines.append(f"--{name}={quoted(text)}\n")
        return "".join(lines)


def _value_type(hint: Any) -> tuple[Any, bool]:
    """Splits ``int | None`` into (int, True)."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return kinds[0], len(kinds) < len(typing.get_args(hint))
    return hint, False


def _checked(field: dataclasses.Field, kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str) or not isinstance(value, (tuple, list)):
            raise InputError(f"--{field.name}: found {value!r}, expected a list")
        element = typing.get_args(kind)[0]
        return tuple(_checked(field, element, item) for item in value)
    limits = field.metadata
    converted = _converted(kind, value)
    if converted is None:
        found = repr(value) if len(repr(value)) <= 100 else f"{repr(value)[:100]}..."
        raise InputError(f"--{field.name}: found {found}, expected {_kind_name(kind)}")
    if limits.get("choices") and converted not in limits["choices"]:
        expected = quoted_list(limits["choices"])
        raise InputError(f"--{field.name}: found {value!r}, expected one of {expected}")
    if kind is int and converted > LARGEST_INTEGER:
        raise InputError(f"--{field.name}: found {value!r}, expected at most {LARGEST_INTEGER}")
    for bound, outside, words in (
        ("minimum", lambda v, b: v < b, "at least"),
        ("maximum", lambda v, b: v > b, "at most"),
        ("above", lambda v, b: v <= b, "more than"),
    ):
        if limits.get(bound) is not None and outside(converted, limits[bound]):
            raise InputError(f"--{field.name}: found {value!r}, expected {words} {limits[bound]}")
    if limits["path"]:
        path = expand_home(converted, f"--{field.name}")
        return path if field.name == "output" else shipped(path)
    return converted


def _converted(kind: type, value: Any) -> Any:
    """``value`` as a ``kind``, or None if it is not one."""
    if kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else None
    if kind is str:
        return value if isinstance(value, str) and _is_line(value) else None
    try:
        number = float(value)
        if not math.isfinite(number) or (kind is int and number != int(number)):
            return None
        return int(value) if kind is int else number
    except (TypeError, ValueError, OverflowError):
        return None


def _is_line(text: str) -> bool:
    """Whether a text can stand in a flagfile and in JSON: not empty, no control characters."""
    try:
        text.encode()
    except UnicodeEncodeError:  # A file name whose bytes are no UTF-8.
        return False
    return bool(text) and not any(
        ord(character) < 32 or ord(character) == 127 for character in text
    )


def _kind_name(kind: type) -> str:
    names: dict[type, str] = {int: "an integer", float: "a finite number", bool: "true or false"}
    return names.get(kind, "a line of text in UTF-8")


def define_flags(settings_class: type[Settings]) -> None:
    """Defines one absl flag for each setting. For commands only: libraries never call it."""
    from absl import flags

    flags.disclaim_key_flags()  # They are the command's: its --help shows them.
    hints = typing.get_type_hints(settings_class)
    for field in dataclasses.fields(settings_class):
        kind, _ = _value_type(hints[field.name])
        help_text, initial = field.metadata["help"], typing.cast(Any, field.default)
        if typing.get_origin(kind) is tuple:
            texts = [str(item) for item in initial]
            flags.DEFINE_list(field.name, texts, f"{help_text} Separated by commas.")
        elif kind is bool:
            flags.DEFINE_boolean(field.name, initial, help_text)
        elif field.metadata["choices"] and kind is str:
            flags.DEFINE_enum(field.name, initial, list(field.metadata["choices"]), help_text)
        else:
            define: dict[Any, Any] = {
                int: flags.DEFINE_integer,
                float: flags.DEFINE_float,
                str: flags.DEFINE_string,
            }
            define[kind](field.name, initial, help_text)


def settings_from_flags(settings_class: type[Settings]) -> Any:
    """Builds ``settings_class`` from the parsed flags that `define_flags` defined.

    Raises:
        InputError: If a value is out of bounds, naming the flag.
    """
    from absl import flags

    return settings_class(
        **{
            field.name: flags.FLAGS[field.name].value
            for field in dataclasses.fields(settings_class)
        }
    )
