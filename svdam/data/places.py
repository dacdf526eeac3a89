"""Places of songs where excerpts start, in a shuffled order that is computed, not remembered.

Light: batches of clips can be cut here without TensorFlow.
"""

from collections.abc import Callable

import numpy as np

from svdam.core.validation import InputError
from svdam.data.records import Records
from svdam.data.sampling import shuffled_items
from svdam.data.song_entry import SongEntry
from svdam.data.spectra import SpectrumRecords


class ExcerptPlaces:
    """All places of songs where an excerpt may start, numbered song by song.

    Attributes:
        songs: The songs with at least one place.
        num_places: How many there are in all.
    """

    def __init__(self, songs: list[SongEntry], starts: Callable[[SongEntry], range | np.ndarray]):
        pairs = [(song, starts(song)) for song in songs]
        pairs = [(song, places) for song, places in pairs if len(places)]
        self.songs = [song for song, _ in pairs]
        self._starts = [places for _, places in pairs]
        self._ends = np.cumsum([len(places) for places in self._starts], dtype=np.int64)
        self.num_places = int(self._ends[-1]) if pairs else 0

    def __getitem__(self, number: int) -> tuple[SongEntry, int]:
        """The song of a place, and the frame where its excerpt starts."""
        index = int(np.searchsorted(self._ends, number, side="right"))
        first = int(self._ends[index - 1]) if index else 0
        return self.songs[index], int(self._starts[index][number - first])

    def batch(self, number: int, batch_size: int, seed: int) -> list[tuple[SongEntry, int]]:
        """The places of batch ``number`` of the shuffled epochs that ``seed`` names."""
        positions = np.arange(number * batch_size, (number + 1) * batch_size, dtype=np.int64)
        return [self[place] for place in shuffled_items(positions, self.num_places, seed)]


def numbered_clips(
    records: Records,
    *,
    batch_size: int,
    seed: int,
    split: str = "train",
    clip_spacing: int | None = None,
    clips_per_track: int | None = None,
) -> Callable[[int], np.ndarray]:
    """Batches of clips by number, for the GAN (Section 3.3): see `excerpts.clip_batches`.

    Returns:
        A function from a batch's number to (batch_size, frames, mels, 1) float32.

    Raises:
        InputError: If a number is out of range, or the split has no song.
    """
    require_positive(batch_size=batch_size)
    if clip_spacing is not None and clips_per_track is not None:
        raise InputError("--clip_spacing and --clips_per_track: give one of them, not both")
    if clips_per_track is not None:
        require_positive(clips_per_track=clips_per_track)
    if clip_spacing is not None:
        require_positive(clip_spacing=clip_spacing)
    length = records.front_end.excerpt_frames

    def starts(song: SongEntry) -> range | np.ndarray:
        last = song.num_frames - length
        if clips_per_track is None:
            return range(0, last + 1, clip_spacing or length)
        return np.unique(np.linspace(0, last, clips_per_track).round().astype(np.int64))

    places = excerpt_places(records, split, records.songs(split), starts)

    def clips(number: int) -> np.ndarray:
        chosen = places.batch(number, batch_size, seed)
        return np.stack([records.frames(song, frame, length) for song, frame in chosen])[..., None]

    return clips


def excerpt_places(
    records: Records | SpectrumRecords,
    split: str,
    songs: list[SongEntry],
    starts: Callable[[SongEntry], range | np.ndarray],
    kind: str = "",
) -> ExcerptPlaces:
    """The places where ``starts`` lets excerpts of ``songs`` start.

    Raises:
        InputError: If there is none.
    """
    places = ExcerptPlaces(songs, starts)
    if not places.num_places:
        raise InputError(
            f"--records: {records.folder} holds no {kind}song of the split {split!r} that is long "
            "enough for an excerpt; prepare a data set that has some"
        )
    return places


def require_positive(**numbers: int) -> None:
    """Raises InputError for a number below 1."""
    for name, number in numbers.items():
        if number < 1:
            raise InputError(f"--{name}: found {number}, expected at least 1")
