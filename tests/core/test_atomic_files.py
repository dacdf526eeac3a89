"""Atomic files: whole or not there."""

import numpy as np
import pytest

from svdam.core.files import atomic_path, atomic_write, checksum, read_json, write_json
from svdam.core.validation import InputError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as stream:
        stream.write("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_write_makes_folders_and_keeps_the_suffix(tmp_path):
    path = tmp_path / "new" / "é.npy"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".npy" and temporary.parent == path.parent
        np.save(temporary, np.arange(3))
    assert names(path.parent) == ["é.npy"] and np.load(path).tolist() == [0, 1, 2]
    assert path.stat().st_mode & 0o777 & 0o400


def test_json(tmp_path):
    write_json(tmp_path / "a.json", {"ä": [1, None]})
    assert read_json(tmp_path / "a.json") == {"ä": [1, None]}
    with pytest.raises(ValueError):
        write_json(tmp_path / "b.json", float("nan"))
    assert names(tmp_path) == ["a.json"]
    for content, message in ((b"{", "is not valid JSON"), (b"\xff\xfe", "is not valid JSON")):
        (tmp_path / "c.json").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_json(tmp_path / "c.json")
    with pytest.raises(InputError, match=r"none.json: cannot be read \(No such file"):
        read_json(tmp_path / "none.json")


def test_checksum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # The example of FIPS 180-2.
    assert checksum(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")
