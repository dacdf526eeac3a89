"""What a data set hands to `prepare_data`: a list of songs, and those it could not offer."""

import dataclasses
import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from svdam.core import storage
from svdam.core.files import decoded_text
from svdam.core.validation import InputError, is_number, quoted_list
from svdam.datasets.labels import SING, Target

SPLITS = ("train", "valid", "test")
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".caf", ".w64", ".rf64"),
)
# Of sound that libsndfile does not read: looked for only to say so.
FOREIGN_SUFFIXES = (
    *(".m4a", ".m4b", ".mp4", ".aac", ".ac3", ".wma", ".ape", ".wv", ".mpc", ".tta", ".mka"),
    *(".webm", ".amr", ".ra", ".dsf", ".dff"),
)


class Mix(NamedTuple):
    """How a song is mixed from several files while it is prepared; see `svdam.data.mixing`.

    Attributes:
        others: The files that are mixed with the song's own, relative to the data set's folder.
        level_db: Level of the song's own file, the voice, over the others, its backing, in dB; None
            for a song without a voice, all of whose files are backing.
        loudness_db: RMS of the song in dB relative to full scale.
        position: Which part of the longer of voice and backing is taken, from 0 (its start) to 1
            (its end).
    """

    others: tuple[str, ...]
    level_db: float | None
    loudness_db: float
    position: float = 0.0

    @classmethod
    def from_json(cls, values: list[Any]) -> "Mix":
        """Takes back what ``json.dumps`` made of a mix.

        Raises:
            ValueError: If it is not one.
        """
        others, level_db, *rest = values
        if not all(isinstance(other, str) for other in others) or not (
            level_db is None or is_number(level_db)
        ):
            raise ValueError(f"mix {values!r}")
        loudness_db, position = map(float, rest)
        return cls(tuple(others), level_db, loudness_db, position)


@dataclasses.dataclass(frozen=True)
class SourceSong:
    """A song as its data set lists it.

    Attributes:
        id: Name of the song in the records: its audio file, relative to the data set's audio.
        split: ``train``, ``valid`` or ``test``.
        audio: Path or URL of the audio file.
        source: Audio file relative to the data set's folder, for the records.
        labels: Path or URL of the label file; None for songs without labels.
        mix: How the song is mixed from its audio file and others; None if it is not.
        others: Paths or URLs of the other files.
        targets: What the labels are read for.
    """

    id: str
    split: str
    audio: str
    source: str
    labels: str | None = None
    mix: Mix | None = None
    others: tuple[str, ...] = ()
    targets: tuple[Target, ...] = (SING,)


@dataclasses.dataclass(frozen=True)
class SkippedSong:
    """A song that is listed but will not be in the records, and why."""

    id: str
    split: str
    reason: str


@dataclasses.dataclass(frozen=True)
class SourceListing:
    """The songs of a data set.

    Attributes:
        songs: Those that can be prepared.
        skipped: Those that are listed but cannot be offered.
        warnings: What else the user should know of the data set, in one line each.
    """

    songs: list[SourceSong]
    skipped: list[SkippedSong] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def with_targets(self, targets: tuple[Target, ...]) -> "SourceListing":
        """The same songs, whose labels are read for ``targets``."""
        songs = [dataclasses.replace(song, targets=targets) for song in self.songs]
        return dataclasses.replace(self, songs=songs)


def plain_text(name: str) -> str:
    """A file name as valid Unicode: bytes that are none are written as ``\\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _named_in_bytes(text: str) -> str:
    """The file name that `plain_text` made ``text`` from."""
    parts = re.split(r"\\x([89a-f][0-9a-f])", text)
    parts[1::2] = [os.fsdecode(bytes.fromhex(digits)) for digits in parts[1::2]]
    return "".join(parts)


def leads_out(name: str) -> bool:
    """Whether a relative file name is none, or names a place outside its folder."""
    return name.startswith("/") or ".." in name.split("/")


def require_folder(folder: str | None, expected: str) -> str:
    """Checks --data_dir and returns it.

    Raises:
        InputError: If it is not given or does not exist.
    """
    if not folder:
        raise InputError(f"--data_dir: is not given, expected {expected}")
    if not storage.is_remote(folder) and not storage.is_folder(folder):
        raise InputError(f"--data_dir: {folder} is not a directory, expected {expected}")
    return folder


def find_by_any_form(folder: str, name: str) -> str | None:
    """Path of ``folder/name``, whichever form the file system keeps accents in."""
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    for known in dict.fromkeys([name, composed, decomposed, _named_in_bytes(name)]):
        path = storage.join(folder, known)
        if storage.exists(path):
            return path
    return None


def find_list(folder: str, split: str) -> str | None:
    """Path of the list of a split, ``train`` or ``train.txt``, if there is one."""
    paths = (storage.join(folder, split + suffix) for suffix in ("", ".txt"))
    return next((path for path in paths if storage.exists(path)), None)


def read_list(path: str) -> list[tuple[int, str]]:
    """Reads a list of files, one a line: (line number, name), blank lines left out.

    Raises:
        InputError: If it cannot be read or is not UTF-8 text.
    """
    try:
        text = decoded_text(storage.read_bytes(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in lines if line]


def songs_of_lists(
    lists_folder: str,
    find_song: Callable[[str, str, str], SourceSong | SkippedSong],
    required: Iterable[str] = SPLITS,
) -> SourceListing:
    """Reads the lists ``train``, ``valid`` and ``test`` of a folder.

    Args:
        lists_folder: Folder with the lists.
        find_song: (name, split, place) -> SourceSong or SkippedSong, for each listed name.
        required: Lists that must be there, if only as empty files.

    Raises:
        InputError: If a required list is missing, if there is none at all, or if a name is in two
            lists: such a song would be tested on what the classifier learnt.
    """
    songs: list[SourceSong] = []
    skipped: list[SkippedSong] = []
    seen: dict[str, tuple[str, str]] = {}
    found_lists = []
    for split in SPLITS:
        path = find_list(lists_folder, split)
        if path is None:
            if split in required:
                missing = storage.join(lists_folder, split)
                raise InputError(
                    f"{missing}: no such list; expected one audio file per line (it may be empty)"
                )
            continue
        found_lists.append(path)
        for number, name in read_list(path):
            place = f"{path}:{number}"
            if name in seen:
                earlier_split, earlier = seen[name]
                if earlier_split != split:
                    raise InputError(
                        f"{place}: {name!r} is also in {earlier}: splits must not overlap"
                    )
                skipped.append(SkippedSong(name, split, f"{place}: is listed twice ({earlier})"))
                continue
            seen[name] = split, place
            if leads_out(name):
                reason = f"{place}: {plain_text(name)} points outside the folder of the data set"
                skipped.append(SkippedSong(plain_text(name), split, reason))
                continue
            found = find_song(name, split, place)
            if isinstance(found, SourceSong):
                songs.append(found)
            else:
                skipped.append(found)
    if not found_lists:
        raise InputError(
            f"{lists_folder}: holds none of the lists 'train', 'valid' and 'test', with one audio "
            "file per line"
        )
    return SourceListing(songs, skipped)


def require_songs(listing: SourceListing, where: str) -> SourceListing:
    """Returns ``listing``.

    Raises:
        InputError: If it has no song at all, saying why the first ones were skipped.
    """
    if listing.songs:
        return listing
    reasons = [*listing.warnings, *(song.reason for song in listing.skipped)]
    why = f": {quoted_list(reasons, 3)}" if reasons else ""
    raise InputError(f"{where}: no song found{why}")
