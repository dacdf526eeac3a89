"""Stages, here and on Beam: errors in one line, a stage for each thread, interruptions."""

import os
import threading
import time
from pathlib import Path

import pytest

from svdam.core.beam import Advance, Stage, ignore, run_stage
from svdam.core.validation import InputError


class Noting(Stage):
    """Leaves a file for each element, which says which object of which process was at work."""

    def __init__(self, folder: Path):
        self._folder, self._seen = folder, 0

    def process(self, element: int, advance: Advance = ignore) -> None:
        if element < 0:
            raise InputError(f"{element}: is below 0")
        self._seen += 1
        time.sleep(0.05)
        note = f"{os.getpid()} {threading.get_ident()} {id(self)} {self._seen}"
        (self._folder / str(element)).write_text(note)
        advance(1)

    def close(self) -> None:
        (self._folder / f"closed {id(self)} {time.monotonic()}").touch()


def _notes(folder: Path) -> dict[int, list[str]]:
    return {
        int(path.name): path.read_text().split() for path in folder.iterdir() if path.name.isdigit()
    }


def test_every_element_is_worked_on_once_in_this_process(tmp_path):
    watched = []
    run_stage(range(7), Noting(tmp_path), "DirectRunner", watch=lambda: watched.append(1))
    notes = _notes(tmp_path)
    assert notes.keys() == set(range(7))
    assert {note[0] for note in notes.values()} == {str(os.getpid())}
    assert sorted(int(note[3]) for note in notes.values()) == list(range(1, 8))
    assert watched and list(tmp_path.glob("closed *"))


def test_each_thread_has_a_stage_of_its_own(tmp_path):
    options = ["--direct_running_mode=multi_threading", "--direct_num_workers=3"]
    run_stage(range(24), Noting(tmp_path), "DirectRunner", options)
    notes = _notes(tmp_path)
    assert notes.keys() == set(range(24))
    threads_of = {}
    for _, thread, stage, _ in notes.values():
        threads_of.setdefault(stage, set()).add(thread)
    assert len(threads_of) > 1


def test_errors_of_a_stage_are_its_own_line(tmp_path):
    with pytest.raises(InputError, match=r"^-3: is below 0$"):
        run_stage([1, -3], Noting(tmp_path), "DirectRunner")


class Writing(Stage):
    """Fails as on a full disk."""

    def process(self, element: str, advance: Advance = ignore) -> None:
        with open("/dev/full", "wb", buffering=0) as stream:
            try:
                stream.write(b"x")
            except OSError as error:
                error.filename = element
                raise


def test_a_full_disk_is_named_with_the_way_out():
    message = r"^records/a: no space left on device; fix this and run the same command again; fin"
    with pytest.raises(InputError, match=message):
        run_stage(["records/a"], Writing(), "DirectRunner")


@pytest.mark.parametrize(
    "runner, options", [("NoSuchRunner", []), ("DirectRunner", ["--direct_num_workers=many"])]
)
def test_runners_and_options_that_do_not_exist_are_named(tmp_path, runner, options):
    with pytest.raises(InputError, match=f"^--beam_runner={runner}: ") as caught:
        run_stage([1], Noting(tmp_path), runner, options)
    assert "\n" not in str(caught.value)


def test_an_interruption_is_handed_on(tmp_path):
    def watch():
        if _notes(tmp_path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(range(20), Noting(tmp_path), "DirectRunner", watch=watch)


def test_without_a_runner_this_thread_works_through_the_elements(tmp_path):
    done, stage = [], Noting(tmp_path)
    run_stage(range(7), stage, advance=done.append)
    notes = _notes(tmp_path)
    assert [int(notes[element][3]) for element in range(7)] == [1, 2, 3, 4, 5, 6, 7]
    assert {tuple(note[:3]) for note in notes.values()} == {
        (str(os.getpid()), str(threading.get_ident()), str(id(stage)))
    }
    assert done == [1] * 7 and len(list(tmp_path.glob("closed *"))) == 1
    with pytest.raises(InputError, match=r"^-3: is below 0$"):
        run_stage([1, -3], stage)
    with pytest.raises(InputError, match=r"^records/a: no space left on device; fix this and run"):
        run_stage(["records/a"], Writing())
