"""Disks that are full or read-only: one clear line, nothing lost, and the run goes on.

A real file system of some kilobytes takes the place of the output folder, which needs root; the
tests are skipped where it cannot be mounted. ``SVDAM_ALL_STAGES=1`` tries every stage.
"""

import os
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import small_world
import soundfile

from svdam.core.commands import explanation
from svdam.core.files import atomic_write, write_json
from svdam.core.runs import locked_folder
from svdam.core.validation import InputError
from svdam.stages.prepare_data import PrepareSettings, prepare_data

ALL = os.environ.get("SVDAM_ALL_STAGES")
STAGES = list(small_world.STAGES) if ALL else ["data", "classifier"]
SHARES = (0.1, 0.35, 0.6, 0.9) if ALL else (0.5,)


def write_tone(path):
    path.parent.mkdir(parents=True)
    tone = 0.3 * np.sin(np.arange(55_000) / 9) + 0.01 * np.random.RandomState(0).normal(size=55_000)
    soundfile.write(path, tone, 22050)


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
    assert "the disk is full; free some space, then run the same command again" in explanation(
        caught.value
    )


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
    """Bytes that a small file system needs for a folder: whole pages, and none for folders."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in files)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up_in_the_middle(world, worlds, disk, stage, share):
    output = world / "runs" / stage
    whole = size_of(output)
    shutil.rmtree(output)
    full = disk(output)
    full.mount(round(whole * share))
    message = message_of(stage)
    assert "disk is full" in message or "no space left" in message.lower()
    assert not (output / "complete.json").exists()
    full.remount(f"size={10 * whole + (100 << 20)}")
    small_world.run_here(small_world.arguments(stage))
    expected = small_world.contents(worlds[0].folder / "runs" / stage)
    assert small_world.differences(output, expected) == []


def test_a_read_only_disk_names_the_flag(tmp_path, disk):
    closed = disk(tmp_path / "run")
    closed.mount(64 << 10)
    closed.remount("ro")
    with (
        pytest.raises(InputError, match=r"run cannot be written \(Read-only file system"),
        locked_folder(tmp_path / "run"),
    ):
        pass
    closed.remount("rw")
    assert os.listdir(tmp_path / "run") == []


def test_two_runs_with_one_storage_folder(tmp_path):
    write_tone(tmp_path / "music/train/a.wav")
    settings = PrepareSettings(
        output=str(tmp_path / "run"), dataset="folder", data_dir=str(tmp_path / "music"),
        storage=str(tmp_path / "big"),
    )  # fmt: skip
    with (
        locked_folder(tmp_path / "big", "storage"),
        pytest.raises(
            InputError, match=rf"--storage: .*big is being used by .*, pid {os.getpid()}"
        ),
    ):
        prepare_data(settings)
    prepare_data(settings)
    assert (tmp_path / "run/complete.json").exists()


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
