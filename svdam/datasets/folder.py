"""Any tree of audio files, with or without labels.

Labels of ``a/b.mp3`` are looked for in ``a/b.lab``, then in ``labels/a/b.lab`` and, where the audio
lies below ``audio/``, in ``labels`` with the same path; in each place, under every suffix of
`svdam.datasets.label_files.LABEL_SUFFIXES`. Splits come from lists, from sub-folders
named ``train``, ``valid`` and ``test``, or from ratios.

Hidden folders, those of file servers and trash are left out, and so are the stems of songs.
"""

import dataclasses
import hashlib
from collections.abc import Callable

from svdam.core import storage
from svdam.core.validation import InputError
from svdam.datasets import folder_contents as contents
from svdam.datasets.sources import (
    AUDIO_SUFFIXES,
    FOREIGN_SUFFIXES,
    SPLITS,
    SkippedSong,
    SourceListing,
    SourceSong,
    find_by_any_form,
    plain_text,
    require_folder,
    require_songs,
    songs_of_lists,
)

LAYOUT = "a folder with audio files"
SPLIT_METHODS = ("auto", "lists", "folders", "ratios")


def list_folder(
    data_dir: str | None,
    split_by: str = "auto",
    split_lists: str | None = None,
    split_ratios: tuple[float, ...] = (0.8, 0.1, 0.1),
    split_seed: int = 0,
) -> SourceListing:
    """Lists all audio files below a folder.

    Args:
        data_dir: Folder or URL.
        split_by: One of `SPLIT_METHODS`. ``auto`` takes lists if ``split_lists`` is given, else
            sub-folders if there is one named ``train`` or if all songs are in those of the splits,
            else ratios.
        split_lists: Folder with the lists ``train``, ``valid``, ``test``: paths relative to
            ``data_dir``, one a line.
        split_ratios: Shares of train, valid and test.
        split_seed: Names the assignment by ratios.

    Raises:
        InputError: If a folder or list is missing, or no audio was found.
    """
    data_dir = require_folder(data_dir, LAYOUT)
    if split_by == "lists" or (split_by == "auto" and split_lists):
        if not split_lists:
            raise InputError("--split_lists: is not given, expected a folder with the list 'train'")
        return require_songs(_by_lists(data_dir, split_lists), split_lists)
    all_names, hidden = contents.visible_files(data_dir)
    warnings = [hidden] if hidden else []
    names = sorted(name for name in all_names if name.lower().endswith(AUDIO_SUFFIXES))
    foreign = sorted(name for name in all_names if name.lower().endswith(FOREIGN_SUFFIXES))
    if not names and not foreign:
        message = f"--data_dir: {data_dir} holds no audio ({', '.join(AUDIO_SUFFIXES)})"
        raise InputError("; ".join([message, *warnings]))
    names, stems = contents.without_stems(names)
    warnings += [stems] if stems else []
    if split_by == "auto":
        split_by = "folders" if are_in_folders_of_splits(names) else "ratios"
    songs, skipped = [], []
    for name in names:
        if split_by == "ratios":
            split = split_by_ratio(plain_text(name), split_ratios, split_seed)
        else:
            split = name.split("/")[0]
        if split in SPLITS:
            songs.append(_song(data_dir, name, split, all_names.__contains__))
        else:
            reason = f"{name}: is not in any of the folders train/, valid/ and test/"
            skipped.append(SkippedSong(plain_text(name), "", reason))
    for name in foreign:
        reason = f"{name}: has an unsupported format; convert it, e.g. with ffmpeg"
        skipped.append(SkippedSong(plain_text(name), "", reason))
    unused = contents.unused_labels(data_dir, all_names, songs)
    warnings += [unused] if unused else []
    return require_songs(SourceListing(songs, skipped, warnings), data_dir)


def split_by_ratio(name: str, ratios: tuple[float, ...], seed: int) -> str:
    """The split of a file: by a hash of its name, so that it stays there when files are added.

    Shares are therefore reached only roughly, and closely only in large sets.

    Raises:
        InputError: If the ratios are not three numbers from 0 on.
    """
    check_ratios(ratios)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64 * sum(ratios)
    if place < ratios[0]:
        return "train"
    return "valid" if place < ratios[0] + ratios[1] else "test"


def check_ratios(ratios: tuple[float, ...]) -> None:
    """Raises InputError if the ratios are not three numbers from 0 on."""
    if len(ratios) != len(SPLITS) or min(ratios) < 0 or not sum(ratios) > 0:
        raise InputError(
            f"--split_ratios: found {','.join(f'{ratio:g}' for ratio in ratios)}, expected three "
            "shares from 0 on, for train, valid and test"
        )


def _by_lists(data_dir: str, split_lists: str) -> SourceListing:
    def find_song(name: str, split: str, place: str) -> SourceSong | SkippedSong:
        audio = find_by_any_form(data_dir, name)
        if audio is None:
            return SkippedSong(plain_text(name), split, f"{place}: {name} does not exist")
        return _song(
            data_dir, name, split, lambda path: storage.exists(storage.join(data_dir, path)), audio
        )

    listing = songs_of_lists(split_lists, find_song, required=())
    if storage.is_remote(data_dir) or all(song.labels for song in listing.songs):
        return listing
    files, _ = contents.visible_files(data_dir)
    unused = contents.unused_labels(data_dir, files, listing.songs, named_like_songs=True)
    return dataclasses.replace(listing, warnings=[unused] if unused else [])


def are_in_folders_of_splits(names: list[str]) -> bool:
    """Whether paths start with the names of splits, so that those are their splits."""
    folders = {name.split("/")[0] for name in names if "/" in name}
    return "train" in folders or (bool(folders) and folders <= set(SPLITS))


def _song(
    data_dir: str,
    name: str,
    split: str,
    exists: Callable[[str], bool],
    audio: str | None = None,
) -> SourceSong:
    """A song with its labels; ``exists`` tells whether a path below the folder does."""
    found = contents.find_labels(data_dir, name, exists)
    labels = storage.join(data_dir, found) if found else None
    audio = audio or storage.join(data_dir, name)
    return SourceSong(plain_text(name), split, audio, plain_text(name), labels)
