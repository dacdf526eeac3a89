"""The whole project in miniature, run twice in processes of their own, for tests to look at."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Whatever Python does with a network is written down; the kernel gives the process none anyway.
WATCHED = """
import runpy, sys
log = open(sys.argv[2], "a")
def watch(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"):
        address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        host = address[0] if isinstance(address, tuple) else address
        is_file = isinstance(address, (str, bytes)) and event != "socket.getaddrinfo"
        if not is_file and host not in ("127.0.0.1", "::1"):
            print(event, address, file=log, flush=True)
sys.addaudithook(watch)
sys.argv = ["small_world.py", sys.argv[1]]
sys.path.insert(0, {tools!r})
runpy.run_path({tools!r} + "/small_world.py", run_name="__main__")
"""


WORLD_SECS = 1800
"""Time that the first test of the worlds may take, on a machine that does much else."""


def pytest_collection_modifyitems(items):
    for item in items:
        if "worlds" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(WORLD_SECS))


class World:
    """A finished small world.

    Attributes:
        folder: Where it is.
        output: What its stages printed.
        network: What they did with a network.
    """

    def __init__(self, folder: Path, watched: bool):
        self.folder, self._log = folder, folder.with_suffix(".network")
        command = [sys.executable, str(ROOT / "tools/small_world.py"), str(folder)]
        if watched:
            program = WATCHED.format(tools=str(ROOT / "tools"))
            command = [sys.executable, "-c", program, str(folder), str(self._log)]
            if can_unshare():
                command = ["unshare", "--net", *command]
        folder.mkdir()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {
                "PYTHONPATH": str(ROOT),
                "CUDA_VISIBLE_DEVICES": "",
                "SVDAM_CACHE": str(folder.with_suffix(".cache")),
            },
        )

    def finish(self) -> None:
        """Waits for the end."""
        self.output, _ = self._process.communicate()
        assert self._process.returncode == 0, self.output[-5000:]
        self.network = self._log.read_text() if self._log.exists() else ""


def can_unshare() -> bool:
    """Whether a process can be started without any network, which takes root."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def worlds(tmp_path_factory) -> tuple[World, World]:
    """Two worlds by the same commands, not to be changed; the second without a network."""
    root = tmp_path_factory.mktemp("worlds")
    pair = World(root / "one", watched=False), World(root / "two", watched=True)
    for world in pair:
        world.finish()
    return pair


@pytest.fixture
def world(worlds, tmp_path, monkeypatch) -> Path:
    """A copy of a world that a test may change, as the working directory."""
    # Links instead of copies: every file that is written takes the place of the one before.
    folder = shutil.copytree(worlds[0].folder, tmp_path / "world", copy_function=os.link)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path / "cache"))
    return folder
