"""Songs whose voice and backing are separate files, mixed while they are prepared.

Two layouts are read, also side by side: ``NAME.voice.ogg`` next to ``NAME.backing.ogg``, and a
folder per song with ``vocals.wav``, ``drums.wav``, ``bass.wav`` and ``other.wav``, as in MUSDB18.
The names of the stems are settings: what is called the voice here may be any instrument. Every
other audio file is a song without it, and a backing for remixes, unless it has labels of its own.

Each voice gives a mix with its own backing, and on request further ones with any backing of the
same split. Level, loudness and backing are drawn from a seed and the name of the mix.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

import numpy as np

from svdam.core import storage
from svdam.core.validation import InputError, quoted_list
from svdam.datasets import folder_contents as contents
from svdam.datasets.folder import are_in_folders_of_splits, split_by_ratio
from svdam.datasets.labels import SING, Target
from svdam.datasets.sources import (
    AUDIO_SUFFIXES,
    SPLITS,
    Mix,
    SkippedSong,
    SourceListing,
    SourceSong,
    find_list,
    plain_text,
    read_list,
    require_folder,
    require_songs,
)

_VOICES = ("voice", "vocals")

LAYOUT = "a folder with NAME.voice.* and NAME.backing.*, or NAME/vocals.* and other stems"


@dataclasses.dataclass(frozen=True)
class MixSettings:
    """How stems become songs.

    Attributes:
        voice: Name of the stem with the voice.
        backing: Names of the stems that add up to the backing.
        num_remixes: Further mixes of each voice, with other backings of its split.
        levels_db: Range of the level of the voice over the backing, in dB.
        loudness_db: Range of the RMS of a song, in dB relative to full scale.
        seed: Seed of what is drawn.
    """

    voice: str = "voice"
    backing: tuple[str, ...] = ("backing",)
    num_remixes: int = 0
    levels_db: tuple[float, ...] = (-6.0, 9.0)
    loudness_db: tuple[float, ...] = (-26.0, -12.0)
    seed: int = 0


class _Song(NamedTuple):
    """A song's files, relative to the data set's folder.

    Attributes:
        name: Path without the names of stems.
        voice: File with the voice, if there is one.
        backing: Files that add up to the backing; empty if one of them is missing.
        labels: Label file, if there is one.
    """

    name: str
    voice: str | None
    backing: tuple[str, ...]
    labels: str | None


def stem_target(stem: str) -> Target:
    """What a classifier of a stem detects.

    In label files, ``sing`` and ``nosing`` also say where a stem of any name is heard.
    """
    return SING if stem in _VOICES else Target(stem, (stem, *SING.words))


def list_stems(
    data_dir: str | None,
    mixing: MixSettings,
    split_by: str = "auto",
    split_lists: str | None = None,
    split_ratios: tuple[float, ...] = (0.8, 0.1, 0.1),
    split_seed: int = 0,
) -> SourceListing:
    """Lists the mixes that can be made from the stems below a folder.

    Args:
        data_dir: Folder or URL.
        mixing: Names of the stems, and what is drawn.
        split_by: ``lists``, ``folders`` or ``ratios``; see `svdam.datasets.folder.list_folder`.
            With ratios, the songs of one folder stay together, as those of one singer should.
        split_lists: Folder with the lists ``train``, ``valid``, ``test``. Each line is the path of
            a song or of a folder; the most specific line decides, and what is under none is left
            out.
        split_ratios: Shares of train, valid and test.
        split_seed: Seed of the assignment by ratios.

    Raises:
        InputError: If there is no voice, or a backing to remix with is missing.
    """
    data_dir = require_folder(data_dir, LAYOUT)
    files, hidden = contents.visible_files(data_dir)
    songs, warnings = _songs(files, mixing, data_dir)
    warnings += [hidden] if hidden else []
    split_of = _splitter(
        [song.name for song in songs], split_by, split_lists, split_ratios, split_seed
    )
    found: list[SourceSong] = []
    skipped = [
        SkippedSong(plain_text(song.name), "", f"{song.name}: is not in any of the split folders")
        for song in songs
        if split_of(song.name) not in (*SPLITS, None)
    ]
    for split in SPLITS:
        chosen = [song for song in songs if split_of(song.name) == split]
        remix = _remixer(chosen, split, data_dir, mixing)
        for song in chosen:
            if song.backing:
                parts = (song.voice, *song.backing) if song.voice else song.backing
                found.append(_mix(plain_text(song.name), song, split, parts, data_dir, mixing))
            else:
                reason = f"{song.name}: lacks a stem of {quoted_list(mixing.backing)}"
                skipped.append(SkippedSong(plain_text(song.name), split, reason))
            if song.voice:
                found += remix(song)
    return require_songs(SourceListing(found, skipped, warnings), data_dir)


def _songs(files: set[str], mixing: MixSettings, data_dir: str) -> tuple[list[_Song], list[str]]:
    """All songs below the folder, by name, and what is left out."""
    audio = sorted(path for path in files if path.lower().endswith(AUDIO_SUFFIXES))
    stems: dict[str, dict[str, str]] = {}
    for path in audio:
        name, stem = _name_and_stem(path)
        if stem in (mixing.voice, *mixing.backing):
            stems.setdefault(name, {})[stem] = path
    if not any(mixing.voice in found for found in stems.values()):
        raise InputError(
            f"--data_dir: {data_dir} holds no stem {mixing.voice!r}, expected {LAYOUT}; "
            "--positive_stem is the name of the stem with the voice"
        )
    # Mixtures, and stems of other names, must not be taken for songs without singing.
    used = {path for found in stems.values() for path in found.values()}
    left_out = [path for path in audio if path not in used and _is_part_of(path, stems)]
    plain, unnamed = contents.without_stems(sorted(set(audio) - used - set(left_out)))
    warnings = [unnamed] if unnamed else []
    if left_out:
        warnings.append(f"other files of songs with stems are left out: {quoted_list(left_out, 3)}")

    def labels(path: str) -> str | None:
        return contents.find_labels(data_dir, path, files.__contains__)

    songs = [_Song(path, None, (path,), labels(path)) for path in plain]
    for name, found in stems.items():
        complete = all(stem in found for stem in mixing.backing)
        backing = tuple(found[stem] for stem in mixing.backing) if complete else ()
        songs.append(_Song(name, found.get(mixing.voice), backing, labels(f"{name}.ogg")))
    return sorted(songs), warnings


def _name_and_stem(path: str) -> tuple[str, str]:
    """``a/b.voice.ogg`` and ``a/b/voice.ogg`` are both the stem ``voice`` of the song ``a/b``."""
    folder, file = os.path.split(path)
    name, dot, stem = os.path.splitext(file)[0].rpartition(".")
    return (f"{folder}/{name}" if folder else name, stem.lower()) if dot else (folder, stem.lower())


def _is_part_of(path: str, stems: Container[str]) -> bool:
    """Whether a file is another stem, or the mixture, of one of the songs that have stems."""
    return any(name in stems for name in (_name_and_stem(path)[0], os.path.splitext(path)[0]))


def _splitter(
    names: list[str],
    split_by: str,
    split_lists: str | None,
    split_ratios: tuple[float, ...],
    split_seed: int,
) -> Callable[[str], str | None]:
    """A function from the name of a song to its split; None for a song in none of the lists."""
    if split_by == "auto":
        in_folders = "folders" if are_in_folders_of_splits(names) else "ratios"
        split_by = "lists" if split_lists else in_folders
    if split_by == "lists":
        entries = _listed(split_lists or "", names)
        return lambda name: next((entries[p] for p in _places(name) if p in entries), None)
    if split_by == "folders":
        return lambda name: name.split("/")[0]
    return lambda name: split_by_ratio(
        plain_text(os.path.dirname(name) or name), split_ratios, split_seed
    )


def _places(name: str) -> list[str]:
    """What a line of a list may call a song by, the most specific first."""
    parts = name.split("/")
    folders = ["/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    return [name, os.path.splitext(name)[0], *folders, "."]


def _listed(split_lists: str, names: list[str]) -> dict[str, str]:
    """The split of each line of the lists."""
    known = {place for name in names for place in _places(name)}
    entries: dict[str, str] = {}
    for split in SPLITS:
        path = find_list(split_lists, split)
        for number, line in read_list(path) if path else []:
            entry = os.path.normpath(line)
            if entry not in known:
                raise InputError(
                    f"{path}:{number}: {line!r} is neither a song nor a folder with songs"
                )
            if entries.setdefault(entry, split) != split:
                raise InputError(f"{path}:{number}: {line!r} is in {entries[entry]!r}, too")
    if not entries:
        raise InputError(
            f"{split_lists}: holds none of the lists {quoted_list(SPLITS)}, or nothing"
        )
    return entries


def _remixer(
    songs: list[_Song], split: str, data_dir: str, mixing: MixSettings
) -> Callable[[_Song], list[SourceSong]]:
    """A function that puts a voice on other backings of its split.

    Long backings, which have more different stretches, are drawn more often: by their bytes.
    """
    backings = [song for song in songs if song.backing and (song.voice or not song.labels)]
    sizes = np.zeros(len(backings))
    if mixing.num_remixes:
        paths = [storage.join(data_dir, song.backing[0]) for song in backings]
        sizes[:] = [size for size, _ in storage.in_threads(storage.size_and_time, paths)]

    def remixes(song: _Song) -> list[SourceSong]:
        found = []
        for number in range(1, mixing.num_remixes + 1):
            name = f"{plain_text(song.name)} remix {number}"
            weights = np.where([backing is song for backing in backings], 0, sizes)
            if not weights.sum():
                raise InputError(
                    f"--remix: the split {split!r} has no backing for {song.name} except its own"
                )
            rng = _rng(mixing.seed, f"backing of {name}")
            backing = backings[rng.choice(len(backings), p=weights / weights.sum())]
            files = (str(song.voice), *backing.backing)
            found.append(_mix(name, song, split, files, data_dir, mixing, is_remix=True))
        return found

    return remixes


def _mix(
    name: str,
    song: _Song,
    split: str,
    files: Sequence[str],
    data_dir: str,
    mixing: MixSettings,
    is_remix: bool = False,
) -> SourceSong:
    """A song that is mixed from files, the voice first if there is one."""
    rng = _rng(mixing.seed, name)
    level_db, loudness_db, position = (
        round(rng.uniform(limits[0], limits[1]), 3)
        for limits in (mixing.levels_db, mixing.loudness_db, (0, 1))
    )
    sources = [plain_text(file) for file in files]
    audio, *others = [storage.join(data_dir, file) for file in files]
    mix = Mix(
        tuple(sources[1:]),
        level_db if song.voice else None,
        loudness_db,
        position if is_remix else 0.0,  # Stems of the same song start together.
    )
    labels = storage.join(data_dir, song.labels) if song.labels else None
    return SourceSong(name, split, audio, sources[0], labels, mix, tuple(others))


def _rng(seed: int, name: str) -> np.random.Generator:
    """Draws that depend on the name alone, so that they stay when other songs are added."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
