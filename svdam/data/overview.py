"""What `prepare_data` shows of finished records: lines for the screen, TensorBoard summaries."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from svdam.core.runs import open_run
from svdam.core.summaries import Summaries
from svdam.data.records import Records, open_records

_SHOWN_SONGS = 8
_SHOWN_SECS = 10
EVENTS_FOLDER = "events"


def summary_lines(folder: str) -> list[str]:
    """Songs, hours, what was skipped and where the records are."""
    records = open_records(folder)
    lines = []
    for split, counts in records.manifest["counts"].items():
        lines.append(
            f"{split}: {counts['songs']} songs, {counts['labelled_songs']} of them labelled, "
            f"{counts['frames']} frames, {counts['hours']:.2f} h"
        )
    skipped = records.manifest["skipped"]
    if skipped:
        splits = Counter(song["split"] or "no split" for song in skipped)
        parts = ", ".join(f"{count} of {split}" for split, count in splits.items())
        lines.append(f"skipped: {len(skipped)} songs ({parts}); reasons above and in manifest.json")
    lines.append(f"records: {folder}")
    if records.manifest.get("storage"):
        lines.append(f"shards: {records.manifest['storage']}")
    lines.append(f"watch it with: tensorboard --logdir={folder}")
    return lines


def write_summaries(folder: str) -> None:
    """Writes configuration, counts and some log-mel images for TensorBoard.

    A rerun replaces the earlier ones.
    """
    records = open_records(folder)
    shutil.rmtree(Path(folder, EVENTS_FOLDER), ignore_errors=True)
    with Summaries(Path(folder, EVENTS_FOLDER)) as summaries:
        summaries.configuration(open_run(folder, "prepare_data", "output").config)
        for split, counts in records.manifest["counts"].items():
            values = {f"records/{split}/{name}": float(value) for name, value in counts.items()}
            summaries.scalars(values, 0)
        summaries.scalars({"records/skipped": float(len(records.manifest["skipped"]))}, 0)
        for kind, labelled in (("with labels", True), ("without labels", False)):
            starts = _song_starts(records, labelled)
            if len(starts):
                summaries.log_mels(f"songs {kind}", starts, 0, columns=2)


def _song_starts(records: Records, labelled: bool) -> np.ndarray:
    """The first seconds of some songs, (songs, frames, mels); shorter ones end in silence."""
    num_frames = round(_SHOWN_SECS * records.front_end.frames_per_second)
    starts = []
    for song in [song for song in records.songs() if song.has_labels == labelled][:_SHOWN_SONGS]:
        frames = records.frames(song, 0, min(num_frames, song.num_frames))
        padding = ((0, num_frames - len(frames)), (0, 0))
        starts.append(np.pad(frames, padding, constant_values=records.front_end.silence))
    return np.array(starts)
