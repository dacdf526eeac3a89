"""Archives read back, and archives that must not be believed."""

import io
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from svdam.core.npz import read_npz, write_npz
from svdam.core.validation import InputError


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        for name, content in members:
            stream.writestr(name, content)
    return path


def npy_bytes(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), **options)
    return stream.getvalue()


def header_bytes(shape, descr="<f4"):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path, save):
    arrays = {
        "a song.mp3": np.random.RandomState(0).rand(7, 1).astype(np.float32),
        "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "big_endian": np.arange(3, dtype=">f8"),
        "scalar": np.float64(3),
        "empty": np.zeros((0, 5)),
        "text": np.array(["x", "yz"]),
    }
    save(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == np.asarray(array).dtype
        np.testing.assert_array_equal(found[name], array)


def test_numpy_reads_what_is_written_and_equal_arrays_give_equal_files(tmp_path):
    arrays = {"05 - été/x.ogg": np.arange(5, dtype=np.float32), "mean": np.zeros((2, 0))}
    write_npz(tmp_path / "a.npz", arrays)
    write_npz(tmp_path / "b.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as found:
        assert set(found.files) == set(arrays)
        for name in arrays:
            np.testing.assert_array_equal(found[name], arrays[name])


class RunsCode:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_never_unpickles(tmp_path):
    trace = tmp_path / "trace"
    np.savez(tmp_path / "a.npz", x=np.array([RunsCode(trace)], dtype=object))
    assert pickle.dumps(RunsCode(trace))  # The attack is a real one.
    with pytest.raises(InputError, match="array 'x' holds Python objects"):
        read_npz(tmp_path / "a.npz")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.txt", b"hello")], "holds 'a.txt', expected arrays"),
        ([("a.npy", b"hello")], "array 'a' has no readable header"),
        ([("a.npy", header_bytes((2**40,)))], "declares shape"),
        ([("a.npy", header_bytes((5,)) + bytes(19))], "declares shape"),
        ([("a.npy", header_bytes((5,)) + bytes(21))], "declares shape"),
        ([("a.npy", header_bytes((-5,)) + bytes(20))], "array 'a'"),
        ([("a.npy", header_bytes("__import__('os')"))], "no readable header"),
        ([("a.npy", b"\x93NUMPY\x09\x00" + bytes(200))], "no readable header"),
    ],
)
def test_refuses_what_is_no_array(tmp_path, members, message):
    with pytest.raises(InputError, match=message):
        read_npz(archive(tmp_path / "a.npz", members))


def test_refuses_two_arrays_of_one_name(tmp_path):
    content = npy_bytes(np.zeros(3))
    with pytest.warns(UserWarning, match="Duplicate"):
        path = archive(tmp_path / "a.npz", [("a.npy", content), ("a.npy", content)])
    with pytest.raises(InputError, match="two parts of the same name"):
        read_npz(path)


def test_a_bomb_is_refused_before_it_unfolds(tmp_path):
    path = archive(tmp_path / "a.npz", [("a.npy", npy_bytes(np.zeros(30_000_000, np.uint8)))])
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(InputError, match=r"would take 30 MB of memory, expected at most 1 MB"):
        read_npz(path, max_bytes=1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_every_cut_is_noticed(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(20), b=np.arange(30))
    content = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"cut.npz: is not a complete .npz archive"):
            read_npz(tmp_path / "cut.npz")


def test_a_flipped_bit_is_noticed(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(200))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[700] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="array 'a' is damaged"):
        read_npz(tmp_path / "a.npz")


def test_missing_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_npz(tmp_path / "none.npz")
    with pytest.raises(InputError, match="is a folder"):
        read_npz(tmp_path)
