"""The report in a real browser: figures, sounds, sorting, filtering, keyboard, phone."""

import pytest
from webdriver import is_local

SPACE, ENTER, ESCAPE, RIGHT = "\N{SPACE}", "\ue007", "\ue00c", "\ue014"


@pytest.fixture
def page(browser, runs):
    browser.open((runs / "report/index.html").as_uri())
    return browser


@pytest.fixture(autouse=True)
def nothing_goes_wrong(browser):
    """No console error, and no request for anything that is not a file of the report."""
    yield
    assert browser.console_errors() == []
    foreign = [one for one in browser.requests() if one.startswith("http") or not is_local(one)]
    assert foreign == []


def choose(page, selector, option):
    """Chooses an option as a user does, and returns the responses of the cards that are shown."""
    page.script(
        "const box = document.querySelector(arguments[0]); box.value = arguments[1];"
        "box.dispatchEvent(new Event('change', {bubbles: true}));",
        selector,
        option,
    )
    return shown(page)


def shown(page, key="response"):
    return page.script(
        "return [...document.querySelectorAll('#example-cards > li')]"
        ".filter((card) => !card.hidden).map((card) => +card.dataset[arguments[0]])",
        key,
    )


def test_figures_are_there(page, keep):
    plots = page.wait(
        # Images are lazy: each loads when it comes near the window.
        "const all = [...document.querySelectorAll('img.plot')];"
        "const next = all.find((one) => !one.complete || !one.naturalWidth);"
        "if (next) { next.scrollIntoView({behavior: 'instant'}); return null; }"
        "return all.map((one) => one.getAttribute('src'));",
        what="all figures",
    )
    names = {plot.split("/")[-1] for plot in plots}
    assert {"figure_2.png", "figure_3.png", "figure_4.png", "curves.png", "ranking.png"} <= names
    page.script("window.scrollTo({top: 0, behavior: 'instant'})")
    keep("report-top")
    page.script("document.getElementById('explanation').scrollIntoView({behavior: 'instant'})")
    keep("report-explanation")


def test_a_sound_plays(page, keep):
    page.script("document.querySelector('a.play').click()")
    player = "const player = document.getElementById('player');"
    page.wait(f"{player} return player.currentTime > 0.2", what="currentTime to move")
    duration, error = page.script(f"{player} return [player.duration, player.error]")
    assert 1 < duration < 3 and error is None
    keep("report-sound")
    page.wait(f"{player} return player.ended", what="the sound's end")
    assert not page.script("return document.querySelectorAll('.playing').length")


def test_equal_loudness_turns_down(page):
    page.script("document.querySelector('a.play').click()")
    volume = "return document.getElementById('player').volume"
    assert page.script(volume) == 1
    page.script("document.getElementById('equal-loudness').click()")
    level, target = page.script(
        "return [+document.querySelector('a.play').dataset.level,"
        "+document.getElementById('player-bar').dataset.target]"
    )
    assert page.script(volume) == pytest.approx(min(1, target / level), abs=1e-6)


def test_keyboard(page):
    page.script("document.querySelector('a.play').focus()")
    page.press(ENTER)
    page.wait("return document.getElementById('player').currentTime > 0", what="Enter to play")
    page.press(ESCAPE)
    page.wait("return document.getElementById('player').paused", what="Escape to stop")
    page.press(RIGHT)
    links = "[...document.querySelectorAll('a.play')].filter((one) => one.offsetParent)"
    assert page.script(f"return {links}.indexOf(document.activeElement)") == 1
    page.press(SPACE)
    page.wait("return !document.getElementById('player').paused", what="space to play")


def test_sorting(page, keep):
    page.script("document.getElementById('reset').click()")
    everything = shown(page)
    assert len(everything) > 8
    assert choose(page, "#sort", "response down") == sorted(everything, reverse=True)
    assert choose(page, "#sort", "response up") == sorted(everything)
    choose(page, "#sort", "prior down")
    priors = [value for value in shown(page, "prior") if value is not None]
    assert priors == sorted(priors, reverse=True) and len(set(priors)) > 1
    page.script("document.getElementById('examples').scrollIntoView({behavior: 'instant'})")
    page.wait(
        "const first = document.querySelector('#example-cards > li:not([hidden]) img');"
        "return first && first.complete && first.naturalWidth",
        what="the first card's image",
    )
    keep("report-examples")


def test_filtering(page):
    page.script("document.getElementById('reset').click()")
    total = len(shown(page))
    rates = shown(page, "rate")
    option = page.script("return document.querySelector('[data-filter=rate]').options[1].value")
    kept = choose(page, "[data-filter=rate]", option)
    assert 0 < len(kept) < total and len(kept) == rates.count(float(option))
    text = page.script("return document.getElementById('shown').textContent")
    assert text == f"{len(kept)} of {total} examples"
    page.script("document.getElementById('reset').click()")
    assert len(shown(page)) == total


def test_common_scale_changes_every_spectrogram(page):
    sources = "return [...document.querySelectorAll('img[data-scales]')].map((one) => one.src)"
    before = page.script(sources)
    page.script("document.getElementById('common-scale').click()")
    after = page.script(sources)
    assert after == [one.replace(".png", "-common.png") for one in before] and len(after) > 4


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out(page, keep, width):
    page.resize(width, 780)
    page.wait("return document.readyState === 'complete'")
    assert page.script("return document.documentElement.scrollWidth") <= width
    keep(f"report-{width}")


def test_page_of_real_excerpts(browser, runs, keep):
    browser.open((runs / "responses/index.html").as_uri())
    browser.wait(
        "const first = document.querySelector('.cards img');"
        "return first.complete && first.naturalWidth",
        what="the first excerpt's image",
    )
    browser.script("document.querySelector('a.play').click()")
    browser.wait("return document.getElementById('player').currentTime > 0.2", what="sound")
    keep("real-excerpts")


def test_shows_in_three_seconds(page):
    paint, interactive = page.script(
        "const paint = performance.getEntriesByName('first-contentful-paint')[0];"
        "const page = performance.getEntriesByType('navigation')[0];"
        "return [paint.startTime, page.domContentLoadedEventEnd];"
    )
    assert paint < 3000 and interactive < 3000
