"""``manifest.json`` of a records folder: what is in it, where, and with which checksums."""

import dataclasses
from typing import Any

from svdam.core.config import FRONT_END
from svdam.data import storage
from svdam.data.shards import CHECKSUM_SUFFIX, ShardPlan
from svdam.data.sources import SPLITS, SkippedSong
from svdam.data.statistics import no_frames

MANIFEST_NAME = "manifest.json"
MANIFEST_FORMAT = 1


def build_manifest(
    plans: list[ShardPlan], skipped: list[SkippedSong], root: str, dtype: str
) -> dict[str, Any]:
    """Describes finished shards.

    Mean and std are those of the split ``train``, whose frames a classifier learns from.

    Args:
        plans: The shards, which lie in ``root``.
        skipped: Songs that are listed but not in the records.
        root: The records folder.
        dtype: Number type of the log-mel.

    Returns:
        JSON-ready facts that depend on nothing but the songs and the settings.
    """
    songs, entries = [], []
    statistics = no_frames(FRONT_END.num_mels)
    for plan in plans:
        start = 0
        for finished in plan.records:
            songs.append(_song_entry(plan, finished.record, start, finished.id))
            start += finished.record.length
            if plan.split == "train":
                statistics = statistics.merge(finished.statistics())
        checksum = storage.read_bytes(storage.join(root, plan.name + CHECKSUM_SUFFIX)).decode()
        facts = {"songs": len(plan.records), "bytes": start, "sha256": checksum}
        entries.append({"name": plan.name, "split": plan.split, **facts})
    return {
        "format": MANIFEST_FORMAT,
        "front_end": dataclasses.asdict(FRONT_END),
        "dtype": dtype,
        "counts": _counts(songs),
        "mean": statistics.mean.tolist(),
        "std": statistics.std.tolist(),
        "skipped": [dataclasses.asdict(song) for song in skipped],
        "shards": entries,
        "songs": songs,
    }


def _song_entry(plan: ShardPlan, record: Any, start: int, song_id: str) -> dict[str, Any]:
    features = record.features
    moved = start - record.start
    return {
        "id": song_id,
        "split": plan.split,
        "source": features["source"].decode(),
        "duration_secs": round(features["duration"], 6),
        "num_frames": features["num_frames"],
        "has_labels": bool(features["has_labels"]),
        "shard": plan.name,
        "offset": record.places["log_mel"][0] + moved,
        "crc32": features["crc32"],
        "labels_offset": record.places["labels"][0] + moved,
        "labels_crc32": features["labels_crc32"],
        "fingerprint": features["fingerprint"].decode(),
    }


def _counts(songs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Songs, labelled songs, frames and hours of each split."""
    counts = {}
    for split in SPLITS:
        chosen = [song for song in songs if song["split"] == split]
        counts[split] = {
            "songs": len(chosen),
            "labelled_songs": sum(song["has_labels"] for song in chosen),
            "frames": sum(song["num_frames"] for song in chosen),
            "hours": round(sum(song["duration_secs"] for song in chosen) / 3600, 6),
        }
    return counts
