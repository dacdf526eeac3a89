"""What is in a folder of music besides songs: hidden files, stems, labels that no song uses."""

import os
from collections.abc import Callable, Collection, Iterable

from svdam.core import storage
from svdam.core.validation import InputError, quoted_list
from svdam.datasets.label_files import (
    FOREIGN_LABEL_SUFFIXES,
    JAMS_SUFFIX,
    LABEL_SUFFIXES,
    TEXT_SUFFIXES,
    is_label_file,
    looks_like_labels,
)
from svdam.datasets.labels import parse_labels
from svdam.datasets.sources import AUDIO_SUFFIXES, SourceSong, plain_text

# Of network disks, trash and archives, where their names do not start with a dot.
_SYSTEM_FOLDERS = {
    *("@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot"),
    *("$recycle.bin", "system volume information", "lost+found", "__macosx"),
}
_MIXTURES = {"mixture", "mix"}
_STEMS = {
    *("vocals", "drums", "bass", "other", "accompaniment", "instrumental", "no_vocals"),
    *("piano", "guitar"),
}
_OPENED_TEXTS = 50  # At most, to see whether they hold labels.
_OPENED_BYTES = 1 << 16


def visible_files(data_dir: str) -> tuple[set[str], str | None]:
    """Lists a folder without what is hidden.

    Returns:
        (paths of all other files, what was left out in one line or None).
    """
    hidden: list[str] = []

    def enters(path: str) -> bool:
        if _is_hidden(path):
            hidden.append(path)
        return not _is_hidden(path)

    names = set()
    for path in storage.walk(data_dir, enters):
        if not _is_hidden(path):
            names.add(path)
        elif path.lower().endswith(AUDIO_SUFFIXES) and not path.split("/")[-1].startswith("._"):
            hidden.append(path)  # Except macOS's companions of files, which are no audio.
    if not hidden:
        return names, None
    return names, f"ignoring hidden files and folders: {quoted_list(sorted(hidden), 6)}"


def without_stems(names: list[str]) -> tuple[list[str], str | None]:
    """Leaves out the separate tracks of songs, as of MUSDB18, DSD100 and source separation.

    A folder holds stems if ``vocals`` and at least one other of their names are in it.

    Returns:
        (names without stems, what was left out in one line or None).
    """
    folders: dict[str, dict[str, str]] = {}
    for name in names:
        folder, file = os.path.split(name)
        folders.setdefault(folder, {})[os.path.splitext(file)[0].lower()] = name
    stems: set[str] = set()
    mixtures = []
    for files in folders.values():
        found = files.keys() & _STEMS
        if "vocals" in found and len(found) > 1:
            stems |= {files[stem] for stem in found}
            mixtures += [files[stem] for stem in sorted(files.keys() & _MIXTURES)]
    if not stems:
        return names, None
    which = (
        f"as songs, {quoted_list(mixtures, 2)} are" if mixtures else "no mixture next to them is"
    )
    return [name for name in names if name not in stems], (
        f"the stems of songs are left out: {quoted_list(sorted(stems), 2)}; {which} taken"
    )


def find_labels(data_dir: str, song: str, exists: Callable[[str], bool]) -> str | None:
    """The label file of a song.

    Args:
        data_dir: Folder or URL of the data set.
        song: The song's audio file, relative to it.
        exists: Whether there is a file of this name, relative to it.

    Returns:
        Its name, relative to the data set's folder; None if the song has none.
    """
    for stem in _label_stems(song):
        for name in (stem + suffix for suffix in LABEL_SUFFIXES):
            if exists(name) and (
                not name.endswith(TEXT_SUFFIXES) or is_label_file(name, _start(data_dir, name))
            ):
                return name
    return None


def _label_stems(song: str) -> list[str]:
    """Where the labels of a song may be, without suffix, the first one first."""
    stem = os.path.splitext(song)[0]
    stems = [stem, f"labels/{stem}"]
    parts = stem.split("/")
    if "audio" in parts[:-1]:
        parts[parts.index("audio")] = "labels"
        stems.append("/".join(parts))
    return stems


def unused_labels(
    data_dir: str,
    names: Iterable[str],
    songs: Collection[SourceSong],
    named_like_songs: bool = False,
) -> str | None:
    """Says in one line which files hold labels, by name or content, but are those of no song.

    Args:
        data_dir: The folder.
        names: Paths of all files in it.
        songs: Its songs.
        named_like_songs: Whether only files with the names of songs without labels are of interest.
    """
    used = {song.labels for song in songs}
    unlabelled = [song.id for song in songs if song.labels is None]
    stems = set(map(_stem, unlabelled))
    left = [
        name
        for name in sorted(names)
        if storage.join(data_dir, name) not in used
        and (_stem(name) in stems or not named_like_songs)
    ]
    found = [name for name in left if name.lower().endswith(LABEL_SUFFIXES[0])]
    if unlabelled:
        others = (JAMS_SUFFIX, *FOREIGN_LABEL_SUFFIXES)
        found += [name for name in left if name.lower().endswith(others)]
        found += _texts_with_labels(data_dir, left, stems)
    if not found:
        return None
    example = _song_of(found[0], unlabelled) or next(iter(unlabelled), None)
    places = f"; those of {example!r} may be {_alternatives(example)}" if example else ""
    return (
        f"some files that look like labels do not belong to any song: {quoted_list(found, 3)}"
        f"{_kind(data_dir, found[0])}{places}"
    )


def _texts_with_labels(data_dir: str, names: list[str], stems: set[str]) -> list[str]:
    """Text files that look like labels; those named like a song are looked at first."""
    texts = [name for name in names if name.lower().endswith(TEXT_SUFFIXES)]
    texts.sort(key=lambda name: _stem(name) not in stems)
    return [name for name in texts[:_OPENED_TEXTS] if looks_like_labels(_start(data_dir, name))]


def _kind(data_dir: str, name: str) -> str:
    """What a file looks like whose name is not that of labels which are read."""
    if name.lower().endswith((LABEL_SUFFIXES[0], JAMS_SUFFIX)):
        return ""
    if name.lower().endswith(FOREIGN_LABEL_SUFFIXES):
        return f" ({os.path.splitext(name)[1]} is not read)"
    start = _start(data_dir, name)
    if is_label_file(name, start):
        return ""
    try:
        segments = parse_labels(start, f"{name}{LABEL_SUFFIXES[0]}")
    except InputError:
        segments = []
    if segments:
        return f" (lines 'start end sing|nosing', as in {LABEL_SUFFIXES[0]} files: rename it)"
    if name.lower().endswith(".txt"):
        return " (times in seconds, but not separated by tabs, as Audacity's)"
    return " (times in seconds, but no first line that names columns, e.g. start,end,label)"


def _start(data_dir: str, name: str) -> bytes:
    """The first lines of a file, whole ones."""
    content = storage.read_range(storage.join(data_dir, name), 0, _OPENED_BYTES)
    return content if len(content) < _OPENED_BYTES else content[: content.rfind(b"\n") + 1]


def _song_of(label: str, songs: list[str]) -> str | None:
    return next((song for song in songs if _stem(song) == _stem(label)), None)


def _alternatives(song: str) -> str:
    names = (stem + LABEL_SUFFIXES[0] for stem in _label_stems(song))
    return " or ".join(repr(plain_text(name)) for name in names)


def _stem(name: str) -> str:
    return os.path.splitext(os.path.basename(name))[0].lower()


def _is_hidden(path: str) -> bool:
    name = path.split("/")[-1]
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS
