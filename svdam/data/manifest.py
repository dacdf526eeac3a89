"""``manifest.json`` of a records folder: what is in it, where, and with which checksums."""

import dataclasses
import hashlib
import json
import re
from typing import Any

import numpy as np

from svdam.core import storage
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError, is_number, one_line
from svdam.data.shards import CHECKSUM_SUFFIX, ShardPlan
from svdam.data.songs import DTYPES, label_names_of
from svdam.data.statistics import no_frames
from svdam.datasets.sources import SPLITS, Mix, SkippedSong

MANIFEST_NAME = "manifest.json"
MANIFEST_FORMAT = 1
_KEYS = {"format", "front_end", "dtype", "counts", "mean", "std", "shards", "songs", "skipped"}
_MORE_KEYS = {"label_names", "storage", "checksum"}


def build_manifest(
    plans: list[ShardPlan],
    skipped: list[SkippedSong],
    root: str,
    dtype: str,
    front_end: FrontEnd,
) -> dict[str, Any]:
    """Describes finished shards.

    Mean and std are those of the split ``train``, whose frames a classifier learns from; without
    such songs they are None.

    Args:
        plans: The shards, which lie in ``root``.
        skipped: Songs that are listed but not in the records.
        root: The records folder.
        dtype: Number type of the log-mel.
        front_end: How the log-mel was computed.

    Returns:
        JSON-ready facts that depend on nothing but the songs and the settings.
    """
    songs, entries, names = [], [], {}
    statistics = no_frames(front_end.num_mels)
    for plan in plans:
        start = 0
        for finished in plan.records:
            songs.append(_song_entry(plan, finished.record, start, finished.id))
            start += finished.record.length
            if "label_names" in finished.record.features:
                names = {"label_names": label_names_of(finished.record.features)}
            if plan.split == "train":
                statistics = statistics.merge(finished.statistics())
        checksum = storage.read_bytes(storage.join(root, plan.name + CHECKSUM_SUFFIX)).decode()
        facts = {"songs": len(plan.records), "bytes": start, "sha256": checksum}
        entries.append({"name": plan.name, "split": plan.split, **facts})
    manifest = {
        "format": MANIFEST_FORMAT,
        "front_end": front_end.to_dict(),
        "dtype": dtype,
        **names,
        "counts": _counts(songs),
        "mean": statistics.mean.tolist() if statistics.num_frames else None,
        "std": statistics.std.tolist() if statistics.num_frames else None,
        "skipped": [dataclasses.asdict(song) for song in skipped],
        "shards": entries,
        "songs": songs,
    }
    return {**manifest, "checksum": manifest_checksum(manifest)}


def manifest_checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of what records hold, wherever they lie."""
    content = {key: manifest[key] for key in manifest.keys() - {"storage", "checksum"}}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def require_sound(manifest: Any) -> None:
    """Refuses a manifest that is damaged, or leads out of its folder.

    Raises:
        InputError: Saying what is wrong with it.
    """
    if not isinstance(manifest, dict) or not _KEYS <= manifest.keys() <= _KEYS | _MORE_KEYS:
        raise InputError("is not the manifest of a records folder")
    if manifest["format"] != MANIFEST_FORMAT:
        raise InputError(
            f"has format {manifest['format']}, expected {MANIFEST_FORMAT}: another version of "
            "svdam wrote it; prepare the records again in another folder"
        )
    names = {field.name for field in dataclasses.fields(FrontEnd)}
    if not isinstance(manifest["front_end"], dict) or not manifest["front_end"].keys() <= names:
        raise InputError("has front-end settings that this version does not know")
    if manifest.get("checksum") not in (None, manifest_checksum(manifest)):
        raise InputError("is damaged: it does not have its checksum; run prepare_data again")
    try:
        _require_sizes(manifest)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InputError(f"is damaged ({one_line(error)})") from error


def _require_sizes(manifest: dict[str, Any]) -> None:
    """Raises one of many errors if a number, a name or a place in a shard makes no sense."""
    front_end = FrontEnd(**manifest["front_end"])
    is_trained_on = any(song["split"] == "train" for song in manifest["songs"])
    for name in ("mean", "std"):
        values = manifest[name]
        if values is None and not is_trained_on:
            continue
        if len(values) != front_end.num_mels or not all(map(is_number, values)):
            raise ValueError(f"{name} of the mel bands")
    shards = {shard["name"]: shard["bytes"] for shard in manifest["shards"]}
    for name, size in shards.items():
        if not re.fullmatch(r"\w[\w.-]*\.tfrecord", name) or type(size) is not int:
            raise ValueError(f"shard {name!r}")
    frame_bytes = front_end.num_mels * np.dtype(DTYPES[manifest["dtype"]]).itemsize
    num_targets = len(label_names_of(manifest))
    for song in manifest["songs"]:
        end = shards[song["shard"]]
        frames, offset, labels = song["num_frames"], song["offset"], song["labels_offset"]
        if not (
            all(type(number) is int and number >= 0 for number in (frames, offset, labels))
            and isinstance(song["id"], str)
            and song["split"] in SPLITS
            and offset + frames * frame_bytes <= end
            and (not song["has_labels"] or labels + frames * num_targets <= end)
        ):
            raise ValueError(f"song {str(song['id'])[:100]!r}")
        if "mix" in song:
            Mix.from_json(song["mix"])
    if manifest["counts"] != _counts(manifest["songs"]):
        raise ValueError("counts that are not those of its songs")
    for song in manifest["skipped"]:
        SkippedSong(**song)


def _song_entry(plan: ShardPlan, record: Any, start: int, song_id: str) -> dict[str, Any]:
    features = record.features
    moved = start - record.start
    mix = {"mix": json.loads(features["mix"])} if "mix" in features else {}
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
        **mix,
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
