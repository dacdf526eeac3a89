"""Disks that are full or read-only: one clear line, nothing lost, and the run goes on.

A real file system of some kilobytes takes the place of the output folder, which needs root; the
tests are skipped where it cannot be mounted. ``SVDAM_ALL_STAGES=1`` tries every stage.
"""

import os
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
import small_world

from svdam.core.commands import explanation
from svdam.core.files import atomic_write, write_json
from svdam.core.runs import locked_folder
from svdam.core.validation import InputError

ALL = os.environ.get("SVDAM_ALL_STAGES")
STAGES = list(small_world.STAGES) if ALL else ["data", "responses", "selection"]
SHARES = (0.1, 0.35, 0.6, 0.9) if ALL else (0.5,)


class Disk:
    """A file system in memory, mounted at a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def mount(self, num_bytes: int) -> None:
        """Makes it of this size, in whole pages."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = f"size={max(num_bytes // 4096, 1) * 4096}"
        line = ["mount", "-t", "tmpfs", "-o", options, "none", str(self.folder)]
        if subprocess.run(line, capture_output=True, check=False).returncode:
            pytest.skip("needs root, to mount a small file system")

    def remount(self, options: str) -> None:
        """Gives it another size, or makes it read-only."""
        line = ["mount", "-o", f"remount,{options}", str(self.folder)]
        subprocess.run(line, check=True, capture_output=True)

    def unmount(self) -> None:
        """Takes it away, if it is there."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)


@pytest.fixture
def disk(tmp_path):
    """A disk that can be mounted at the output folder of a stage, as ``disk("gan")``."""
    made = []

    def at(folder) -> Disk:
        made.append(Disk(folder))
        return made[-1]

    yield at
    for one in made:
        one.unmount()


def message_of(stage: str) -> str:
    """The one line with which a stage ends."""
    with warnings.catch_warnings(), pytest.raises(Exception) as caught:
        warnings.simplefilter("ignore")
        small_world.run_here(small_world.arguments(stage))
    error = caught.value
    message = str(error) if isinstance(error, InputError) else explanation(error)
    assert message and "\n" not in message, repr(error)
    return message


def size_of(folder: Path) -> int:
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*"))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_loses_nothing(world, worlds, disk, stage, share):
    output = world / "runs" / stage
    whole = size_of(output)
    shutil.rmtree(output)
    full = disk(output)
    full.mount(round(whole * share))
    message = message_of(stage)
    assert "disk is full" in message or "No space left" in message
    assert not (output / "complete.json").exists()
    full.remount(f"size={10 * whole + (100 << 20)}")
    small_world.run_here(small_world.arguments(stage))
    expected = small_world.contents(worlds[0].folder / "runs" / stage)
    assert small_world.differences(output, expected) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_became_read_only(world, disk, stage):
    output = world / "runs" / stage
    shutil.rmtree(output)
    closed = disk(output)
    closed.mount(200 << 20)
    closed.remount("ro")
    message = message_of(stage)
    assert f"--output: runs/{stage} cannot be written (Read-only file system)" in message
    closed.remount("rw")
    assert os.listdir(output) == []


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path, disk):
    small = disk(tmp_path / "small")
    small.mount(64 << 10)
    write_json(tmp_path / "small/a.json", {"old": 1})
    with (
        pytest.raises(OSError, match="No space left") as caught,
        atomic_write(tmp_path / "small/a.json") as stream,
    ):
        stream.write("x" * (1 << 20))
    assert os.listdir(tmp_path / "small") == ["a.json"]
    assert (tmp_path / "small/a.json").read_text() == '{\n  "old": 1\n}\n'
    assert "the disk is full; make room, the same command then goes on" in explanation(caught.value)


def test_two_runs_with_one_storage_folder(world):
    flags = ["--dataset=folder", "--data_dir=corpus/audio", "--storage=big", "--output=runs/more"]
    with (
        locked_folder(Path("big"), "storage"),
        pytest.raises(InputError, match=rf"--storage: big is in use by .*, pid {os.getpid()}"),
    ):
        small_world.run_here(["svdam.prepare_data", *flags])
    small_world.run_here(["svdam.prepare_data", *flags])
    assert Path("runs/more/complete.json").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{function_node}} runs/x/ckpt-1.data; No space left on device [Op:SaveV2]", "runs/x/ckp"),
        ("Can't write data (file write failed: name = 'runs/r.h5', errno = 28, error message = "
         "'No space left on device')", "runs/r.h5: the disk is full"),
        ("OOM when allocating tensor with shape[1000000,115,80,64]", "not enough memory"),
        ("Graph execution error: InputError: shard x is damaged", "shard x is damaged"),
    ],
)  # fmt: skip
def test_errors_of_other_libraries_become_one_line(text, expected):
    assert expected in explanation(RuntimeError(text))


def test_defects_keep_their_traceback():
    assert explanation(KeyError("layers")) is None
