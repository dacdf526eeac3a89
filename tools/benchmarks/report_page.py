"""Measures how soon a report's page shows, and how soon it answers, in headless Chromium.

    python tools/benchmarks/report_page.py [PAGE]

PAGE is the index.html of a report; without it a report of 27 configurations with 50 examples each
is made up first. Every turn opens the page anew. Times are milliseconds from the start of the
navigation, or from an action to the frame that shows its result. Needs Debian's chromium and
chromium-driver.
"""

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/browser"))

from large_report import write_large_report
from webdriver import Browser, missing, open_browser

TURNS = 5

_LOADING = """
const page = performance.getEntriesByType('navigation')[0];
const paint = performance.getEntriesByName('first-contentful-paint')[0];
return {
  'first paint': paint.startTime,
  'usable': page.domContentLoadedEventEnd,
  'loaded': page.loadEventEnd,
};
"""
_ACTIONS = {
    "show all examples": "document.getElementById('reset').click();",
    "sort them": "const box = document.getElementById('sort'); box.value = 'response down';"
    "box.dispatchEvent(new Event('change'));",
    "filter them": "const box = document.querySelector('[data-filter=rate]');"
    "box.selectedIndex = 1; box.dispatchEvent(new Event('change'));",
    "common scale": "document.getElementById('common-scale').click();",
}


def main() -> None:
    """Prints the median and the worst of all turns."""
    if lacking := missing():
        sys.exit(lacking)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(sys.argv[1]) if len(sys.argv) > 1 else write_large_report(Path(folder))
        turns = []
        for turn in range(TURNS):
            with open_browser(Path(folder) / f"profile{turn}") as browser:
                turns.append(_measure(browser, page.resolve().as_uri()))
    for name, values in {name: [turn[name] for turn in turns] for name in turns[0]}.items():
        print(f"{name:>20}: {statistics.median(values):8.0f}   (at worst {max(values):.0f})")


def _measure(browser: Browser, address: str) -> dict[str, float]:
    browser.resize(1280, 1000)
    browser.open("about:blank")
    browser.requests()
    browser.open(address)
    found = browser.script(_LOADING)
    found["files read"] = len(browser.requests())
    found["examples"] = browser.script(
        "return document.querySelectorAll('#example-cards > li').length"
    )
    for name, action in _ACTIONS.items():
        found[name] = browser.script(
            "const start = performance.now();"
            + action
            + "return new Promise((done) => requestAnimationFrame(() => setTimeout("
            "() => done(performance.now() - start))));"
        )
    return found


if __name__ == "__main__":
    main()
