"""Closed by default: servers for this machine alone, no network, names from data do no harm."""

import contextlib
import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
HARMFUL = ("<script>alert", "<img src=x")


def test_tensorboard_commands_bind_to_localhost(worlds):
    texts = [path.read_text("utf-8") for path in (ROOT / "svdam").rglob("*.py")]
    texts += [
        path.read_text("utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    ]
    lines = [line for text in texts for line in text.splitlines() if "--logdir" in line]
    assert len(lines) >= 3 and all("--host localhost" in line for line in lines), lines
    assert not any("bind_all" in text for text in texts)
    printed = [line for line in worlds[0].output.splitlines() if "--logdir" in line]
    assert len(printed) >= 4 and all(line.endswith("--host localhost") for line in printed)


def test_no_stage_uses_a_network(worlds):
    assert worlds[1].network == ""


def test_pages_escape_names_and_load_nothing(worlds):
    runs = worlds[0].folder / "runs"
    pages = list(runs.rglob("*.html"))
    assert len(pages) == 2 + 1 + 3  # Of report and responses; the atlas, and its three units.
    for page in pages:
        text = page.read_text("utf-8")
        assert not any(harm in text for harm in HARMFUL)
        sources = re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"'\s>]+)", text)
        assert sources and not [one for one in sources if re.match(r"(https?:)?//", one)]
        assert " &lt;script&gt;alert(1)&amp;" in text or page == runs / "explain/index.html"


@pytest.fixture(scope="module")
def server(worlds):
    """TensorBoard, started by the command that train_gan prints; yields (port, process)."""
    (line,) = (
        line.split(": ", 1)[1]
        for line in worlds[0].output.splitlines()
        if line.startswith("watch it with") and "runs/gan" in line
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [word.replace("runs/gan", "runs") for word in shlex.split(line)[1:]]
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *arguments, f"--port={port}"],
        cwd=worlds[0].folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 90
    while not listening(port):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    yield port
    process.kill()
    process.wait()


def listening(port: int) -> set[str]:
    """Addresses, as the kernel writes them, at which somebody listens to a port."""
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                address, number = line.split()[1].split(":")
                if int(number, 16) == port and line.split()[3] == "0A":
                    found.add(address)
    return found


def fetch(port: int, path: str, **query: str):
    address = f"http://127.0.0.1:{port}/data/plugin/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.load(answer)


def test_tensorboard_listens_on_this_machine_alone(server):
    localhost = {"0100007F", "0" * 24 + "01000000"}  # 127.0.0.1 and ::1.
    assert listening(server) <= localhost


class Html(HTMLParser):
    """Tags and text of a piece of HTML."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def test_tensorboard_shows_names_as_text(server):
    deadline = time.monotonic() + 60
    while len(tags := fetch(server, "text/tags")) < 8:  # It reads runs one by one.
        assert time.monotonic() < deadline, tags
        time.sleep(0.5)
    shown = {}
    for run, names in tags.items():
        for name in names:
            parts = fetch(server, "text/text", run=run, tag=name)
            shown[run, name] = Html("".join(part["text"] for part in parts))
    assert {"table", "tr", "code"} <= set().union(*(html.tags for html in shown.values()))
    for where, html in shown.items():
        assert not html.tags & {"img", "script", "b"}, where
    assert "f <img src=x onerror=alert(1)>" in shown["evaluation/tensorboard", "table"].text
    assert "no sound ![x](x) <b>.wav" in shown["data/tensorboard", "skipped"].text
    images = fetch(server, "images/tags")
    pictured = images["evaluation/tensorboard"].keys()
    assert any(name.startswith("songs/f <img") for name in pictured)  # The page sets it as text.
    legend = images["data/tensorboard"]["songs with labels"]["description"]
    assert not Html(legend).tags & {"img", "script"} and HARMFUL[0] in Html(legend).text
