"""Starting latents from seeds and from files."""

import h5py
import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.explain.starts import starting_latents

ROWS = np.random.default_rng(0).normal(size=(4, 6))


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "nan.npy", np.full((2, 6), np.nan))
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    np.save(tmp_path / "empty.npy", np.zeros((0, 6)))
    (tmp_path / "damaged.npy").write_bytes((tmp_path / "rows.npy").read_bytes()[:100])
    (tmp_path / "text.h5").write_text("no HDF5")
    for name, latents in (("one.h5", ROWS[None]), ("two.h5", np.stack([ROWS, ROWS]))):
        with h5py.File(tmp_path / name, "w") as file:
            file["latents"] = latents
    return tmp_path


def test_seeds_are_those_of_the_released_code():
    latents, seeds = starting_latents("7,2-3", None, (6,))
    np.random.seed(2)
    np.testing.assert_array_equal(latents[1], np.random.normal(0, 1, 6))
    np.testing.assert_array_equal(seeds, [7, 2, 3])
    assert len(starting_latents(None, None, (6,))[0]) == 50


@pytest.mark.parametrize("name", ["rows.npy", "one.h5"])
def test_rows_of_a_file(folder, name):
    latents, rows = starting_latents(None, str(folder / name), (6,))
    np.testing.assert_array_equal(latents, ROWS)
    np.testing.assert_array_equal(rows, range(4))
    latents, rows = starting_latents("3,0-1", str(folder / name), (6,))
    np.testing.assert_array_equal(latents, ROWS[[3, 0, 1]])
    np.testing.assert_array_equal(rows, [3, 0, 1])


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("rows.npy", (5,), r"shape \(4, 6\), expected \(N, 5\)"),
        ("nan.npy", (6,), "12 of 12 values are not finite"),
        ("objects.npy", (6,), "objects.npy"),
        ("empty.npy", (6,), r"shape \(0, 6\)"),
        ("damaged.npy", (6,), "damaged.npy cannot be read"),
        ("text.h5", (6,), "text.h5 is damaged .*not an HDF5 file"),
        ("two.h5", (6,), "holds 2 configurations; expected one"),
        ("missing.npy", (6,), "missing.npy does not exist"),
    ],
)
def test_bad_files_are_refused(folder, name, shape, message):
    with pytest.raises(InputError, match=message):
        starting_latents(None, str(folder / name), shape)


def test_rows_that_do_not_exist_are_refused(folder):
    with pytest.raises(InputError, match=r"--seeds: names row 4, .* expected rows from 0 to 3"):
        starting_latents("0-4", str(folder / "rows.npy"), (6,))
