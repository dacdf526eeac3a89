"""What `prepare_data` shows of finished records: lines for the screen, TensorBoard summaries."""

from collections import Counter
from typing import Any

import numpy as np

from svdam.core.images import log_mel_image
from svdam.core.summaries import Summaries, as_markdown, contact_sheet
from svdam.data.records import Records
from svdam.data.song_entry import SongEntry
from svdam.data.songs import label_names_of
from svdam.datasets.labels import SING

_SHOWN_SONGS = 8
_SHOWN_SECS = 10
_SHOWN_SKIPPED = 100
_BAR_BANDS = 7  # Height of a bar that shows labels, and a white line above it.
_POSITIVE, _NEGATIVE = 40, 210  # Greys.


def summary_lines(manifest: dict[str, Any]) -> list[str]:
    """Songs and hours of each split, and what was skipped."""
    lines = [
        f"{split}: {counts['songs']} songs, {counts['labelled_songs']} of them labelled, "
        f"{counts['frames']} frames, {counts['hours']:.2f} h"
        for split, counts in manifest["counts"].items()
    ]
    names = label_names_of(manifest)
    if names != [SING.name]:
        lines.append(f"labels: {', '.join(names)}")
    skipped = manifest["skipped"]
    if skipped:
        splits = Counter(song["split"] or "no split" for song in skipped)
        parts = ", ".join(f"{count} of {split}" for split, count in splits.items())
        lines.append(
            f"skipped: {len(skipped)} songs ({parts}); see the reasons above and in manifest.json"
        )
    return lines


def write_summaries(summaries: Summaries, records: Records) -> None:
    """Writes counts and some log-mel images for TensorBoard."""
    for split, counts in records.manifest["counts"].items():
        values = {f"records/{split}/{name}": float(value) for name, value in counts.items()}
        summaries.scalars(values, 0)
    summaries.scalars({"records/skipped": float(len(records.manifest["skipped"]))}, 0)
    summaries.text("skipped", _skipped_table(records))
    for kind, labelled in (("with labels", True), ("without labels", False)):
        songs = [song for song in records.songs() if song.has_labels == labelled][:_SHOWN_SONGS]
        if songs:
            pictures = np.array([song_picture(records, song) for song in songs])
            sheet = contact_sheet(pictures, columns=2)[np.newaxis]
            legend = _legend(songs, records.label_names)
            summaries.images(f"songs {kind}", sheet, 0, legend)


def song_picture(records: Records, song: SongEntry, secs: float = _SHOWN_SECS) -> np.ndarray:
    """The middle of a song, over a bar for each target that is dark where it is heard.

    Returns:
        (height, width, 3) uint8, of one size for all songs; short ones end in white.
    """
    num_mels, num_targets = records.front_end.num_mels, len(records.label_names)
    width = round(secs * records.front_end.frames_per_second)
    start = max(0, (song.num_frames - width) // 2)
    count = min(width, song.num_frames)
    picture = np.full((num_mels + num_targets * _BAR_BANDS, width, 3), 255, np.uint8)
    picture[:num_mels, :count] = log_mel_image(records.frames(song, start, count))
    labels = records.labels(song)
    if labels is not None:
        for number, label in enumerate(labels.reshape(len(labels), -1).T):
            greys = np.where(label[start : start + count, np.newaxis], _POSITIVE, _NEGATIVE)
            top = num_mels + number * _BAR_BANDS + 1
            picture[top : top + _BAR_BANDS - 1, :count] = greys
    return picture.repeat(2, axis=0).repeat(2, axis=1)


def _legend(songs: list[SongEntry], labels: tuple[str, ...]) -> str:
    names = "\n".join(f"{number}. {as_markdown(song.id)}" for number, song in enumerate(songs, 1))
    bars = "if there is a bar below, it is dark while somebody sings"
    if len(labels) > 1:
        bars = (
            f"the bars below are dark where the label is, from top to bottom, {', '.join(labels)}"
        )
    elif labels != (SING.name,):
        bars = f"if there is a bar below, it is dark where the label is {labels[0]}"
    return f"{_SHOWN_SECS} s from the middle of each song, two per row; {bars}:\n\n{names}"


def _skipped_table(records: Records) -> str:
    skipped = records.manifest["skipped"]
    if not skipped:
        return "nothing"
    rows = [
        f"| {as_markdown(song['id'])} | {as_markdown(song['reason'])} |"
        for song in skipped[:_SHOWN_SKIPPED]
    ]
    more = len(skipped) - len(rows)
    end = [f"\nand {more} more in manifest.json"] if more else []
    return "\n".join(["| song | why |", "|---|---|", *rows, *end])
