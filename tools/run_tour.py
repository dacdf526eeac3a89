"""Executes docs/tour.ipynb and keeps its texts and pictures, but not its sounds, which are large.

python tools/run_tour.py
"""

import os
import pathlib

import nbformat
from nbclient import NotebookClient

NOTEBOOK = pathlib.Path(__file__).resolve().parents[1] / "docs/tour.ipynb"


def executed(notebook: nbformat.NotebookNode, timeout_secs: int = 1200) -> nbformat.NotebookNode:
    """Executes a notebook where it lies, in the kernel that is called python3.

    The kernel finds svdam in this checkout, even where it is not installed.
    """
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    paths = [str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    client = NotebookClient(notebook, timeout=timeout_secs, resources=where)
    return client.execute(env=environment)


def main() -> None:
    """Executes the notebook and writes it back."""
    notebook = executed(nbformat.read(NOTEBOOK, as_version=4))
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # Times of day.
        kept = [one for one in cell.get("outputs", []) if "audio/wav" not in str(one.get("data"))]
        if "outputs" in cell:
            cell["outputs"] = kept
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
