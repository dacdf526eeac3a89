"""A report's folder: figures, images, sounds, and the page that shows them.

The folder opens from disk with no network: style, script and icons are in the page, everything else
lies beside it.
"""

import string
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import svdam
from svdam.core.files import atomic_write
from svdam.report import cards, charts, figures, sections
from svdam.report.content import ReportContent, realistic_range
from svdam.report.files import (
    COMMON_SUFFIX,
    Sounds,
    Synthesis,
    save_figure,
    save_measures,
    save_sets,
)
from svdam.report.markup import axes_symbol, number, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(folder: Path, content: ReportContent, synthesis: Synthesis) -> Path:
    """Writes a report.

    Args:
        folder: Where to; made if it is missing.
        content: What to show.
        synthesis: How sounds are made.

    Returns:
        The page, ``index.html``.
    """
    folder = Path(folder)
    for name, drawn in report_figures(content):
        save_figure(drawn, folder / "figures", name)
    common_range = realistic_range(content.highest, content.lowest)
    sounds = save_sets(folder, content.all_sets(), common_range, synthesis)
    if content.concept:
        save_measures(folder / sections.MEASURES_NAME, content.all_sets())
    page = folder / "index.html"
    with atomic_write(page) as stream:
        stream.write(render_page(content, sounds, synthesis.description))
    return page


def report_figures(content: ReportContent) -> Iterator[tuple[str, "Figure"]]:
    """Every figure of a report with its file name, one after the other to spare memory."""
    common = realistic_range(content.highest, content.lowest)
    yield "figure_2", figures.density_figure(content)
    yield "figure_3", figures.settings_figure(content)
    yield f"figure_3{COMMON_SUFFIX}", figures.settings_figure(content, common)
    yield "figure_4", figures.concept_examples_figure(content)
    yield f"figure_4{COMMON_SUFFIX}", figures.concept_examples_figure(content, common)
    yield "curves", charts.curves_figure(content)
    yield "ranking", charts.ranking_figure(content.ranking)
    if content.concept:
        yield "concept", charts.concept_figure(content.concept)
    if content.realism:
        yield "realism", charts.realism_figure(content.realism)


def render_page(content: ReportContent, sounds: Sounds, how_made: str = "") -> str:
    """The page's HTML.

    Args:
        content: What to show.
        sounds: Every sound that was written; others get no button.
        how_made: How the sounds were made, in words.
    """
    parts = [
        ("explanation", "Explanation", sections.concept_examples(content, sounds)),
        ("measured", "Measured", sections.concept_measures(content)),
        ("selection", "Settings", sections.selection(content)),
        ("realism", "Realism", sections.realism(content)),
        ("real", "Real music", sections.real_excerpts(content, sounds, how_made)),
        ("classifier", "Classifier", sections.classifier_quality(content)),
        ("examples", "Examples", cards.all_examples(content, sounds)),
        ("made", "Details", sections.provenance(content.provenance)),
    ]
    return fill_page(
        kicker="Activation maximization report",
        title=f"What the neuron listens for: {content.response}",
        heading=f"What does this neuron listen for? <small>({escape(content.response)})</small>",
        lead=_lead(content),
        tiles=_tiles(content),
        parts=parts,
        axes_symbol=axes_symbol(content.axes, content.start.log_mels.shape[1]),
        sounds=sounds,
    )


def fill_page(
    *,
    kicker: str,
    title: str,
    heading: str,
    lead: str,
    tiles: Sequence[tuple[str, str]],
    parts: Sequence[tuple[str, str, str]],
    axes_symbol: str,
    sounds: Sounds,
) -> str:
    """Puts a page's pieces together with style and script.

    Args:
        kicker: Line above the heading, as text.
        title: Of the window, as text.
        heading: HTML.
        lead: HTML of the first paragraph.
        tiles: (value, what it is) of the tiles at the top, HTML.
        parts: (key, title, HTML) of the sections; those without HTML are left out.
        axes_symbol: Axes of the small spectrograms.
        sounds: Every sound of the page; equal loudness turns all down to the quietest.
    """
    parts = [(key, name, html) for key, name, html in parts if html]
    audible = [sound.level for sound in sounds.values() if sound.level > 0]
    return string.Template(_resource("page.html")).substitute(
        kicker=escape(kicker),
        title=escape(title),
        css=_resource("page.css"),
        script=_resource("page.js"),
        axes_symbol=axes_symbol,
        heading=heading,
        lead=lead,
        tiles="".join(
            f'<div class="tile"><b>{value}</b><span>{text}</span></div>' for value, text in tiles
        ),
        links="".join(f'<a href="#{key}">{name}</a>' for key, name, _ in parts),
        sections="".join(f'<section id="{key}">{html}</section>\n' for key, _, html in parts),
        version=escape(svdam.__version__),
        loudness_target=f"{min(audible, default=1.0):.5f}",
    )


def _lead(content: ReportContent) -> str:
    name = escape(content.concept_name)
    return (
        f"A neural network was trained to recognise {name} in music. This page lets you see and "
        f"hear what its neuron <code>{escape(content.response)}</code> responds to. A second "
        "network, trained on music, invents short sounds; a search then changes each sound, step "
        "by step, until the neuron responds as strongly, or as weakly, as it will. "
        f"What the search adds or removes is what the neuron has learned to take for {name}."
    )


def _tiles(content: ReportContent) -> list[tuple[str, str]]:
    best, word = content.ranking[0], sections.opposite(content)[1]
    found = [(number(content.start.responses.mean()), "mean response of the starting sounds")]
    if content.maximized is not None:
        found.append((number(content.maximized.responses.mean()), "mean response when maximized"))
    if content.minimized is not None:
        found.append((number(content.minimized.responses.mean()), "mean response when minimized"))
    compared = content.compared_responses
    found.append(
        (number(compared.mean()), f"mean of the {len(compared)} {word} responses to real music")
    )
    found.append(
        (
            f"{best.learning_rate:g} / {best.prior_weight:g} / {best.num_steps}",
            "best setting: learning rate / prior weight / steps; it comes first in "
            f"{percent(best.first_share)} of the bootstrap's resamples",
        )
    )
    return found


def _resource(name: str) -> str:
    return resources.files("svdam.report").joinpath(name).read_text("utf-8")
