"""Measures how soon a report's page shows, and how soon it answers, in headless Chromium.

    python tools/benchmarks/report_page.py [PAGE] [--turns=5]

PAGE is the index.html of a report; without it a report of 28 sets with 50 examples each is made up
first. Every turn opens the page in a new browser with an empty profile. Times run from the start of
the navigation, or from an action to the frame that shows its result. Needs Debian's chromium and
chromium-driver.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/browser"))

from large_report import write_large_report
from measuring import Spread, Table, parser, report
from webdriver import Browser, missing, open_browser

_MOMENTS = {
    "something is shown": "performance.getEntriesByName('first-contentful-paint')[0].startTime",
    "the page answers": "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd",
    "all near the window is loaded": "performance.getEntriesByType('navigation')[0].loadEventEnd",
}
_CHANGE = "box.dispatchEvent(new Event('change', {bubbles: true}));"
_ACTIONS = {
    "show all examples": "document.getElementById('reset').click();",
    "sort them": "const box = document.getElementById('sort'); box.value = 'response down';"
    + _CHANGE,
    "filter them": "const box = document.querySelector('[data-filter=rate]');"
    "box.selectedIndex = 1;" + _CHANGE,
    "change to the common scale": "document.getElementById('common-scale').click();",
}
_SHOWN = "() => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)))"


def main() -> None:
    """Opens the page in turns and prints a table."""
    if lacking := missing():
        sys.exit(lacking)
    flags = parser(__doc__)
    flags.add_argument("page", nargs="?", help="index.html of a report; one is made up without it")
    given = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(given.page) if given.page else write_large_report(Path(folder))
        turns = []
        for turn in range(given.turns + 1):
            with open_browser(Path(folder) / f"profile{turn}") as browser:
                turns.append(_measure(browser, page.resolve().as_uri()))
    columns = {name: Spread.of([turn[name] for turn in turns[1:]]) for name in turns[0]}
    number, read = (columns.pop(name) for name in ("examples", "files read"))
    rows = [{"": name, "milliseconds": spread} for name, spread in columns.items()]
    title = f"A page of {number} examples, until"
    notes = f"Files read until then, the page itself among them: {read}."
    report("report_page", "The report in a browser", [Table(title, rows)], given.output, notes)


def _measure(browser: Browser, address: str) -> dict[str, float]:
    browser.resize(1280, 1000)
    browser.open("about:blank")
    browser.requests()
    browser.open(address)
    found = {name: browser.script(f"return {moment}") for name, moment in _MOMENTS.items()}
    found["files read"] = len(browser.requests())
    cards = "document.querySelectorAll('#example-cards > li')"
    found["examples"] = browser.script(f"return {cards}.length")
    for name, action in _ACTIONS.items():
        found[name] = browser.script(
            f"const start = performance.now(); {action}return new Promise((done) => ({_SHOWN})());"
        )
    return found


if __name__ == "__main__":
    main()
