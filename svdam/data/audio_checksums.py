"""Checksums of audio files, remembered so that a file is read again only after it has changed."""

import contextlib
import json
from pathlib import Path
from typing import Any

from svdam.core import storage
from svdam.core.files import write_json
from svdam.core.validation import InputError
from svdam.data.shards import FinishedRecord
from svdam.data.songs import file_sha256
from svdam.datasets.sources import SourceSong, plain_text


class AudioChecksums:
    """SHA-256 of audio files, remembered by path, size and time of the last change."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._known = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, audio: str) -> str:
        """The checksum of an audio file, read only if it has changed."""
        facts = list(storage.size_and_time(audio))
        known = self._known.get(plain_text(audio))
        if not known or known[:2] != facts:
            known = self._known[plain_text(audio)] = [*facts, file_sha256(audio)]
        return known[2]

    def save(self, songs: list[SourceSong], records: dict[str, FinishedRecord]) -> None:
        """Writes the checksums of the songs that have records."""

        checksums = {
            file: checksum
            for song in songs
            if song.id in records
            for file, checksum in zip(
                (song.audio, *song.others),
                records[song.id].text("audio_sha256").split(),
                strict=True,
            )
        }

        def facts(file: str) -> list[Any] | None:
            with contextlib.suppress(InputError):  # A web server need not tell the size.
                return [*storage.size_and_time(file), checksums[file]]
            return None

        found = zip(checksums, storage.in_threads(facts, checksums), strict=True)
        write_json(self._path, {plain_text(file): known for file, known in found if known})
