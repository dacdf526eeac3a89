"""Zip archives from others (.npz, .keras), read without trusting what they say about themselves.

Sizes are added up before anything is unpacked, each member is read to its end, which compares its
checksum, and nothing is ever written to a place that an archive names.
"""

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator

from svdam.core.validation import InputError, one_line, quoted_list

_MAX_MEMBERS = 100_000
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # Others take memory as the archive says.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


@contextlib.contextmanager
def opened_archive(path: str | os.PathLike, kind: str) -> Iterator[zipfile.ZipFile]:
    """Opens an archive; what goes wrong inside the block is told as damage of the file.

    Args:
        path: The archive.
        kind: What it should be, for messages, as ``.npz archive``.

    Raises:
        InputError: If the file is missing, no archive, cut short or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, expected a file ({kind})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)})") from error
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OverflowError) as error:
        raise InputError(
            f"{path}: is not a complete {kind} ({one_line(error)}); it may be truncated"
        ) from error


def checked_members(
    archive: zipfile.ZipFile, path: str | os.PathLike, max_bytes: int
) -> dict[str, zipfile.ZipInfo]:
    """The members by name, none of them read yet.

    Raises:
        InputError: If there are too many, two of one name, or they unpack to more than
            ``max_bytes`` together.
    """
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise InputError(f"{path}: holds {len(infos)} parts, expected at most {_MAX_MEMBERS}")
    members = {info.filename: info for info in infos}
    if len(members) < len(infos):
        raise InputError(f"{path}: holds two parts of the same name")
    # A damaged directory can hide parts: in a comment, or before the first part.
    start = min((info.header_offset for info in infos), default=archive.start_dir)
    if start or archive.comment or any(info.comment for info in infos):
        raise InputError(f"{path}: is damaged: its directory leaves parts of it out")
    strange = [name for name, info in members.items() if info.compress_type not in _METHODS]
    if strange:
        raise InputError(f"{path}: {quoted_list(strange, 3)} are compressed in an unusual way")
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise InputError(
            f"{path}: would take {total / 1e6:.0f} MB of memory, expected at most "
            f"{max_bytes / 1e6:.0f} MB"
        )
    return members


@contextlib.contextmanager
def damage_named(place: str) -> Iterator[None]:
    """Turns what zipfile raises over a damaged member into one line that names ``place``."""
    try:
        yield
    except _DAMAGE as error:
        raise InputError(f"{place} is damaged ({one_line(error)})") from error


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str) -> bytes:
    """The whole content of a member, whose checksum holds.

    Raises:
        InputError: If it is damaged.
    """
    with damage_named(place), archive.open(info) as stream:
        content = stream.read(info.file_size)
        # Reading past the end makes zipfile compare the checksum, also of an empty member.
        if len(content) != info.file_size or stream.read(1):
            raise InputError(f"{place} is truncated")
    return content
