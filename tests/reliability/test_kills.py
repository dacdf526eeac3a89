"""Commands that are killed while they write end, started again, with what nobody disturbed made.

Two of the six; the others are killed beside their own tests. tools/kill_runs.py kills each of them
as often as one likes.
"""

import random
import time

import kill_runs
import pytest
import small_world

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["responses", "report"])
def test_killed_while_it_writes(world, worlds, name):
    expected = small_world.contents(worlds[0].folder / "runs" / name)
    stage = kill_runs.Stage(name, world)
    stage.clear()
    process, before = stage.start(), stage.snapshot()
    while stage.snapshot() == before:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    time.sleep(random.uniform(0, 2))
    kill_runs.kill(process)
    stage.finish()
    assert small_world.differences(stage.output, expected) == []
    assert not [path.name for path in stage.output.rglob("*partial*")]


def test_no_worker_outlives_a_killed_command(tmp_path):
    stage = kill_runs.Stage("data", tmp_path, kill_runs.MORE["data"])
    process, before = stage.start(), stage.snapshot()
    while not any(name.endswith(".wav") for name, _ in stage.snapshot() - before):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    kill_runs.kill(process)


def test_the_comparison_sees_a_changed_bit(worlds, tmp_path):
    folder = worlds[0].folder / "runs/responses"
    expected = small_world.contents(folder)
    changed = {**expected, "responses.h5": expected["responses.h5"][:-1] + b"x"}
    assert small_world.differences(folder, changed) == ["responses.h5"]
    del changed["responses.h5"]
    assert small_world.differences(folder, changed) == ["responses.h5"]
