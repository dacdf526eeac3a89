"""An atlas of 256 units in a browser: light, loaded as it comes into sight, sorted and searched."""

import pytest

from tests.report.atlas_units import unit_content, write_made_up_atlas

NUM_UNITS = 256
CARDS = "document.querySelectorAll('#example-cards > li')"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    units = (unit_content(number, f"fc2:{number}") for number in range(NUM_UNITS))
    page = write_made_up_atlas(tmp_path_factory.mktemp("atlas"), units)
    return page.as_uri()


@pytest.fixture
def page(browser, address):
    browser.open(address)
    return browser


def test_shows_with_little_work(browser, address):
    assert browser.processor_seconds(address) < 3
    files = browser.requests()
    assert len(files) < 80, files  # Of 768 spectrograms.
    assert all(one.startswith(("file:", "data:")) for one in files)
    assert browser.script(f"return {CARDS}.length") == NUM_UNITS
    assert browser.script("return document.querySelectorAll('*').length") < 8_000
    paint = browser.script(
        "return performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    assert 0 < paint < 60_000


def test_a_card_is_built_when_it_comes_into_sight(page, keep):
    last = f"const all = {CARDS}; const last = all[all.length - 1];"
    assert page.script(f"{last} return last.querySelectorAll('img').length") == 0
    page.script(f"{last} last.scrollIntoView({{behavior: 'instant'}})")
    seen = page.wait(
        f"{last} const found = [...last.querySelectorAll('img')];"
        "return found.length && found.every((one) => one.complete && one.naturalWidth)"
        " ? found.length : null;",
        what="the images of the last card",
    )
    assert seen == 3
    keep("atlas-end")


def test_units_are_searched_sorted_and_filtered(page):
    page.script("document.getElementById('reset').click()")
    shown = page.script(
        "const box = document.getElementById('search'); box.value = 'FC2:25';"
        "box.dispatchEvent(new Event('input', {bubbles: true}));"
        f"return [...{CARDS}].filter((card) => !card.hidden).map((card) => card.dataset.words);"
    )
    assert shown == ["fc2:25", *(f"fc2:25{number}" for number in range(6))]
    assert page.script("return document.getElementById('shown').textContent") == "7 of 256 units"
    shares = page.script(
        "document.getElementById('reset').click();"
        "const box = document.getElementById('sort'); box.value = 'share down';"
        "box.dispatchEvent(new Event('change', {bubbles: true}));"
        f"return [...{CARDS}].map((card) => +card.dataset.share);"
    )
    assert len(shares) == NUM_UNITS and shares == sorted(shares, reverse=True)
    groups = page.script(
        "const box = document.querySelector('[data-filter=group]'); box.selectedIndex = 2;"
        "box.dispatchEvent(new Event('change', {bubbles: true}));"
        f"return [...{CARDS}].filter((card) => !card.hidden).map((card) => card.dataset.group);"
    )
    assert set(groups) == {"2"} and len(groups) == 85


def test_nothing_is_wider_than_a_phone(browser, address, keep):
    browser.resize(390, 844)
    try:
        for target in (address, address.replace("index.html", "unit-00000.html")):
            browser.open(target)
            assert browser.script("return document.documentElement.scrollWidth") <= 390
        keep("atlas-phone")
    finally:
        browser.resize(1280, 900)


def test_a_unit_is_reached_by_keyboard(page):
    name = page.script(
        f"const link = {CARDS}[0].querySelector('h4 a'); link.focus(); link.click();"
        "return link.textContent;"
    )
    page.wait(
        f"return document.querySelector('h1').textContent.includes('{name}') ? 1 : null;",
        what="the page of the unit",
    )
    assert page.script("return document.querySelectorAll('a.play').length") >= 6
