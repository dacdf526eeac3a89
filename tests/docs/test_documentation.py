"""The documentation: its blocks run, its commands parse, its names and paths exist."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from docs_site import settings_class

from svdam.results.examples import read_results
from tests.docs.blocks import PAGES, ROOT, SMALLER, blocks

ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]
FOREIGN_FLAGS = {
    *("constraint", "logdir", "host", "upgrade", "no-deps"),  # Of pip and TensorBoard,
    *("nodes", "requeue", "ntasks-per-node", "gpus-per-node"),  # Slurm,
    *("direct_running_mode", "direct_num_workers", "job_endpoint"),  # Beam's runners,
    *("environment_type", "environment_config", "flink_master"),
    *("help", "flagfile"),  # and absl.
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which all blocks ran, and what came of each block."""
    folder = tmp_path_factory.mktemp("docs")
    report = folder / "report.json"
    work = folder / "work"
    work.mkdir()
    environment = {
        **os.environ,
        "SVDAM_CACHE": str(folder / "cache"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "agg",
    }
    program = str(ROOT / "tests/docs/blocks.py")
    result = subprocess.run(
        [sys.executable, program, str(report)],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return work, json.loads(report.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("block", ALL_BLOCKS, ids=str)
def test_blocks_run(ran, block):
    (found,) = [one for one in ran[1]["blocks"] if one["block"] == str(block)]
    assert found["error"] is None, f"{block}\n{block.code}\n{found['error']}"


@pytest.mark.parametrize("page", SMALLER)
def test_what_is_made_smaller_is_still_there(page):
    text = (ROOT / page).read_text("utf-8")
    for large in SMALLER[page]:
        assert large in text


@pytest.mark.slow
def test_names_of_the_code_exist(ran):
    _, report = ran
    assert "svdam.evaluation.frechet.frechet_distance" in report["names"]
    assert not report["unknown_names"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page):
    text = page.read_text("utf-8")
    pattern = r"(?<![\w/.])((?:svdam|flags|tests|tools|docs|checkpoints)/[\w./]*[\w/])"
    paths = [path for path in re.findall(pattern, text) if "NAME" not in path]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not set(missing) - {"checkpoints/svdnet_jamendo.keras"}  # One that a user makes.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_exist(page):
    """Also those that are mentioned in passing."""
    known = set(FOREIGN_FLAGS)
    for path in (ROOT / "tools").rglob("*.py"):  # Scripts say their flags in their docstrings.
        known |= set(re.findall(r"--([a-z][\w-]*)", path.read_text("utf-8")))
    commands = [*(ROOT / "svdam").glob("[a-z]*.py"), *(ROOT / "tools").glob("convert_*.py")]
    commands.append(ROOT / "tools/import_model.py")
    for path in commands:
        known |= {field.name for field in dataclasses.fields(settings_class(path))}
    found = set(re.findall(r"(?<![\w-])--([a-z][\w-]*)", page.read_text("utf-8")))
    assert not {name for name in found if name.removeprefix("no") not in known} - known


def results_of(ran, name):
    return read_results(ran[0] / name)


def outputs_of(ran, page):
    return "".join(one["output"] for one in ran[1]["blocks"] if one["block"].startswith(page))


@pytest.mark.slow
def test_own_models_the_search_moves_every_response(ran):
    results = results_of(ran, "runs/own")
    assert results.examples.shape == (6, 8, 40, 32, 1)
    for index, one in enumerate(results.configurations):
        if one.prior_weight < 0.1:
            assert (results.responses[index] > results.start_responses).all()


@pytest.mark.slow
def test_own_models_eq_1_goes_further_than_the_generator(ran):
    fooled = results_of(ran, "runs/fooled")
    assert fooled.latents.shape == (1, 8, 40, 32, 1)
    assert (fooled.responses[0] > fooled.start_responses).all()


@pytest.mark.slow
def test_own_models_prints_what_it_says(ran):
    output = outputs_of(ran, "docs/own_models.md")
    assert "(8, 40, 32, 1)" in output
    assert "(101, 8)" in output
    before, after = re.findall(r"\[([^\]]+)\] -> \[([^\]]+)\]", output)[-1]
    assert (np.array(after.split(), float) > np.array(before.split(), float)).all()


@pytest.mark.slow
def test_the_tutorial_ends_with_a_page(ran):
    folder = ran[0] / "runs/drums/report"
    assert "drums" in (folder / "index.html").read_text("utf-8")
    assert (folder / "figures/figure_4.png").stat().st_size > 10_000
    assert re.search(r"maximized: [\d.]+ dB/s", outputs_of(ran, "docs/tutorial.md"))
    atlas = ran[0] / "runs/drums/explain_yamnet/index.html"
    assert "from ismir2015 to yamnet" in atlas.read_text("utf-8")
