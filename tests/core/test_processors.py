"""Processors that may be used: those of the affinity, fewer where a container has a quota."""

import os

import pytest

from svdam.core.processors import available_processors


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("6400000 100000", 8),
        ("max 100000", 8),
        ("nonsense", 8),
        (None, 8),
    ],
)
def test_a_quota_limits_what_the_affinity_allows(tmp_path, monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert available_processors(tmp_path) == expected
