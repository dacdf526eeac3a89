"""Shards: how records are shared out among them, and that they are written beside each other."""

import hashlib
import itertools

import numpy as np
import pytest

from svdam.data.pipeline import Engine, run_shards
from svdam.data.shards import UNFINISHED, FinishedRecord, ShardPlan, plan_shards
from svdam.data.tfrecord import ScannedRecord


def record(name: str, length: int, path: str = "", start: int = 0) -> FinishedRecord:
    return FinishedRecord(path, ScannedRecord(start, length, {"id": name.encode()}, {}))


@pytest.mark.parametrize("shard_bytes", [1, 500, 5_000, 10**9])
def test_shards_are_of_about_equal_size(shard_bytes):
    lengths = np.random.RandomState(0).randint(100, 1000, 60)
    records = [("train", record(f"{number:02d}", n)) for number, n in enumerate(lengths)]
    plans = plan_shards([*records[::-1], ("test", record("x", 7))], shard_bytes)
    assert [plan.name for plan in plans if plan.split == "test"] == ["test-00000-of-00001.tfrecord"]
    shards = [plan for plan in plans if plan.split == "train"]
    count = len(shards)
    assert [plan.name for plan in shards] == [
        f"train-{number:05d}-of-{count:05d}.tfrecord" for number in range(count)
    ]
    assert [found.id for plan in shards for found in plan.records] == [r.id for _, r in records]
    sizes = [sum(found.record.length for found in plan.records) for plan in shards]
    longest, total = lengths.max(), lengths.sum()
    assert max(sizes) < shard_bytes + longest and min(sizes) > 0
    if count < len(lengths):  # With a record a shard there is nothing left to share out.
        assert count == -(-total // shard_bytes) or shard_bytes < longest
        assert max(sizes) - min(sizes) < 2 * longest


def test_shards_hold_their_records_and_checksums(tmp_path):
    """More shards than workers, so that there is more than one batch."""
    content = np.random.RandomState(0).bytes(3_000_000)
    source = tmp_path / "all.tfrecord"
    source.write_bytes(content)
    pieces = list(itertools.pairwise([0, 1, 40, 1_500_000, 2_999_000, 3_000_000]))
    plans = [
        ShardPlan(f"{start}.tfrecord", "train", [record("x", stop - start, str(source), start)])
        for start, stop in pieces
    ]
    run_shards(plans, str(tmp_path), Engine(num_workers=2, song_timeout_secs=1))
    for start, stop in pieces:
        written = tmp_path / UNFINISHED / f"{start}.tfrecord"
        assert written.read_bytes() == content[start:stop]
        digest = written.with_name(f"{start}.tfrecord.sha256").read_text()
        assert digest == hashlib.sha256(content[start:stop]).hexdigest()
