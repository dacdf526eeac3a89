"""A real TensorBoard server on the runs: Scalars, Images, Audio and HParams show our summaries."""

import pytest
from webdriver import DEEP, is_local


@pytest.fixture(autouse=True)
def nothing_leaves_the_machine(browser):
    """TensorBoard asks nobody but its own server."""
    yield
    requests = browser.requests()
    assert requests and [one for one in requests if not is_local(one)] == []


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
    heading = (  # Only the first groups of curves are open.
        DEEP + "const heading = deep(document).find((one) => one.tagName === 'BUTTON'"
        " && one.textContent.trim().split(/\\s/)[0] === 'response');"
    )
    browser.wait(heading + "return heading", 90, "the group of curves 'response'")
    browser.script(heading + "heading.scrollIntoView(); heading.click();")
    wait_for_text(browser, "response/mean", "response/highest")
    browser.wait(
        DEEP + "return deep(document).some((one) => one.tagName === 'path'"
        " && one.closest('g.line-plot, g') && one.getTotalLength() > 50)",
        60,
        "a drawn curve",
    )
    browser.script(heading + "heading.scrollIntoView({behavior: 'instant'});")
    keep("tensorboard-scalars")


def test_hparams(browser, tensorboard, keep):
    browser.open(f"{tensorboard}#hparams")
    wait_for_text(browser, "learning_rate", "prior_weight", "num_steps", "selection/distance")
    keep("tensorboard-hparams")
