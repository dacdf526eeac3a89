"""Jamendo (Ramona, Richard & David, 2008) in the layout of ismir2015, and any data set laid out so.

``audio/`` holds the recordings, ``labels/<name without suffix>.lab`` (or another suffix of
`svdam.datasets.label_files`) their labels, and ``filelists/train``, ``valid`` and ``test`` the
names of the audio files, one a line.
"""

import os

from svdam.core import storage
from svdam.core.validation import InputError
from svdam.datasets.label_files import LABEL_SUFFIXES
from svdam.datasets.sources import (
    SkippedSong,
    SourceListing,
    SourceSong,
    find_by_any_form,
    plain_text,
    require_folder,
    require_songs,
    songs_of_lists,
)

LAYOUT = "a folder with audio/, labels/ and filelists/"


def list_jamendo(data_dir: str | None) -> SourceListing:
    """Lists the songs of a data set in Jamendo's layout.

    Args:
        data_dir: Folder or URL with ``audio``, ``labels`` and ``filelists``.

    Raises:
        InputError: If the layout is another one, a list is missing, or no song was found.
    """
    data_dir = require_folder(data_dir, LAYOUT)
    for name in ("audio", "labels", "filelists"):
        if not storage.is_remote(data_dir) and not storage.is_folder(storage.join(data_dir, name)):
            raise InputError(f"--data_dir: {data_dir} has no {name}/, expected {LAYOUT}")

    def find_song(name: str, split: str, place: str) -> SourceSong | SkippedSong:
        """The song of a line of a list; ``place`` is the line, for messages."""
        audio = find_by_any_form(storage.join(data_dir, "audio"), name)
        if audio is None:
            return SkippedSong(name, split, f"{place}: audio/{name} does not exist")
        stem = os.path.splitext(name)[0]
        folder = storage.join(data_dir, "labels")
        found = (find_by_any_form(folder, stem + suffix) for suffix in LABEL_SUFFIXES)
        labels = next((path for path in found if path is not None), None)
        if labels is None:
            return SkippedSong(name, split, f"{place}: labels/{stem}.lab does not exist")
        return SourceSong(plain_text(name), split, audio, f"audio/{plain_text(name)}", labels)

    listing = songs_of_lists(storage.join(data_dir, "filelists"), find_song)
    return require_songs(listing, data_dir)
