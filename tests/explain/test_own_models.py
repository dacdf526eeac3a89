"""docs/own_models.md: its blocks run as they stand, one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from svdam.explain.results import read_results

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```(python|sh)\n(.*?)^```$",
    (ROOT / "docs/own_models.md").read_text("utf-8"),
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """The folder after all blocks ran, and what they printed."""
    folder = tmp_path_factory.mktemp("own")
    steps = []
    for language, code in BLOCKS:
        if language == "sh":  # In the same process, to start TensorFlow once.
            words = code.replace("\\\n", " ").split()
            assert words[:3] == ["python", "-m", "svdam.maximize_activation"]
            code = (
                "from absl import flags\n"
                "from absl.testing import flagsaver\n"
                "from svdam import maximize_activation\n"
                "with flagsaver.flagsaver():\n"
                f"    flags.FLAGS(['maximize_activation', *{words[3:]!r}])\n"
                "    maximize_activation.main()\n"
            )
        steps.append(code)
    program = folder / "blocks.py"
    program.write_text("\n".join(steps), "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_the_search_moves_every_response(worked):
    folder, _ = worked
    results = read_results(folder / "runs/own")
    assert results.examples.shape == (6, 8, 40, 32, 1)
    for index, one in enumerate(results.configurations):
        if one.prior_weight < 0.1:
            assert (results.responses[index] > results.start_responses).all()


def test_eq_1_goes_further_than_the_generator(worked):
    folder, _ = worked
    fooled = read_results(folder / "runs/fooled")
    assert fooled.latents.shape == (1, 8, 40, 32, 1)
    assert (fooled.responses[0] > fooled.start_responses).all()


def test_the_python_blocks_print_what_they_say(worked):
    _, output = worked
    assert "(8, 40, 32, 1)" in output
    assert "(101, 8)" in output
    before, after = re.findall(r"\[([^\]]+)\] -> \[([^\]]+)\]", output)[-1]
    assert (np.array(after.split(), float) > np.array(before.split(), float)).all()
