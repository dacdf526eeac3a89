"""docs/tour.ipynb, executed with fewer steps."""

import os

import nbformat
import pytest
from run_tour import NOTEBOOK, executed


@pytest.fixture(scope="module")
def cells():
    """The code cells after execution."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (steps,) = [cell for cell in notebook.cells if "STEPS = 50" in cell.source]
    steps.source = steps.source.replace("STEPS = 50", "STEPS = 3")
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")  # Or jupyter_core warns.
    notebook = executed(notebook, timeout_secs=200)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cells, kind):
    return [
        output["data"][kind]
        for cell in cells
        for output in cell.outputs
        if kind in output.get("data", {})
    ]


@pytest.mark.slow
def test_there_are_pictures_and_sounds(cells):
    assert len(outputs(cells, "image/png")) == 2
    sounds = [html for html in outputs(cells, "text/html") if "audio/wav" in html]
    assert len(sounds) == 3


@pytest.mark.slow
def test_responses_go_where_they_should(cells):
    (text,) = [
        output["text"]
        for cell in cells
        for output in cell.outputs
        if output.output_type == "stream" and output["text"].startswith("max [")
    ]
    for line, up in zip(text.splitlines(), (True, False), strict=True):
        before, after = (
            [float(word) for word in part.strip("[] ").split()]
            for part in line.split(maxsplit=1)[1].split("->")
        )
        assert all((b < a) == up for b, a in zip(before, after, strict=True))


def test_what_is_committed_is_small_and_silent():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    committed = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert NOTEBOOK.stat().st_size < 400_000
    assert len(outputs(committed, "image/png")) == 2
    assert not outputs(committed, "text/html")
