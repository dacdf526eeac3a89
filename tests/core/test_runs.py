"""Run folders: what they hold, and what they refuse."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest

from svdam.core.runs import open_run, start_run
from svdam.core.settings import Settings, setting
from svdam.core.validation import InputError


@dataclasses.dataclass(frozen=True)
class Sample(Settings):
    """A setting that makes another run, and one that does not."""

    seed: int = setting(0, "Seed.")
    workers: int = setting(1, "Workers.", identity=False)


def finished(folder, **settings):
    with start_run(folder, "train_gan", Sample(**settings), {"data": "abc"}) as run:
        run.mark_complete({"error": 0.5})
    return folder


def test_a_finished_run_is_opened(tmp_path):
    run = open_run(finished(tmp_path / "run", seed=3), "train_gan", "generator")
    assert run.settings == {"seed": 3, "workers": 1} and run.summary() == {"error": 0.5}
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["command"] == "train_gan" and config["inputs"] == {"data": "abc"}
    assert {"svdam", "python", "numpy", "tensorflow", "keras"} <= config["versions"].keys()
    assert (tmp_path / "run" / "flags.cfg").read_text() == "--seed=3\n--workers=1\n"


def test_the_same_settings_go_on_and_others_are_refused(tmp_path):
    folder = finished(tmp_path / "run")
    with start_run(folder, "train_gan", Sample(workers=9), {"data": "abc"}) as run:
        assert not run.is_complete  # It is running again.
        (folder / "generator.keras").touch()
    with (
        pytest.raises(InputError, match="holds a run with seed=0, now it is 1; choose another"),
        start_run(folder, "train_gan", Sample(seed=1), {"data": "abc"}),
    ):
        pass
    with (
        pytest.raises(InputError, match="with data='abc', now it is 'other'"),
        start_run(folder, "train_gan", Sample(), {"data": "other"}),
    ):
        pass


def test_runs_of_versions_that_had_fewer_settings_go_on(tmp_path):
    folder = finished(tmp_path / "run")
    (folder / "generator.keras").touch()
    config = json.loads((folder / "config.json").read_text())
    del config["settings"]["seed"]
    (folder / "config.json").write_text(json.dumps(config))
    with (
        pytest.raises(InputError, match="holds a run with seed=0, now it is 1"),
        start_run(folder, "train_gan", Sample(seed=1), {"data": "abc"}),
    ):
        pass
    with start_run(folder, "train_gan", Sample(), {"data": "abc"}):
        pass


def test_an_input_that_is_gone_is_another_run(tmp_path):
    folder = finished(tmp_path / "run")
    (folder / "generator.keras").touch()
    with (
        pytest.raises(InputError, match="with data='abc', now it is None"),
        start_run(folder, "train_gan", Sample()),
    ):
        pass


def test_what_is_no_finished_run_of_the_command_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    (tmp_path / "older").mkdir()
    config = {"format": 0, "command": "train_gan", "settings": {}, "inputs": {}}
    (tmp_path / "older" / "config.json").write_text(json.dumps(config))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"format": 1')
    with start_run(tmp_path / "unfinished", "train_gan", Sample()):
        pass
    with start_run(tmp_path / "other", "prepare_data", Sample()) as run:
        run.mark_complete()
    make = "python -m svdam.train_gan --flagfile=flags/gan.cfg"
    for name, message in (
        ("missing", f"--generator: .*missing does not exist; create it with: {make}"),
        ("empty", f"--generator: .*empty is empty; create it with: {make}"),
        ("foreign", "--generator: .*foreign is not a run folder"),
        ("older", "has format 0, expected 1: another version of svdam wrote it"),
        ("broken", "config.json: is not valid JSON"),
        ("unfinished", "is incomplete; resume it with: python -m svdam.train_gan"),
        ("other", "was written by prepare_data, not by train_gan"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            open_run(tmp_path / name, "train_gan", "generator")
        assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_not_written_into(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(InputError, match="is not a run folder"),
        start_run(tmp_path, "train_gan", Sample()),
    ):
        pass
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["thesis.tex"]
    with (
        pytest.raises(InputError, match="is a file"),
        start_run(tmp_path / "thesis.tex", "train_gan", Sample()),
    ):
        pass


def test_a_run_that_failed_before_its_first_result_may_be_started_otherwise(tmp_path):
    """A newcomer's wrong flag does not spoil the folder."""
    with pytest.raises(InputError), start_run(tmp_path / "run", "train_gan", Sample()):
        (tmp_path / "run/events.out.tfevents.1").touch()
        raise InputError("--seed: is not liked")
    with start_run(tmp_path / "run", "train_gan", Sample(seed=1)) as run:
        assert run.settings["seed"] == 1 and not list(run.folder.glob("*tfevents*"))
        (run.folder / "checkpoints").mkdir()
        (run.folder / "checkpoints/ckpt-1.index").touch()
    with (
        pytest.raises(InputError, match="holds a run with seed=1, now it is 2"),
        start_run(tmp_path / "run", "train_gan", Sample(seed=2)),
    ):
        pass


def test_killed_at_its_very_start_it_starts_again(tmp_path):
    """Whatever the first moments leave: an empty lock, half a configuration."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").write_text("host, pid 1\n")
    (folder / ".config.x1.partial.json").write_text('{"form')
    with start_run(folder, "train_gan", Sample()) as run:
        (folder / ".results.x2.partial.h5").touch()
    with start_run(folder, "train_gan", Sample()) as run:
        run.mark_complete()
    assert sorted(os.listdir(folder)) == [".lock", "complete.json", "config.json", "flags.cfg"]


def test_a_folder_of_somebody_else_stays_as_it_is(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError), start_run(tmp_path, "train_gan", Sample()):
        pass
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_links_out_of_the_folder_are_refused(tmp_path):
    """What a stranger's run folder could make a run delete, empty or overwrite."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    for name, target in (
        ("tensorboard", "mine"),
        (".lock", "mine/letter.txt"),
        ("config.json", "mine/letter.txt"),
        ("parts/0.npz", "mine/letter.txt"),
    ):
        folder = finished(tmp_path / name.replace("/", "-"))
        (folder / name).unlink(missing_ok=True)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(tmp_path / target)
        with (
            pytest.raises(InputError, match=r"points outside its folder|cannot be written"),
            start_run(folder, "train_gan", Sample(), {"data": "abc"}),
        ):
            pass
    assert (tmp_path / "mine/letter.txt").read_text() == "dear"


def test_a_folder_that_vanishes_is_not_made_anew(tmp_path):
    with (
        pytest.raises(InputError, match="was removed or replaced during the run"),
        start_run(tmp_path / "run", "train_gan", Sample()) as run,
    ):
        (tmp_path / "run").rename(tmp_path / "away")
        run.mark_complete()
    assert os.listdir(tmp_path) == ["away"]
    (tmp_path / "away").rename(tmp_path / "run")
    with start_run(tmp_path / "run", "train_gan", Sample()) as run:
        run.mark_complete()
    assert run.is_complete


HOLD = """
import sys, time
from tests.core.test_runs import Sample
from svdam.core.runs import start_run
with start_run(sys.argv[1], "train_gan", Sample()):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_and_a_dead_ones_lock_is_taken_over(tmp_path, request):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        cwd=request.config.rootpath,
        env={**os.environ, "PYTHONPATH": str(request.config.rootpath)},
    )
    try:
        assert process.stdout.readline() == b"locked\n"
        with (
            pytest.raises(
                InputError, match=rf"is being used by .*, pid {process.pid}; wait for it"
            ),
            start_run(tmp_path / "run", "train_gan", Sample()),
        ):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with start_run(tmp_path / "run", "train_gan", Sample()) as run:
        assert run.settings["seed"] == 0
