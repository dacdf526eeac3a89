"""Flagfiles: one flag per line, as people write them and as other systems save them.

A line is ``--name=value``, blank, or a comment that starts with ``#`` or ``//``. A byte-order mark,
UTF-16 with one, Windows line ends, and quotes around a value or a whole line are accepted; a file
may name others by ``--flagfile=``. Anything else is refused with file and line, because it would
silently become part of a value.
"""

import contextlib
import re
from collections.abc import Sequence

from svdam.core.files import decoded_text, expand_home, shipped
from svdam.core.validation import InputError

_FLAG = re.compile(r"(--?[A-Za-z]\w*)(?:=(.*))?")
_COMMENT = re.compile(r"\s(#|//)")
_NEXT_FLAG = re.compile(r"\s--[A-Za-z]")
_QUOTES = "\"'\u201c\u201d\u201e\u2018\u2019"  # Straight, and as word processors set them.


def with_flagfiles(arguments: Sequence[str]) -> list[str]:
    """Replaces every ``--flagfile=FILE`` of a command line by the flags of that file, in place.

    Raises:
        InputError: Naming the file, and the line that cannot be read.
    """
    return _expanded(list(arguments), ())


def quoted(value: str) -> str:
    """A value as a flagfile must hold it for `with_flagfiles` to give it back."""
    for form in (value, f'"{value}"', f"'{value}'"):
        with contextlib.suppress(InputError):
            if _flag(f"--x={form}", "") == f"--x={value}":
                return form
    return value


def _expanded(arguments: list[str], opened: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":  # No flags follow.
            return [*found, argument, *arguments]
        name, sign, path = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            found.append(argument)
            continue
        if not sign and arguments:
            path = arguments.pop(0)
        if not path:
            raise InputError("--flagfile: is not given, expected a file with one flag per line")
        path = shipped(expand_home(path, "--flagfile"))
        if path in opened:
            raise InputError(f"--flagfile: {path} includes itself")
        found += _expanded(_flags(path), (*opened, path))
    return found


def _flags(path: str) -> list[str]:
    """The flags of a file, as on a command line."""
    try:
        with open(path, "rb") as stream:
            text = decoded_text(stream.read())
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise InputError(f"--flagfile: {path}: {reason}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--flagfile: {path}: is not UTF-8 text: {error.reason}") from error
    lines = re.split(r"\r\n|\r|\n", text)
    return [
        _flag(line, f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith(("#", "//"))
    ]


def _flag(line: str, place: str) -> str:
    parts = _FLAG.fullmatch(_unquoted(line.strip()))
    if parts is None:
        raise InputError(
            f"{place}: found {line.strip()[:80]!r}, expected one flag in the form --name=value"
        )
    name, value = parts.groups()
    if not value:
        return parts[0]
    plain = _unquoted(value)
    if plain == value:
        way_out = f'if this is the value, write {name}="{value}"'
        if _COMMENT.search(value):
            raise InputError(f"{place}: a comment must be on a separate line; {way_out}")
        if _NEXT_FLAG.search(value):
            raise InputError(f"{place}: found a second flag; write one per line; {way_out}")
        if value[0] in _QUOTES and value.count(value[0]) % 2:
            raise InputError(f"{place}: found {value[:80]!r}, whose quotes do not match; {way_out}")
        if value.endswith("\\"):
            raise InputError(f"{place}: a flag cannot continue on the next line; {way_out}")
    return f"{name}={plain}"


def _unquoted(text: str) -> str:
    """A text without the pair of straight quotes that encloses it, if there is one."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text.count(text[0]) == 2:
        return text[1:-1]
    return text
