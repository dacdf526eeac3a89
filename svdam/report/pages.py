"""Pages, and the figures, images and sounds next to them.

A page opens from disk without a network: style, script and icons are in it. The HTML is in
``templates/``, where all text is escaped; this module prepares what they show. A new page is a
template that extends ``page.html`` and is put together from ``macros.html``.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

import svdam
from svdam.core.drawing import SpectrogramAxes
from svdam.core.files import atomic_write
from svdam.core.front_end import FrontEnd, relative_decibels
from svdam.report import charts, figures, paper
from svdam.report.assets import (
    COMMON_SUFFIX,
    Sound,
    Sounds,
    Synthesis,
    image_name,
    save_figure,
    save_measures,
    save_sets,
)
from svdam.report.content import (
    SUFFICIENT_CORRELATION,
    ExampleSet,
    ReportContent,
    value_range,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES_NAME = "concept.csv"
"""File next to the page with Section 4.2's measures of every example."""

MINUS = "\N{MINUS SIGN}"
NO_VALUE = "\N{EN DASH}"

PLOT = (42.0, 4.0, 154.0, 116.0)
"""Left, top, width, height of a small spectrogram in its axes of 200 x 152 units; page.css too."""


def write_report(folder: Path, content: ReportContent, synthesis: Synthesis) -> Path:
    """Writes a report.

    Args:
        folder: Folder to write to; created if it is missing.
        content: What to show.
        synthesis: How sounds are made.

    Returns:
        The page, ``index.html``.
    """
    folder = Path(folder)
    for name, drawn in report_figures(content):
        save_figure(drawn, folder / "figures", name)
    sounds = save_sets(folder, content.all_sets(), content.common_range, synthesis)
    if content.concept:
        save_measures(folder / MEASURES_NAME, content.all_sets())
    return write_page(folder / "index.html", render_page(content, sounds, synthesis.description))


def report_figures(content: ReportContent) -> Iterator[tuple[str, "Figure"]]:
    """Every figure of a report with its file name, one at a time to save memory."""
    common = content.common_range(content.start)
    yield "figure_2", figures.density_figure(content)
    yield "figure_3", figures.configurations_figure(content)
    yield f"figure_3{COMMON_SUFFIX}", figures.configurations_figure(content, common)
    yield "figure_4", figures.concept_examples_figure(content)
    yield f"figure_4{COMMON_SUFFIX}", figures.concept_examples_figure(content, common)
    yield "curves", charts.curves_figure(content)
    yield "ranking", charts.ranking_figure(content.ranking)
    if content.concept:
        yield "concept", charts.concept_figure(content.concept)
    if content.heard:
        yield "listener", charts.listener_figure(content.heard)
    if content.realism:
        yield "realism", charts.realism_figure(content.realism)


def render_page(content: ReportContent, sounds: Sounds, how_made: str = "") -> str:
    """The report's HTML.

    Args:
        content: What to show.
        sounds: Every sound that was written; others get no button.
        how_made: How the sounds were made, for people.
    """
    axes = axes_of([content.start, content.highest])
    view = functools.partial(excerpts, axes=axes, sounds=sounds)
    searched = [one for one in (content.maximized, content.minimized) if one is not None]
    sets = [*content.configurations, *(one for one in searched if one.key != content.best.key)]
    starts = view(content.start)
    maximizes = content.direction == "max"
    return render(
        "report.html",
        axes,
        sounds,
        content=content,
        paper=paper,
        verb="maximize" if maximizes else "minimize",
        word="highest" if maximizes else "lowest",
        figure_4=[(name, view(one)[:4]) for name, one in figures.figure_4_sets(content)],
        measures_name=MEASURES_NAME,
        correlations=_correlations(content),
        heard_sets=charts.HEARD_SETS,
        bridge_limit=SUFFICIENT_CORRELATION,
        highest=view(content.highest),
        lowest=view(content.lowest),
        how_made=how_made,
        errors_db=round_trip_errors_db(sounds, [content.highest, content.lowest]),
        sets=sets,
        choices=_choices(sets),
        cards=[
            (one, before, after, _card_numbers(one, before, after))
            for one in sets
            for before, after in zip(starts, view(one), strict=True)
        ],
        some_silent=any(len(one.sounds_of) < len(one) for one in sets),
        provenance=json_text(content.provenance),
    )


def write_real_page(
    folder: Path,
    highest: ExampleSet,
    lowest: ExampleSet,
    responses: np.ndarray,
    response: str,
    synthesis: Synthesis,
    provenance: Mapping[str, object],
) -> Path:
    """Writes the page of real excerpts: what a neuron responds to most, and least, in a data set.

    Args:
        folder: Folder to write to.
        highest: The excerpts with the highest responses, the highest first.
        lowest: Those with the lowest, the lowest first.
        responses: (M,) responses of all excerpts.
        response: Name of the response, e.g. ``logit``.
        synthesis: How sounds are made.
        provenance: JSON-ready facts about how the responses were made.

    Returns:
        The page, ``index.html``.
    """
    drawn = figures.real_density_figure(responses, highest.responses, lowest.responses, response)
    save_figure(drawn, folder / "figures", "densities")
    sets = {"highest": highest, "lowest": lowest}
    common = value_range(highest, lowest)
    sounds = save_sets(folder, list(sets.values()), lambda _: common, synthesis)
    axes = axes_of([highest])
    text = render(
        "real_excerpts.html",
        axes,
        sounds,
        response=response,
        responses=responses,
        sets=[(word, one, excerpts(one, axes, sounds)) for word, one in sets.items()],
        how_made=synthesis.description,
        errors_db=round_trip_errors_db(sounds, sets.values()),
        provenance=json_text(provenance),
    )
    return write_page(folder / "index.html", text)


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """One excerpt of an `ExampleSet`, as the templates show it.

    Attributes:
        index: Its position in the set.
        label: What it is: a seed, or a song and a time.
        image: Address of its spectrogram, from the page.
        sound: Its sound, or None where none was written.
        response, probability, log_prior: As in `ExampleSet`, of this excerpt; or None.
        energy_hz: Frequencies in hertz below which 10% and 90% of its energy lie.
        axes: Id of the axes of its spectrogram in the page.
    """

    index: int
    label: str
    image: str
    sound: Sound | None
    response: float
    probability: float | None
    log_prior: float | None
    energy_hz: tuple[float, float]
    axes: str


Axes = dict[tuple[FrontEnd, int], str]
"""Ids of the axes in a page, by front end and number of frames of the spectrograms."""


def excerpts(examples: ExampleSet, axes: Axes, sounds: Sounds) -> list[Excerpt]:
    """The excerpts of a set, as the templates show them."""

    def of(values: np.ndarray | None, index: int) -> float | None:
        return None if values is None else float(values[index])

    return [
        Excerpt(
            index,
            label,
            f"images/{image_name(examples, index)}",
            sounds.get((examples.key, index)),
            float(examples.responses[index]),
            of(examples.probabilities, index),
            of(examples.log_priors, index),
            _energy_hz(examples.log_mels[index], examples.front_end),
            axes[_axes_key(examples)],
        )
        for index, label in enumerate(examples.labels)
    ]


def _axes_key(one: ExampleSet) -> tuple[FrontEnd, int]:
    return one.front_end, one.log_mels.shape[1]


def axes_of(sets: Sequence[ExampleSet]) -> Axes:
    """Ids for the axes of some sets; those of equal spectrograms are the same."""
    keys = dict.fromkeys(map(_axes_key, sets))
    return {key: f"axes{number or ''}" for number, key in enumerate(keys)}


def _energy_hz(log_mel: np.ndarray, front_end: FrontEnd) -> tuple[float, float]:
    energy = 10 ** (relative_decibels(log_mel, log_mel.max(), front_end) / 10)
    profile = energy.sum(axis=0) / energy.sum()
    low, high = front_end.band_edges_hz()[1:-1][np.searchsorted(np.cumsum(profile), (0.1, 0.9))]
    return low, high


def _card_numbers(one: ExampleSet, before: Excerpt, after: Excerpt) -> dict[str, str]:
    """Numbers by which the script sorts and filters a card."""
    numbers = {
        "response": f"{after.response:.5g}",
        "gain": f"{after.response - before.response:.5g}",
    }
    if after.log_prior is not None:
        numbers["prior"] = f"{after.log_prior:.5g}"
    if one.configuration is not None:
        values = vars(one.configuration).values()
        numbers |= zip(HYPER_PARAMETERS, (f"{value:g}" for value in values), strict=True)
    return numbers


HYPER_PARAMETERS = {"rate": "learning rate", "weight": "prior weight λ", "steps": "steps"}
"""Titles of the filters of the cards, in the order of a `Configuration`."""


def _choices(sets: Sequence[ExampleSet]) -> list[tuple[str, str, list[str]]]:
    """Key, title and values of the filters."""
    known = [[*vars(one.configuration).values()] for one in sets if one.configuration is not None]
    return [
        (key, title, sorted({f"{row[column]:g}" for row in known}, key=float))
        for column, (key, title) in enumerate(HYPER_PARAMETERS.items())
    ]


def _correlations(content: ReportContent) -> list[tuple[str, str]]:
    """Each rank correlation in words, and its sign if the two agree."""
    expected = {"critic_score": "negative", "nearest_distance": "positive"}
    return [
        (f"{charts.REALISM_MEASURES[name]}: {f'{value:+.2f}'.replace('-', MINUS)}", expected[name])
        for name, value in content.correlations.items()
    ]


def round_trip_errors_db(sounds: Sounds, sets: Iterable[ExampleSet]) -> list[float]:
    """Round-trip errors of all sounds of some sets, where they were measured."""
    keys = {one.key for one in sets}
    return [
        sound.error_db
        for (key, _), sound in sounds.items()
        if key in keys and sound.error_db is not None
    ]


def axes_ticks(axes: SpectrogramAxes, frames: int) -> dict[str, list[tuple[float, str]]]:
    """Ticks of the small spectrograms: position as a share of the axis, and label."""
    seconds, bands = frames / axes.frames_per_second, len(axes.band_hz)
    names = {hz: f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in axes.hz_ticks()}
    step_secs = 0.5 * math.ceil(seconds / 4)
    steps = range(int(seconds / step_secs) + 1)
    return {
        "hz": [(float(axes.band_of(hz) + 0.5) / bands, name) for hz, name in names.items()],
        "seconds": [(step * step_secs / seconds, f"{step * step_secs:g}") for step in steps],
    }


def number(value: float | None, digits: int = 2) -> str:
    """A number for people, with a proper minus sign; a dash for None and NaN."""
    if value is None or value != value:
        return NO_VALUE
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else f"{MINUS}∞"
    places = digits if abs(value) < 1e4 else 0
    shown = f"{value:.{places}f}" if abs(value) < 1e7 else f"{value:.3g}"
    is_zero = not float(shown)  # Rounded to it: no minus sign.
    return (shown.lstrip("-") if is_zero else shown).replace("-", MINUS)


def percent(value: float | None) -> str:
    """A share in whole per cent."""
    return NO_VALUE if value is None or value != value else f"{100 * value:.0f}%"


def render(template: str, axes: Axes, sounds: Sounds, **view: Any) -> str:
    """Fills a page's template.

    Args:
        template: File name in ``templates/``; it extends ``page.html``.
        axes: Axes of the page's spectrograms.
        sounds: Every sound of the page; *equal loudness* turns them down to the quietest.
        **view: What the template shows.
    """
    audible = [sound.level for sound in sounds.values() if sound.level > 0]
    return (
        _environment()
        .get_template(template)
        .render(
            version=svdam.__version__,
            plot=PLOT,
            all_ticks={
                name: axes_ticks(SpectrogramAxes.of(front_end), frames)
                for (front_end, frames), name in axes.items()
            },
            loudness_target=min(audible, default=1.0),
            **view,
        )
    )


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("svdam.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "zip": zip}
    return environment


def write_page(page: Path, text: str) -> Path:
    """Writes a page; returns its path."""
    with atomic_write(page) as stream:
        stream.write(text)
    return page


def json_text(facts: Mapping[str, object]) -> str:
    """JSON for people."""
    return json.dumps(facts, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
