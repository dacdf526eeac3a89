"""The report in a real browser: figures, sounds, sorting, filtering, keyboard, phone."""

import pytest

from svdam.report.pages import PLOT
from tests.browser.webdriver import is_local

SPACE, TAB, ENTER, ESCAPE = "\N{SPACE}", "\ue004", "\ue007", "\ue00c"
RIGHT, DOWN = "\ue014", "\ue015"


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
    page.script("document.getElementById('examples').scrollIntoView({behavior: 'instant'})")
    page.wait(
        "const images = [...document.querySelectorAll('#example-cards img')].slice(0, 12);"
        "return images.every((one) => one.complete && one.naturalWidth)",
        what="the first cards' images",
    )
    keep("report-cards")


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


def test_keyboard_alone_filters_sorts_and_switches(page):
    """Every step is a key; the focus is where Tab has brought it."""
    page.press(TAB)
    assert page.script("return document.activeElement.className") == "skip"
    total = page.script("return document.querySelectorAll('#example-cards > li').length")

    def tab_to(selector):
        for _ in range(200):
            if page.script("return document.activeElement.matches(arguments[0])", selector):
                return
            page.press(TAB)
        raise AssertionError(f"Tab does not come to {selector}")

    tab_to("#common-scale")
    page.press(SPACE)
    assert page.script("return document.documentElement.dataset.scale") == "common"
    tab_to("[data-filter=rate]")
    before = len(shown(page))
    page.press(DOWN)
    rate = page.script("return document.activeElement.value")
    assert rate and {str(one) for one in shown(page, "rate")} <= {rate}
    tab_to("#sort")
    page.press(DOWN)
    responses = shown(page)
    assert responses == sorted(responses, reverse=True)
    tab_to("#reset")
    page.press(ENTER)
    assert len(shown(page)) == total > before
    page.press(TAB)
    assert page.script("return document.activeElement.matches('#example-cards a.play')")


def test_every_image_says_what_it_shows(page):
    texts = page.script(
        "return [...document.images].map((one) => one.alt).concat("
        "[...document.querySelectorAll('template')].flatMap((one) =>"
        " [...one.content.querySelectorAll('img')].map((image) => image.alt)))"
    )
    assert len(texts) > 20 and min(map(len, texts)) > 15


# JavaScript: the lowest contrast (WCAG 2) of text against what is behind it, and whose it is.
LOWEST_CONTRAST = """
const numbers = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map((one) => one / 255)
  .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
  .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (one) => {
  for (; one; one = one.parentElement) {
    const color = numbers(getComputedStyle(one).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
let lowest = [21, ""];
for (const one of document.querySelectorAll("main *, header *, footer *")) {
  const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !one.offsetParent) continue;
  const [a, b] = [numbers(getComputedStyle(one).color), behind(one)].map(luminance);
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < lowest[0]) lowest = [contrast, one.outerHTML.slice(0, 120)];
}
return lowest;
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(page, keep, theme):
    page.prefer(theme)
    background = page.script("return getComputedStyle(document.body).backgroundColor")
    brightness = int(background.removeprefix("rgb(").split(",")[0])
    assert (brightness < 60) == (theme == "dark")
    contrast, element = page.script(LOWEST_CONTRAST)
    assert contrast >= 4.5, element
    keep(f"report-{theme}")
    other = "light" if theme == "dark" else "dark"
    choose(page, "#theme", other)
    assert page.script("return getComputedStyle(document.body).backgroundColor") != background


def test_spectrograms_lie_within_their_axes(page):
    box = page.script(
        "const spec = document.querySelector('.spec');"
        "const [a, b] = [spec, spec.querySelector('img')].map((e) => e.getBoundingClientRect());"
        "return [b.left - a.left, b.top - a.top, b.width, b.height].map((v) => v / a.width * 200);"
    )
    assert box == pytest.approx(PLOT, abs=0.6)


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
