"""The atlas and the pages of its units: complete, safe, and right where they compute."""

import re

import numpy as np
import pytest

from svdam.report.atlas import (
    CARDS_AT_ONCE,
    CHART_HEIGHT,
    CHART_WIDTH,
    density_chart,
    distance_chart,
    kept_card,
    page_name,
    save_start,
    write_atlas,
    write_unit,
)
from tests.report.atlas_units import FACTS, STEPS, SYNTHESIS, unit_content, write_made_up_atlas
from tests.report.conftest import EVIL
from tests.report.test_pages import Page

NUM_UNITS = CARDS_AT_ONCE + 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    units = []
    for number in range(NUM_UNITS):
        trouble = "its response is the same" if number == 2 else ""
        unit = unit_content(number, f"units:{number}" if number else EVIL, trouble)
        unit.fires = number != 3
        units.append(unit)
    write_made_up_atlas(folder, units, classifier=EVIL)
    return folder


def pages(folder):
    return [folder / "index.html", *(folder / page_name(number) for number in range(NUM_UNITS))]


def test_pages_are_well_formed_and_name_files_that_exist(folder):
    for path in pages(folder):
        text = path.read_text("utf-8")
        page = Page(text)
        assert EVIL not in text
        found = page.all("img") + page.all("a", class_="play")
        for one in [*page.all("img"), *page.all("a")]:
            target = one.get("src") or one.get("href")
            assert not re.match("[a-z]+:", target), target
            if not target.startswith("#"):
                assert (folder / target).exists(), target
                if target.endswith(".png") and "data-scales" in one:
                    assert (folder / target.replace(".png", "-common.png")).exists()
        assert found
        assert all(one["alt"] for one in page.all("img"))


def test_each_unit_has_a_card_with_its_numbers(folder):
    page = Page((folder / "index.html").read_text("utf-8"))
    cards = page.all("li", class_="card")
    assert [int(card["data-number"]) for card in cards] == list(range(NUM_UNITS))
    for number, card in enumerate(cards):
        unit = unit_content(number)
        assert float(card["data-share"]) == pytest.approx(unit.share_above_half, rel=1e-4)
        assert float(card["data-effect0"]) == pytest.approx(unit.effects["singing voice"], rel=1e-4)
        if number != 2:
            expected = unit.found["max"].distance
            assert float(card["data-distance"]) == pytest.approx(expected, rel=1e-4)
            transfer = unit.heard.transfer.transfer
            assert float(card["data-transfer"]) == pytest.approx(transfer, rel=1e-4)
    assert [card["data-state"] for card in cards[1:4]] == [
        "explained", "not explained", "never fires"
    ]  # fmt: skip
    assert len(page.all("template")) == NUM_UNITS - CARDS_AT_ONCE
    text = " ".join(page.text)
    assert "Not explained: its response is the same." in text
    assert f"{NUM_UNITS - 1} of {NUM_UNITS}" in text


def test_a_unit_that_was_not_searched_has_real_excerpts_alone(folder):
    page = Page((folder / page_name(2)).read_text("utf-8"))
    assert "could not be explained: its response is the same" in " ".join(page.text)
    images = [image["src"] for image in page.all("img")]
    assert images and all(re.match("images/00002-(highest|lowest)/", image) for image in images)


def test_the_density_is_where_the_responses_are():
    unit = unit_content(5)
    chart = density_chart(unit)
    sets = [unit.start, *unit.searched.values()]
    low, high = chart["low"], chart["high"]
    everything = np.concatenate([unit.bin_edges, *(one.responses for one in sets)])
    assert (low, high) == (everything.min(), everything.max())
    for mark, one in zip(chart["marks"], sets, strict=True):
        ends = [mark["left"], mark["x"], mark["right"]]
        expected = [one.responses.min(), one.responses.mean(), one.responses.max()]
        np.testing.assert_allclose(
            low + np.array(ends) / CHART_WIDTH * (high - low), expected, atol=0.01
        )
    points = np.array(re.findall(r"L([\d.]+) ([\d.]+)", chart["path"])[:-1], float)
    heights = 1 - points[::2, 1] / CHART_HEIGHT  # Of the left end of each bin.
    np.testing.assert_allclose(
        heights**2 * unit.bin_counts.max(), unit.bin_counts, atol=0.04 * unit.bin_counts.max()
    )


def test_distances_lie_on_logarithmic_axes():
    found = unit_content(1).found["max"]
    chart = distance_chart(found)
    low, high = chart["distances"]
    for line, row in zip(chart["lines"], found.distances, strict=True):
        points = np.array([point.split(",") for point in line["points"].split()], float)
        known = np.isfinite(row)
        across = np.log(STEPS[known]) / np.log(STEPS[-1]) * CHART_WIDTH
        np.testing.assert_allclose(points[:, 0], across, atol=0.06)
        values = high * (low / high) ** (points[:, 1] / CHART_HEIGHT)
        np.testing.assert_allclose(values, row[known], rtol=0.01)
    assert [found.configuration.num_steps, found.distance] == pytest.approx(
        [
            np.exp(chart["best"][0] / CHART_WIDTH * np.log(STEPS[-1])),
            high * (low / high) ** (chart["best"][1] / CHART_HEIGHT),
        ],
        rel=0.01,
    )


def test_a_card_that_was_kept_is_the_one_that_was_made(tmp_path):
    assert kept_card(tmp_path, 0) is None
    unit = unit_content(1, "units:1")
    sounds = save_start(tmp_path, unit.start, SYNTHESIS)
    card = write_unit(tmp_path, unit, sounds, SYNTHESIS)
    write_atlas(tmp_path / "a", [card], unit.start, [], FACTS, {})
    write_atlas(tmp_path / "b", [kept_card(tmp_path, 1)], unit.start, [], FACTS, {})
    texts = [(tmp_path / one / "index.html").read_text("utf-8") for one in "ab"]
    assert texts[0] == texts[1]
