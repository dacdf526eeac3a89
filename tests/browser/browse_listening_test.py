"""The listening test, taken in a browser by simulated listeners whose scores are known before."""

import csv
import random
import re
import urllib.parse

import numpy as np
import pytest
import soundfile
from score_listening_test import main

from svdam.report.assets import Synthesis
from svdam.report.listening_test import KEY_NAME, SOUNDS_NAME, write_listening_test
from tests.report.atlas_units import unit_content

NUM_UNITS = 8
SHOWN = (
    "return [document.getElementById('heading').textContent,"
    " ...[...document.querySelectorAll('[name=chosen]')].map((one) => one.value)]"
)


def to_audio(log_mels, front_end):
    """A tone if there is much energy, else noise."""
    noise = np.random.default_rng(0).normal(size=4000)
    tone = np.sin(np.arange(4000) * 0.3)
    return np.stack([tone if one.mean() > 0 else noise for one in log_mels])


def harmonic_energy(path):
    spectrum = np.abs(np.fft.rfft(soundfile.read(path)[0])) ** 2
    return spectrum.max() / spectrum.sum()


def unit(number):
    """Of a half of the units tones excite, of the others noise."""
    content = unit_content(number, f"fc2:{number}")
    excites = 10.0 if number % 2 else -10.0
    for one, sign in (
        (content.highest, 1), (content.searched["max"], 1),
        (content.lowest, -1), (content.searched["min"], -1),
    ):  # fmt: skip
        one.log_mels[:] = sign * excites
    return content


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("test")
    units = (unit(number) for number in range(20))
    return write_listening_test(folder, units, NUM_UNITS, Synthesis(to_audio))


@pytest.fixture(scope="module")
def key(page):
    with open(page.with_name(KEY_NAME), newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def take(browser, page, choose):
    """Takes the test, and keeps the answers next to it."""
    browser.open(page.as_uri())
    browser.script("document.getElementById('begin').click()")
    while browser.script("return document.getElementById('end').hidden"):
        _, *files = browser.script(SHOWN)
        browser.script(
            "document.querySelector(`[value='${arguments[0]}']`).click();"
            "document.querySelector('[name=confidence]').click();"
            "document.querySelector('#trial button').click();",
            choose(files),
        )
    link = browser.script("return document.getElementById('download').href")
    answers = page.with_name("answers.csv")
    answers.write_text(urllib.parse.unquote(link.split(",", 1)[1]), encoding="utf-8")
    return answers


def scores(page, answers, capsys, *options):
    capsys.readouterr()
    main([str(page.with_name(KEY_NAME)), str(answers), *options])
    lines = [line for line in capsys.readouterr().out.splitlines() if line[0] != "#"]
    return {row["references"]: row for row in csv.DictReader(lines)}


def test_who_knows_is_always_right(browser, page, key, capsys, keep):
    right = {row["right"] for row in key}
    answers = take(browser, page, lambda files: next(one for one in files if one in right))
    found = scores(page, answers, capsys)
    assert set(found) == {"synthesised", "real", "none"}
    for row in found.values():
        assert (row["right"], row["trials"], row["proportion"]) == ("8", "8", "1.0")
        assert float(row["low"]) == 0.676 and float(row["high"]) == 1  # Wilson, by hand.
    assert all(one.startswith(("file:", "data:", "about:")) for one in browser.requests())
    assert not browser.console_errors()


def test_harmonic_energy_alone_is_right_for_half_of_the_units(browser, page, capsys):
    sounds = page.parent / SOUNDS_NAME
    answers = take(
        browser, page, lambda files: max(files, key=lambda one: harmonic_energy(sounds / one))
    )
    found = scores(page, answers, capsys, "--least_caught=0")
    assert [row["proportion"] for row in found.values()] == ["0.5"] * 3
    assert scores(page, answers, capsys) == {}  # Half of the catch trials are too few.


def test_who_guesses_is_near_a_half(browser, page, capsys):
    answers = take(browser, page, random.Random(0).choice)
    found = scores(page, answers, capsys, "--least_caught=0")
    right = sum(int(row["right"]) for row in found.values())
    assert 2 < right < 22  # Of 24; fails once in 28,000 runs.


def test_nothing_gives_the_answers_away(page, key):
    text = page.read_text(encoding="utf-8")
    names = {path.name for path in (page.parent / SOUNDS_NAME).iterdir()}
    assert all(re.fullmatch("[0-9a-f]{16}.wav", name) for name in names)
    assert "fc2:" not in text and "catch" not in text
    rank = [
        sorted(re.search(rf'"choices": \["(\w+.wav)", "(\w+.wav)"\], "id": "{row["trial"]}"', text)
               .groups()).index(row["right"])
        for row in key
    ]  # fmt: skip
    assert 0 < sum(rank) < len(rank)
    assert sum(row["catch"] == "1" for row in key) == 4


def test_references_are_shown_and_fit_a_phone(browser, page, keep):
    browser.resize(390, 844)
    browser.open(page.as_uri())
    browser.script("document.getElementById('begin').click()")
    assert browser.script("return document.documentElement.scrollWidth") <= 390
    assert browser.script("return document.activeElement.id") == "heading"
    keep("listening-phone")
    browser.resize(1280, 1000)
    keep("listening")
