"""A report's folder: figures, images, sounds, and the page that shows them.

The folder opens from disk with no network: style, script and icons are in the page, everything else
lies beside it.
"""

import string
from collections.abc import Callable, Iterator
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import svdam
from svdam.core.files import atomic_write
from svdam.core.progress import progress
from svdam.report import cards, figures, sections
from svdam.report.content import ReportContent, realistic_range
from svdam.report.files import (
    COMMON_SUFFIX,
    count_sounds,
    save_figure,
    save_sounds,
    save_spectrograms,
)
from svdam.report.markup import Levels, axes_symbol, number, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(
    folder: Path,
    content: ReportContent,
    synthesise: Callable[[np.ndarray], np.ndarray],
    sample_rate: int,
) -> Path:
    """Writes a report.

    Args:
        folder: Where to; made if it is missing.
        content: What to show.
        synthesise: From (batch, frames, bands) log-mel to (batch, samples).
        sample_rate: Of the sounds, in hertz.

    Returns:
        The page, ``index.html``.
    """
    folder = Path(folder)
    for name, drawn in report_figures(content):
        save_figure(drawn, folder / "figures", name)
    common_range = realistic_range(content)
    sets = content.all_sets()
    for one in progress(sets, description="spectrograms", unit="set"):
        save_spectrograms(folder / "images", one, common_range)
    levels: dict[tuple[str, int], float] = {}
    with progress(total=count_sounds(sets), description="sounds", unit="sound") as bar:
        for one in sets:
            found = save_sounds(folder / "sounds", one, synthesise, sample_rate, advance=bar.update)
            levels |= {(one.key, index): level for index, level in found.items()}
    page = folder / "index.html"
    with atomic_write(page) as stream:
        stream.write(render_page(content, levels))
    return page


def report_figures(content: ReportContent) -> Iterator[tuple[str, "Figure"]]:
    """Every figure of a report with its file name, one after the other to spare memory."""
    common = realistic_range(content)
    yield "figure_2", figures.density_figure(content)
    yield "figure_3", figures.settings_figure(content)
    yield f"figure_3{COMMON_SUFFIX}", figures.settings_figure(content, common)
    yield "figure_4", figures.concept_examples_figure(content)
    yield f"figure_4{COMMON_SUFFIX}", figures.concept_examples_figure(content, common)
    yield "curves", figures.curves_figure(content)
    yield "ranking", figures.ranking_figure(content.ranking)
    if content.concept:
        yield "concept", figures.concept_figure(content.concept)
    if content.realism:
        yield "realism", figures.realism_figure(content.realism)


def render_page(content: ReportContent, levels: Levels) -> str:
    """The page's HTML.

    Args:
        content: What to show.
        levels: Level of every sound that was written; others get no button.
    """
    parts = [
        ("explanation", "Explanation", sections.concept_examples(content, levels)),
        ("measured", "Measured", sections.concept_measures(content)),
        ("selection", "Settings", sections.selection(content)),
        ("realism", "Realism", sections.realism(content)),
        ("real", "Real recordings", sections.real_excerpts(content, levels)),
        ("classifier", "Classifier", sections.classifier_quality(content)),
        ("examples", "Every example", cards.all_examples(content, levels)),
        ("made", "How it was made", sections.provenance(content)),
    ]
    parts = [(key, title, html) for key, title, html in parts if html]
    heading = f"What does this neuron listen for? <small>({escape(content.response)})</small>"
    audible = [level for level in levels.values() if level > 0]
    return string.Template(_resource("page.html")).substitute(
        title=escape(f"What the neuron listens for: {content.response}"),
        css=_resource("page.css"),
        script=_resource("page.js"),
        axes_symbol=axes_symbol(content.axes, content.start.log_mels.shape[1]),
        heading=heading,
        lead=_lead(content),
        tiles=_tiles(content),
        links="".join(f'<a href="#{key}">{title}</a>' for key, title, _ in parts),
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


def _tiles(content: ReportContent) -> str:
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
            f"{best.learning_rate:g} · {best.prior_weight:g} · {best.num_steps}",
            "best setting: learning rate, prior weight, steps; it comes first in "
            f"{percent(best.first_share)} of the bootstrap's resamples",
        )
    )
    return "".join(
        f'<div class="tile"><b>{value}</b><span>{text}</span></div>' for value, text in found
    )


def _resource(name: str) -> str:
    return resources.files("svdam.report").joinpath(name).read_text("utf-8")
