"""What the benchmarks share: turns, ratios, tables. Nothing here measures speed."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
BENCHMARKS = ROOT / "tools" / "benchmarks"


@pytest.fixture(scope="module")
def measuring():
    spec = importlib.util.spec_from_file_location("measuring", BENCHMARKS / "measuring.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["measuring"] = module
    spec.loader.exec_module(module)
    return module


def test_everyone_takes_a_turn_and_the_first_round_does_not_count(measuring):
    calls = []

    def contestant(name, secs, units):
        def run():
            calls.append(name)
            time.sleep(0.5 if len(calls) <= 2 else secs)
            return units

        return run

    costs = measuring.take_turns({"a": contestant("a", 0.02, 1), "b": contestant("b", 0.1, 10)}, 3)
    assert calls == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert costs["a"].shape == (3, 2)
    assert (costs["a"][:, 0] >= 0.02).all() and (costs["a"][:, 0] < 0.4).all()
    assert (costs["b"][:, 0] >= 0.01).all() and (costs["b"][:, 0] < 0.04).all()


def test_processor_time_counts_children_finished_and_told(measuring):
    burn = "import time\nwhile time.process_time() < 0.3: pass"

    def finished():
        subprocess.run([sys.executable, "-c", burn], check=True)
        return 1

    costs = measuring.take_turns({"finished": finished, "told": lambda: (2, 5.0)}, 1)
    assert costs["finished"][0, 1] >= 0.3
    assert costs["told"][0, 1] == pytest.approx(2.5, abs=0.1)


def test_what_others_disturb_is_measured_again(measuring, monkeypatch):
    """One processor's worth of others in the first run, none in the second."""
    busy = iter([0, 0, 0, 10, 10, 10, 10, 10])  # Before and after: wait, run, wait, run.
    monkeypatch.setattr(measuring, "_busy_secs", lambda: float(next(busy)))
    monkeypatch.setenv("BENCH_PATIENCE_SECS", "60")
    runs = []
    costs = measuring.take_turns({"a": lambda: runs.append(0) or 1}, 1, rehearse=False)
    assert len(runs) == 2 and costs["a"].shape == (1, 2)


def test_a_ratio_is_the_median_of_the_turns_ratios(measuring, tmp_path, capsys):
    ours = np.array([[1.0, 2.0], [2.0, 2.0], [4.0, 2.0]])
    theirs = np.array([[3.0, 3.0], [4.0, 3.0], [40.0, 3.0]])  # Ratios 3, 2, 10; of medians 2.
    table = measuring.speed_table({"ours": ours, "theirs": theirs}, "step", "ours", "A title")
    measuring.report("name", "What", [table], tmp_path, "A note.")
    text = (tmp_path / "name.md").read_text()
    assert capsys.readouterr().out == text
    assert "| ours | 2000 | 2000 | 1 | 1 |" in text
    assert "| theirs | 4000 | 3000 | 3.00 (2.00 to 10.0) | 1.50 |" in text
    assert f"numpy {np.__version__}" in text and "A note." in text
    written = json.loads((tmp_path / "name.json").read_text())
    row = written["tables"][0]["rows"][1]
    assert row["times as long as ours"] == {"median": 3, "low": 2, "high": 10}


def test_what_is_missing_is_said_in_one_line(measuring, capsys):
    assert measuring.has("numpy")
    assert not measuring.has("no_such_competitor")
    assert capsys.readouterr().err == (
        "no_such_competitor is missing, its rows are left out; to get it: "
        "pip install -c constraints.txt -e '.[bench]'\n"
    )


def test_every_benchmark_is_named_on_the_page_about_performance():
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    helpers = {"measuring.py", "torch_networks.py"}
    scripts = {path.name for path in BENCHMARKS.glob("*.py")} - helpers
    assert {name for name in scripts if f"`{name}" not in page} == set()
