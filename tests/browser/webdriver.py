"""A headless Chromium, driven by the WebDriver protocol with nothing but the standard library.

Nothing is installed here. What is missing is named, with the packages that have it.
"""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVERS = ("chromedriver", "chromium.chromedriver")
_LOCAL = ("127.0.0.1", "localhost")

DEEP = """
const deep = (root, found = []) => {
  for (const one of root.querySelectorAll("*")) {
    found.push(one);
    if (one.shadowRoot) deep(one.shadowRoot, found);
  }
  return found;
};
"""
"""JavaScript: ``deep(document)`` is every element, those in shadow roots too."""


def missing() -> str:
    """What is missing to run these tests, in one line; empty if nothing is."""
    lacking = [
        package
        for package, names in (("chromium", BROWSERS), ("chromium-driver", DRIVERS))
        if not _program(names)
    ]
    if not lacking:
        return ""
    return f"missing: {' and '.join(lacking)}; on Debian: apt-get install {' '.join(lacking)}"


def _program(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


class Browser:
    """One window of a browser that can reach this machine only."""

    def __init__(self, address: str, session: str):
        self._root = f"{address}/session/{session}"

    def open(self, address: str) -> None:
        """Opens a page and waits until it is loaded."""
        self.script("window.isLeft = true")
        self._call("POST", "/url", {"url": address})
        # On a busy machine the driver may answer before the old page is gone, or the new one whole.
        self.wait("return !window.isLeft && document.readyState === 'complete'", what=address)

    def script(self, code: str, *arguments: Any) -> Any:
        """Runs JavaScript; ``return`` gives the value back."""
        return self._call("POST", "/execute/sync", {"script": code, "args": list(arguments)})

    def wait(self, code: str, seconds: float = 30.0, what: str = "") -> Any:
        """Runs JavaScript again and again until it returns something true.

        Raises:
            AssertionError: If it does not in time.
        """
        end = time.monotonic() + seconds
        while not (value := self.script(code)):
            assert time.monotonic() < end, f"not within {seconds} s: {what or code}"
            time.sleep(0.2)
        return value

    def press(self, *keys: str) -> None:
        """Presses keys, one after the other, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        body = {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        self._call("POST", "/actions", body)

    def resize(self, width: int, height: int) -> None:
        """Gives the page itself this size, as small as a phone's if need be."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 700,
        )  # fmt: skip

    def prefer(self, theme: str) -> None:
        """Sets what the system prefers: ``light``, ``dark``, or "" for its default."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self._devtools("Emulation.setEmulatedMedia", features=features)

    def processor_seconds(self, address: str) -> float:
        """Opens a page and tells how much processor time its process needed until it was loaded.

        Unlike the time on the clock this hardly depends on what else the machine does.
        """
        self._devtools("Performance.enable", timeDomain="threadTicks")
        before = self._process_seconds()
        self.open(address)
        return self._process_seconds() - before

    def screenshot(self, path: Path) -> None:
        """Keeps what the window shows as a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def console_errors(self) -> list[str]:
        """Errors in the browser's console since the last call."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, pages and all that they load."""
        found = []
        for entry in self._call("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found

    def _process_seconds(self) -> float:
        found = self._devtools("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in found if one["name"] == "ProcessTime")

    def _devtools(self, command: str, **parameters: Any) -> Any:
        body = {"cmd": command, "params": parameters}
        return self._call("POST", "/goog/cdp/execute", body)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        return _call(method, self._root + path, body)


@contextlib.contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Starts a browser with an empty profile; ends it, whatever happens."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    driver = subprocess.Popen(
        [_program(DRIVERS), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(lambda: _call("GET", f"{address}/status")["ready"])
        made = _call("POST", f"{address}/session", {"capabilities": _capabilities(profile)})
        try:
            yield Browser(address, made["sessionId"])
        finally:
            _call("DELETE", f"{address}/session/{made['sessionId']}")
    finally:
        driver.terminate()
        driver.wait(10)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_local(address: str) -> bool:
    """Whether an address is this machine's, or a page's own data."""
    scheme, _, rest = address.partition(":")
    host = rest.removeprefix("//").split("/")[0].split(":")[0]
    return scheme in ("file", "data", "blob", "about", "chrome") or host in _LOCAL


def _capabilities(profile: Path) -> dict[str, Any]:
    arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--mute-audio",
        "--autoplay-policy=no-user-gesture-required",
        f"--user-data-dir={profile}",
        # Other machines do not exist: a page that needs one shows it.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        "--window-size=1280,1000",
    ]
    options = {"binary": _program(BROWSERS), "args": arguments}
    logs = {"browser": "ALL", "performance": "ALL"}
    return {"alwaysMatch": {"goog:loggingPrefs": logs, "goog:chromeOptions": options}}


def _wait_for(ready: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if ready():
                return
        if time.monotonic() > end:
            raise TimeoutError(f"the browser's driver does not answer within {seconds} s")
        time.sleep(0.1)


def _call(method: str, address: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        address, method=method, data=data, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {address}: {error.read()[:600]!r}") from error
