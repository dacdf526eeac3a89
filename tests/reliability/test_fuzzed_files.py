"""Damaged files of every kind are refused, or read as what they were.

``SVDAM_FUZZ=1000`` tries more of them; tools/fuzz_files.py is the same in processes of its own.
"""

import os

import fuzz_files
import pytest

COUNT = int(os.environ.get("SVDAM_FUZZ", "0"))
FEW = {"keras": 40, "h5": 15}  # Each of these takes a process, or Keras.


@pytest.mark.parametrize("name", fuzz_files.KINDS)
def test_damaged_files(tmp_path, name):
    kind = fuzz_files.make_kind(name, tmp_path)
    count = COUNT or FEW.get(name, 150)
    counts = fuzz_files.fuzz(kind, range(count), seed=1)
    assert set(counts) <= {fuzz_files.REFUSED, fuzz_files.HARMLESS}, counts
    assert counts[fuzz_files.REFUSED] > count // 2
    assert kind.read() == kind.read()


def test_the_test_would_see_a_reader_that_believes_everything(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(1000))
    kind = fuzz_files.Kind(path, path.read_bytes)
    assert fuzz_files.fuzz(kind, range(30), seed=0)["other values"] > 20
