"""One browser, one set of small runs and one TensorBoard server for all tests of this folder.

    make test-browser

Screenshots are kept in ``build/browser/``. With ``SVDAM_RUNS=runs/demo`` the tests look at runs
that exist instead of making small ones.
"""

import os
import queue
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.browser.small_runs import make_runs
from tests.browser.webdriver import missing, open_browser

SCREENSHOTS = Path(__file__).parents[2] / "build/browser"


def pytest_sessionstart():
    """Says what is missing before anything else is done."""
    if lacking := missing():
        pytest.exit(lacking, returncode=1)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folder with the runs of all stages."""
    if given := os.environ.get("SVDAM_RUNS"):
        return Path(given).resolve()
    folder = tmp_path_factory.mktemp("runs")
    make_runs(folder)
    return folder


@pytest.fixture(scope="session")
def _browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(_browser):
    """A browser without entries of earlier pages in its logs."""
    _browser.open("about:blank")
    _browser.resize(1280, 1000)
    _browser.prefer("light")
    _browser.console_errors()
    _browser.requests()
    return _browser


@pytest.fixture
def keep(browser):
    """Function that keeps a screenshot under a name."""
    return lambda name: browser.screenshot(SCREENSHOTS / f"{name}.png")


@pytest.fixture(scope="session")
def tensorboard(runs):
    """Address of a TensorBoard server on the runs."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", f"--logdir={runs}", "--host=127.0.0.1",
         "--port=0", "--load_fast=false"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(
        target=lambda: [lines.put(line) for line in server.stderr], daemon=True
    ).start()
    try:
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", said)):
            said += lines.get(timeout=120)
        yield found[0]
    finally:
        server.terminate()
        server.wait(20)
