"""The page: well-formed, complete, safe, and without anything from elsewhere."""

import csv
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from svdam.audio.front_ends import FRONT_ENDS
from svdam.core.config import FRONT_END
from svdam.evaluation.transfer import measure_transfer
from svdam.report.assets import Sound, Synthesis
from svdam.report.content import BridgeFacts
from svdam.report.pages import MINUS, number, render, render_page, write_real_page, write_report

VOID = {"meta", "link", "img", "input", "br", "rect", "path", "use"}


class Page(HTMLParser):
    """Collects elements and complains about tags that do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.stack, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.stack, f"not closed: {self.stack}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack and self.stack.pop() == tag, f"</{tag}> does not match"

    def handle_data(self, data):
        if data.strip() and (not self.stack or self.stack[-1] not in ("script", "style")):
            self.text.append(data)

    def all(self, tag, **wanted):
        return [
            attrs
            for found, attrs in self.elements
            if found == tag and all(attrs.get(k.rstrip("_")) == v for k, v in wanted.items())
        ]


def synthesis():
    """Sounds that are no sounds, and an error of the round trip that is known."""
    return Synthesis(
        lambda log_mels, front_end: log_mels.mean(axis=2),
        lambda log_mel, samples, front_end: 1.25 + 0.5 * (samples == log_mel.mean(axis=1)).all(),
        "Made <by> taking means.",
    )


@pytest.fixture(scope="module")
def _folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def report(content, _folder):
    """A report on disk, written once for all tests, and its parsed page."""
    page = _folder / "index.html"
    if not page.exists():
        write_report(_folder, content, synthesis())
    return _folder, Page(page.read_text("utf-8"))


def test_every_link_leads_to_a_file_of_the_report(report):
    folder, page = report
    identifiers = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    links = [a.get("href") or a.get("src") for _, a in page.elements if "href" in a or "src" in a]
    assert len(links) > 50
    for link in links:
        if link.startswith("#"):
            assert link[1:] in identifiers, link
        elif link != "data:,":
            path = folder / unquote(link)
            assert path.resolve().is_relative_to(folder.resolve()) and path.is_file(), link


def test_every_image_has_its_twin_on_the_common_scale(report):
    folder, page = report
    images = [attrs for attrs in page.all("img") if "data-scales" in attrs]
    assert len(images) > 30
    for attrs in images:
        twin = folder / attrs["src"].replace(".png", "-common.png")
        assert twin.is_file() and twin.read_bytes() != b""


def test_no_file_is_left_that_nothing_uses(report):
    folder, page = report
    used = {unquote(a.get("href") or a.get("src") or "") for _, a in page.elements}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != "index.html":
            plain = name.replace("-common", "")
            assert plain in used or plain.replace(".pdf", ".png") in used, name


def test_nothing_comes_from_elsewhere(report):
    folder, _ = report
    text = (folder / "index.html").read_text("utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)


def test_a_song_that_is_called_like_a_script_is_shown_not_run(report):
    folder, page = report
    text = (folder / "index.html").read_text("utf-8")
    assert "<script>alert" not in text
    assert len(page.all("script")) == 1
    assert any('<script>alert(1)</script> & "friends"' in piece for piece in page.text)
    assert any("<really>" in piece for piece in page.text)


def test_no_name_can_add_an_element(content):
    evil = "<x-evil a=\"'>"
    for name in ("response", "concept_name", "distance_layer"):
        setattr(content, name, evil)
    content.warnings, content.measured_by = [evil], {"critic_score": evil}
    content.provenance = {evil: evil}
    content.concept[0] = dataclasses.replace(content.concept[0], comparison=evil, measure=evil)
    content.heard = dataclasses.replace(content.heard, listener=evil, response=evil, bridge=evil)
    for one in content.all_sets():
        one.title, one.labels = evil, [evil] * len(one)
    sounds = {(one.key, 0): Sound("a.wav", 0.1) for one in content.all_sets()}
    page = Page(render_page(content, sounds, evil))
    assert not [tag for tag, attrs in page.elements if "evil" in tag or "a" in attrs]
    shown = " ".join(page.text) + " ".join(str(attrs) for _, attrs in page.elements)
    assert shown.count("x-evil") > 50


def test_images_carry_text_and_are_lazy(report):
    _, page = report
    images = page.all("img")
    assert all(len(attrs["alt"]) > 15 and attrs["loading"] == "lazy" for attrs in images)


def test_every_example_has_a_card_with_its_numbers(report, content):
    _, page = report
    cards = [attrs for attrs in page.all("li", class_="card") if "data-set" in attrs]
    assert len(cards) == 4 * 5  # Three configurations and the minimized set; best = maximized.
    by_place = {(card["data-set"], card["data-seed"]): card for card in cards}
    worst = content.configurations[2]
    assert float(by_place["rank003", "4"]["data-response"]) == pytest.approx(
        worst.responses[4], rel=1e-4
    )
    assert by_place["rank003", "4"]["data-rate"] == "0.001"
    assert float(by_place["rank003", "4"]["data-prior"]) == -180


def test_every_button_has_a_readable_sound_and_its_level(report):
    folder, page = report
    buttons = page.all("a", class_="play")
    # Start, best and minimized in the cards; four latents in Table 6; two for Figure 3; real ones.
    assert len(buttons) > 40
    for attrs in buttons:
        samples, rate = soundfile.read(folder / attrs["href"])
        assert rate == 22050 and len(samples)
        assert float(attrs["data-level"]) == pytest.approx(np.sqrt(np.mean(samples**2)), abs=1e-3)
        assert attrs["aria-label"].startswith("Play: ")


def test_measures_of_every_example_are_beside_the_page(report, content):
    folder, page = report
    assert page.all("a", href="concept.csv")
    with (folder / "concept.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["example"] for row in rows] == content.best.labels
    assert [float(row["transients"]) for row in rows] == [0, 1, 2, 3, 4]
    assert [float(row["response"]) for row in rows] == content.best.responses.tolist()
    assert {row["set"] for row in rows} == {"rank001"}


def test_every_control_has_a_name(report):
    folder, page = report
    text = (folder / "index.html").read_text("utf-8")
    labelled = re.findall(r"<label[^>]*>.*?</label>", text, re.S)
    inside = sum(len(re.findall(r"<(?:select|input)\b", label)) for label in labelled)
    assert inside == len(page.all("select")) + len(page.all("input"))


def test_tables_hold_ours_and_the_papers_numbers(report):
    _, page = report
    text = " ".join(page.text)
    for printed in ("1.654", "35.880", "1557.733", "5.83", "0.082", "0.123"):
        assert printed in text, printed


def test_rank_correlation_says_what_agreement_would_be(report):
    _, page = report
    text = " ".join(" ".join(page.text).split())
    assert "distance to the nearest real excerpt: +0.75 (positive, if the two agree)" in text
    assert "generator's ( critics/mine.keras ) should fall" in text


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ({}, "Transfer: 0.50 .*It hears the difference in the expected direction"),
        ({"minimized": 0.75}, f"Transfer: {MINUS}0.50 .*It hears the reverse"),
        ({"minimized": 0.51}, "Transfer: .*Whether it hears any difference is unclear"),
        ({"highest": 0.12}, "does not tell the real excerpts apart: .* by 0.020"),
    ],
)
def test_the_page_says_what_the_listener_hears(content, means, said):
    heard = content.heard.responses
    heard = {
        name: heard[name] - heard[name].mean() + means.get(name, mean)
        for name, mean in (
            *(("start", 0.3), ("minimized", 0.25), ("maximized", 0.5)),
            *(("lowest", 0.1), ("highest", 0.6)),
        )
    }
    heard["minimized"] = heard["minimized"][::-1]  # So that differences vary.
    content.heard = dataclasses.replace(
        content.heard, responses=heard, transfer=measure_transfer(heard)
    )
    text = " ".join(" ".join(Page(render_page(content, {})).text).split())
    assert re.search(said, text), text


def test_common_loudness_is_that_of_the_quietest_sound(report):
    _, page = report
    levels = [float(attrs["data-level"]) for attrs in page.all("a", class_="play")]
    assert float(page.all("div", id="player-bar")[0]["data-target"]) == min(levels)


def test_page_without_optional_parts(content):
    less = dataclasses.replace(
        content,
        minimized=None,
        concept=[],
        heard=None,
        realism=[],
        detection=None,
        warnings=[],
        direction="min",
    )
    page = Page(render_page(less, {}))
    identifiers = {attrs.get("id") for _, attrs in page.elements}
    assert {"measured", "listener", "classifier", "realism"}.isdisjoint(identifiers)
    assert not page.all("a", class_="play")


def test_axes_of_the_small_spectrograms():
    page = Page(render("axes.svg", {(FRONT_END, 115): "axes"}, {}))
    assert page.text[:5] == ["100", "500", "1k", "2k", "4k"]
    assert page.text[5:9] == ["0", "0.5", "1", "1.5"]
    assert page.text[-2:] == ["time (s)", "frequency (Hz)"]


def test_sets_of_two_front_ends_have_axes_colours_and_sounds_of_their_own(tmp_path, content):
    """As for a classifier that hears the examples through a bridge."""
    yamnet = FRONT_ENDS["yamnet"]
    for name in ("highest", "lowest"):
        one = getattr(content, name)
        log_mels = np.random.default_rng(1).normal(2, 1, size=(3, 96, 64))
        changed = dataclasses.replace(one, log_mels=log_mels, front_end=yamnet)
        content = dataclasses.replace(content, **{name: changed})
    facts = BridgeFacts("ismir2015", "yamnet", "The classifier gets the middle.", 0.87, 40)
    content = dataclasses.replace(content, bridge=facts)
    assert content.common_range(content.highest)[0] > content.common_range(content.start)[1] - 4
    page = Page(write_report(tmp_path, content, synthesis()).read_text("utf-8"))
    assert {"axes", "axes1"} <= {attrs.get("id") for _, attrs in page.elements}
    used = [attrs["href"] for tag, attrs in page.elements if tag == "use"]
    assert used.count("#axes1") == 6 and "#axes" in used
    for name, rate in (("real-highest", 16000), ("start", 22050)):
        assert soundfile.info(tmp_path / "sounds" / f"{name}-0000.wav").samplerate == rate
    text = " ".join(" ".join(page.text).split())
    for words in ("ismir2015", "yamnet", "The classifier gets the middle.", "0.87", "40 real"):
        assert words in text


@pytest.mark.parametrize(
    "value, text",
    [
        (-2.5, "\N{MINUS SIGN}2.50"),
        (None, "\N{EN DASH}"),
        (float("nan"), "\N{EN DASH}"),
        (float("inf"), "∞"),
        (1557.733, "1557.73"),
        (-23009.74, "\N{MINUS SIGN}23010"),
        (3e7, "3e+07"),
    ],
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_resources_are_plain_files():
    import svdam.report

    folder = Path(svdam.report.__file__).parent / "templates"
    assert {"page.html", "page.css", "page.js"} <= {path.name for path in folder.iterdir()}


def test_round_trip_of_the_real_excerpts_is_reported(report):
    _, page = report
    text = " ".join(" ".join(page.text).split())
    assert "Made <by> taking means. Analysed again, the sounds of these 6 excerpts" in text
    assert "1.75 dB" in text


def test_page_of_real_excerpts(tmp_path, content):
    real = np.random.default_rng(1).normal(size=30)
    made = {"note": "</script>"}
    write_real_page(tmp_path, content.highest, content.lowest, real, "conv$3", synthesis(), made)
    page = Page((tmp_path / "index.html").read_text("utf-8"))
    links = [a.get("href") or a.get("src") for _, a in page.elements if "href" in a or "src" in a]
    for link in links:
        if not link.startswith("#") and link != "data:,":
            assert (tmp_path / unquote(link)).is_file(), link
    assert len(page.all("a", class_="play")) == 6 and len(page.all("img")) == 7
    text = " ".join(page.text)
    assert "<script>alert(1)</script>" in text and "1.75 dB" in text
    for value in (*content.highest.responses, *content.lowest.responses, real.mean()):
        assert number(value) in text
    assert len(page.all("script")) == 1
