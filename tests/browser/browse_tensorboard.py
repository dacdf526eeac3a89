"""A real TensorBoard server on the runs: Scalars, Images, Audio and HParams show our summaries."""

import csv
import re

import pytest

from tests.browser.webdriver import DEEP, is_local


@pytest.fixture(autouse=True)
def nothing_leaves_the_machine(browser):
    """TensorBoard asks nobody but its own server."""
    yield
    requests = browser.requests()
    assert requests and [one for one in requests if not is_local(one)] == []


def show_all_runs(browser):
    """Ticks all runs where TensorBoard ticked none, as it does with more than 40."""
    boxes = DEEP + (
        "const boxes = deep(document).filter((one) => one.id.startsWith('checkbox-'));"
        "const button = deep(document).find((one) => one.tagName === 'PAPER-BUTTON'"
        " && /toggle all/i.test(one.textContent));"
    )
    browser.wait(boxes + "return boxes.length && button", 90, "the list of runs")
    browser.script(boxes + "if (!boxes.some((one) => one.checked)) button.click();")
    browser.wait(boxes + "return boxes.some((one) => one.checked)", what="runs to be ticked")


def wait_for_text(browser, *words):
    for word in words:
        browser.wait(
            DEEP + "return deep(document).some((one) => [...one.childNodes]"
            f".some((node) => node.nodeType === 3 && node.data.includes({word!r})))",
            90,
            f"the text {word!r}",
        )


def test_images(browser, tensorboard, keep):
    browser.open(f"{tensorboard}#images")
    show_all_runs(browser)
    width = browser.wait(
        DEEP + "const found = deep(document).filter((one) => one.tagName === 'IMG'"
        " && one.src.includes('individualImage') && one.naturalWidth);"
        "return found.length >= 2 && found[0].naturalWidth",
        90,
        "images of the images plugin",
    )
    assert width > 100
    keep("tensorboard-images")


def test_audio(browser, tensorboard, keep):
    browser.open(f"{tensorboard}#audio")
    show_all_runs(browser)
    player = (
        DEEP + "const player = deep(document).find((one) => one.tagName === 'AUDIO'"
        " && (one.currentSrc || one.src).includes('individualAudio'));"
    )
    browser.wait(player + "return player && player.duration > 1", 90, "a sound of ours")
    browser.script(player + "player.play()")
    browser.wait(player + "return player.currentTime > 0.2", what="currentTime to move")
    keep("tensorboard-audio")


def test_scalars(browser, tensorboard, keep):
    browser.open(f"{tensorboard}#scalars")
    show_all_runs(browser)
    heading = (  # Only the first groups of curves are open.
        DEEP + "const heading = deep(document).find((one) => one.tagName === 'BUTTON'"
        " && one.textContent.trim().split(/\\s/)[0] === 'response');"
    )
    browser.wait(heading + "return heading", 90, "the group of curves 'response'")
    browser.script(heading + "heading.scrollIntoView(); heading.click();")
    wait_for_text(browser, "response/mean", "response/highest")
    browser.script(heading + "heading.scrollIntoView({behavior: 'instant'});")
    browser.wait(
        DEEP
        + "const top = (one) => one.getBoundingClientRect().top;"
        + heading.removeprefix(DEEP)
        + "return deep(document).some((one) => one.matches('path.line') && top(one) > top(heading)"
        " && top(one) < innerHeight && one.getTotalLength() > 50)",
        60,
        "a drawn curve",
    )
    keep("tensorboard-scalars")


def test_hparams(browser, tensorboard, runs, keep):
    browser.open(f"{tensorboard}#hparams")
    wait_for_text(browser, "learning rate", "prior weight", "num steps", "distance (eq. 3)")
    cells = (
        DEEP + "return deep(document).map((one) => one.childNodes.length === 1"
        " && one.firstChild.nodeType === 3 ? one.textContent.trim() : '')"
    )
    with (runs / "selection/ranking.csv").open(encoding="utf-8", newline="") as stream:
        distances = [float(row["distance"]) for row in csv.DictReader(stream)]
    shown = [float(text) for text in browser.script(cells) if re.fullmatch(r"-?[\d.e+-]+", text)]
    for distance in distances:
        assert any(one == pytest.approx(distance, rel=1e-3) for one in shown), distance
    keep("tensorboard-hparams")
