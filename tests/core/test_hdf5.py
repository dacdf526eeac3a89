"""HDF5 files with a checksum of their own, compared before HDF5 opens them."""

import hashlib

import h5py
import numpy as np
import pytest

from svdam.core.hdf5 import SEAL_BYTES, check_hdf5, seal_hdf5
from svdam.core.validation import InputError


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "values.h5"
    with h5py.File(path, "w", userblock_size=SEAL_BYTES) as file:
        file["group/values"] = np.arange(12.0)
        file["text"] = "words"
    seal_hdf5(path)
    return path


def test_the_seal_is_the_checksum_of_the_rest_and_hdf5_ignores_it(sealed):
    content = sealed.read_bytes()
    digest = hashlib.sha256(content[512:]).hexdigest()
    assert content.startswith(f"svdam sha256 {digest}\n".encode())
    with h5py.File(sealed) as file:
        np.testing.assert_array_equal(file["group/values"], np.arange(12.0))
    assert check_hdf5(sealed, "it", 1 << 20, sealed=True) == 13
    seal_hdf5(sealed)
    assert sealed.read_bytes() == content


def test_a_bit_anywhere_is_noticed_before_hdf5_opens_the_file(sealed, monkeypatch):
    content = sealed.read_bytes()
    monkeypatch.setattr(h5py, "File", lambda *args: pytest.fail("it was opened"))
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        sealed.write_bytes(damaged)
        with pytest.raises(InputError, match="it is damaged"):
            check_hdf5(sealed, "it", 1 << 20)
    for length in (0, 100, 512, 600, len(content) - 1):
        sealed.write_bytes(content[:length])
        with pytest.raises(InputError, match="it is damaged"):
            check_hdf5(sealed, "it", 1 << 20)


def test_files_of_other_programs_have_no_seal(tmp_path):
    path = tmp_path / "values.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.zeros(5)
    assert check_hdf5(path, "it", 1 << 20) == 5
    assert check_hdf5(path.read_bytes(), "it", 1 << 20) == 5
    with pytest.raises(InputError, match="it has no checksum"):
        check_hdf5(path, "it", 1 << 20, sealed=True)
    with pytest.raises(InputError, match="declares more than 0 MB of values"):
        check_hdf5(path, "it", 39)
    with pytest.raises(InputError, match="it cannot be read"):
        check_hdf5(tmp_path / "missing.h5", "it", 39)
