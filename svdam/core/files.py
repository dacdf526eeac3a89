"""Reading and writing files so that nothing half-written is ever taken for whole."""

import codecs
import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from svdam.core.validation import InputError, one_line


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike, sync: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; renames it to ``path`` if the block succeeds.

    The temporary name keeps the suffix, because some writers choose the format by it. With ``sync``
    the file is on the disk before it gets its name, so that a power failure leaves nothing
    half-written either; without, as is enough for thousands of small files that are made again
    unless the run was marked as complete, nothing waits for the disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=f".partial{path.suffix}"
    )
    os.close(handle)
    try:
        yield Path(temporary)
        if sync:
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Opens ``path`` for writing; it appears, whole, only if the block succeeds."""
    options: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with atomic_path(path) as temporary, open(temporary, mode, **options) as stream:
        yield stream
        stream.flush()


def is_partial(name: str) -> bool:
    """Whether a file has the name of one that `atomic_path` did not come to finish."""
    return name.startswith(".") and ".partial" in name


def remove_partial_files(folder: str | os.PathLike[str]) -> None:
    """Removes what killed processes left half-written below a folder that nobody writes now."""
    for place, _, names in os.walk(os.fspath(folder)):
        for name in (name for name in names if is_partial(name)):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(place, name))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes ``value`` as JSON, atomically, indented and with a final newline."""
    with atomic_write(path) as stream:
        json.dump(value, stream, indent=2, ensure_ascii=False, allow_nan=False)
        stream.write("\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads JSON.

    Raises:
        InputError: If the file is missing, unreadable or no JSON.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({one_line(error)})") from error


def require_inside(path: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Refuses a file of a folder that is a symbolic link to somewhere else.

    Folders come from others; reading or writing through such a link would reach what its author
    chose, not what the user named.

    Raises:
        InputError: If ``path`` leads out of ``folder``.
    """
    if not os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), "")):
        raise InputError(
            f"{path}: points outside its folder, to {os.path.realpath(path)}; replace the "
            "symbolic link by the file itself"
        )


def expand_home(path: str, where: str) -> str:
    """A path with ``~`` and ``~user`` expanded, as a shell does at the start of a word only.

    Args:
        path: As the user wrote it.
        where: The flag or variable that holds it, for messages.

    Raises:
        InputError: If there is no such home folder, as in a container without ``HOME``: the path
            would otherwise name a folder ``~``.
    """
    if not path.startswith("~"):
        return path
    home, slash, rest = path.partition("/")
    found = os.path.expanduser(home)
    # With an empty HOME, expanduser would take the root folder.
    if not os.path.isabs(found) or (home == "~" and os.environ.get("HOME") == ""):
        raise InputError(
            f"{where}: found {path!r}, but there is no home folder {home!r}; give the full path, "
            f"or ./{path} if that is its name"
        )
    return os.path.join(found, rest) if slash else found


def shipped(path: str) -> str:
    """A flagfile or model that comes with svdam, where the current folder has none of that name.

    Paths below ``flags/`` and ``checkpoints/`` can so be written in the same way everywhere: an
    installed package holds both folders, and in a checkout they lie next to the package.
    """
    if path.split("/")[0] in ("flags", "checkpoints") and not os.path.exists(path):
        package = Path(__file__).parents[1]
        for root in (package, package.parent):
            if (root / path).exists():
                return str(root / path)
    return path


def decoded_text(content: bytes) -> str:
    """Text in UTF-8, with or without a byte-order mark, or in UTF-16 with one.

    Raises:
        UnicodeDecodeError: If it is neither.
    """
    is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf_16 else "utf-8-sig")


def checksum(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
