"""Charts of the search, of what was measured of its examples, and of a song's predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.drawing import (
    SET_COLORS,
    SpectrogramAxes,
    draw_spectrogram,
    new_figure,
    printable,
    styled,
)
from svdam.evaluation.ranking import RankedConfiguration
from svdam.report.content import ConceptRow, HeardSets, RealismRow, ReportContent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def curves_figure(content: ReportContent) -> "Figure":
    """Responses at each step of the optimization under the best, median and worst configuration."""
    sets = [(one, one.history) for one in content.marked() if one.history is not None]
    figure = new_figure(1 + 2.9 * max(len(sets), 1), 3.2)
    panels = figure.subplots(1, max(len(sets), 1), squeeze=False)[0]
    compared = content.compared_responses
    mean, spread = compared.mean(), compared.std(ddof=1) if len(compared) > 1 else 0.0
    for panel, (one, history) in zip(panels, sets, strict=False):
        steps = np.arange(len(history))
        color = SET_COLORS[one.mark]
        panel.axhspan(mean - spread, mean + spread, color="#20262e", alpha=0.13, lw=0)
        panel.axhline(mean, color="#20262e", lw=1, ls="--", label="real excerpts")
        panel.plot(steps, history[:, :100], color=color, alpha=0.22, lw=0.7)
        panel.plot(steps, np.median(history, axis=1), color=color, lw=2.2, label="median example")
        panel.set_title(f"{one.mark}, {one.title}", fontsize=9)
        panel.set_xlabel("optimization step")
    panels[0].set_ylabel(f"response ({printable(content.response)})")
    if sets:
        panels[0].legend(frameon=False, fontsize=8, loc="best")
    return figure


@styled
def ranking_figure(ranking: Sequence[RankedConfiguration], confidence: float = 0.95) -> "Figure":
    """Distance of every configuration with its bootstrap interval, the best on top."""
    figure = new_figure(7.6, 1.3 + 0.24 * len(ranking))
    panel = figure.subplots()
    floor = max(min(row.distance for row in ranking) / 30, 1e-6)
    for row in ranking:
        color = SET_COLORS.get(row.mark, "#6b7685")
        low, high = max(row.distance_low, floor), max(row.distance_high, floor)
        panel.plot([low, high], [row.rank] * 2, color=color, lw=2, alpha=0.55)
        panel.plot(max(row.distance, floor), row.rank, "o", color=color, ms=5)
    names = [
        f"{row.mark + '  ' if row.mark else ''}$l_r$ {row.learning_rate:g}, "
        f"$\\lambda$ {row.prior_weight:g}, {row.num_steps} steps"
        for row in ranking
    ]
    panel.set_yticks(range(1, len(ranking) + 1), names, fontsize=8)
    panel.set_ylim(len(ranking) + 0.7, 0.3)
    panel.set_xscale("log")
    panel.set_xlabel(f"distance to the real responses, eq. 3 (lines: {confidence:.0%} intervals)")
    panel.set_ylabel("configuration")
    panel.grid(axis="x", color="#d9dde3", lw=0.6)
    return figure


VERDICT_COLORS = {
    "agrees": "#138a4e",
    "reverse": "#c43c35",
    "unclear": "#7a8594",
    "": "#20262e",
    "undefined": "#7a8594",
}
"""Colours of `ConceptRow.verdict`."""


@styled
def concept_figure(concept: Sequence[ConceptRow]) -> "Figure":
    """Effect sizes of the three measures of Section 4.2, with intervals."""
    measures = list(dict.fromkeys(row.measure for row in concept))
    comparisons = list(dict.fromkeys(row.comparison for row in concept))
    figure = new_figure(2.4 + 2.5 * len(measures), 1.5 + 0.42 * len(comparisons))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for panel, measure in zip(panels, measures, strict=True):
        panel.axvline(0, color="#20262e", lw=0.8)
        for row in concept:
            if row.measure != measure or not np.isfinite(row.effect_size):
                continue
            line = comparisons.index(row.comparison)
            color = VERDICT_COLORS[row.verdict]
            panel.plot(
                [row.effect_low, row.effect_high], [line] * 2, color=color, lw=2.5, alpha=0.5
            )
            panel.plot(row.effect_size, line, "o", color=color, ms=6)
        panel.set_title(measure, fontweight="bold")
        panel.set_xlabel("effect size (Hedges' g)")
        limit = 1.1 * max(np.abs(panel.get_xlim()).max(), 0.5)
        for row in concept:
            if row.measure == measure and row.claimed_sign:
                line = comparisons.index(row.comparison)
                side = sorted((0, row.claimed_sign * limit))
                panel.fill_between(
                    side, line - 0.38, line + 0.38, color="#138a4e", alpha=0.08, lw=0
                )
        panel.set_xlim(-limit, limit)
        panel.grid(axis="x", color="#e3e6eb", lw=0.6)
    panels[0].set_yticks(range(len(comparisons)), comparisons)
    panels[0].set_ylim(len(comparisons) - 0.4, -0.6)
    panels[0].set_ylabel("comparison")
    return figure


HEARD_SETS = {
    "lowest": ("real, lowest", "real"),
    "minimized": ("minimized", "minimized"),
    "start": ("before optimization", "start"),
    "maximized": ("maximized", "maximized"),
    "highest": ("real, highest", "compared"),
}
"""Sets that a listener hears, in the order of rising responses: in words, and their colours."""


@styled
def listener_figure(heard: HeardSets) -> "Figure":
    """The listener's response to every excerpt of each set, and the means."""
    figure = new_figure(7.6, 3.0)
    panel = figure.subplots()
    for line, (name, (_, color)) in enumerate(HEARD_SETS.items()):
        values = heard.responses[name]
        # Spread over the height of the line, as evenly as N multiples of the golden ratio are.
        heights = line - 0.28 + 0.56 * (np.arange(len(values)) * 0.618034 % 1)
        panel.plot(values, heights, "o", color=SET_COLORS[color], ms=3.5, alpha=0.45, mew=0)
        panel.plot([values.mean()] * 2, [line - 0.4, line + 0.4], color=SET_COLORS[color], lw=2.4)
    panel.set_yticks(range(len(HEARD_SETS)), [words for words, _ in HEARD_SETS.values()])
    panel.set_ylim(len(HEARD_SETS) - 0.4, -0.6)
    panel.set_xlabel("response of the listener (lines: means)")
    panel.set_ylabel("excerpts")
    panel.grid(axis="x", color="#e3e6eb", lw=0.6)
    return figure


REALISM_MEASURES = {
    "critic_score": "critic's score (higher is more realistic)",
    "nearest_distance": "distance to the nearest real excerpt",
}
"""Measures of `RealismRow`, in words."""


@styled
def realism_figure(realism: Sequence[RealismRow]) -> "Figure":
    """Each measure of realism against the distance of eq. 3, one point per configuration."""
    measures = [
        name for name in REALISM_MEASURES if any(getattr(row, name) is not None for row in realism)
    ]
    figure = new_figure(0.6 + 4.0 * len(measures), 3.5)
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    # Marked configurations are drawn last, on top: many may lie in the same place.
    ordered = sorted(realism, key=lambda row: bool(row.mark))
    for panel, measure in zip(panels, measures, strict=True):
        _spread_out(panel, [getattr(row, measure) for row in realism])
        for row in ordered:
            value = getattr(row, measure)
            if row.distance is None:
                panel.axhline(value, color="#20262e", ls="--", lw=1, label="real excerpts")
                continue
            color = SET_COLORS.get(row.mark, "#aab2bd")
            panel.plot(max(row.distance, 1e-6), value, "o", color=color, label=row.mark or "other")
        panel.set_xscale("log")
        panel.set_xlabel("distance to the real responses, eq. 3")
        panel.set_ylabel(REALISM_MEASURES[measure])
        _legend_of_each_once(panel)
    return figure


def _legend_of_each_once(panel: "Axes") -> None:
    handles, labels = panel.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    order = ("best", "median", "worst", "other", "real excerpts")
    each = {label: found[label] for label in order if label in found}
    panel.legend(each.values(), each, frameon=False, fontsize=8)


def _spread_out(panel: "Axes", values: Sequence[float]) -> None:
    """Makes the axis logarithmic (on both sides of 0) where most values would coincide."""
    sizes = np.abs(values)
    middle = float(np.median(sizes))
    if np.min(values) > 0 and sizes.max() > 20 * middle:
        panel.set_yscale("log")
    elif sizes.max() > 20 * middle > 0:
        panel.set_yscale("symlog", linthresh=middle, linscale=0.5)


_SHOWN_RANGE = 12.0  # Natural logarithms below the loudest cell; digital silence is far below.
_MAX_COLUMNS = 1400  # Of a song's spectrogram; longer songs show the maximum of several frames.


@styled
def detection_chart(
    prediction: np.ndarray,
    label: np.ndarray,
    threshold: float,
    title: str,
    *,
    smoothed: np.ndarray | None = None,
    log_mel: np.ndarray | None = None,
    front_end: FrontEnd = FRONT_END,
) -> np.ndarray:
    """One song's spectrogram, prediction and ground truth in one picture.

    Args:
        prediction: (frames,) probabilities.
        label: (frames,) bool.
        threshold: Drawn as a line.
        title: Name of the song and its scores.
        smoothed: (frames,) median-filtered prediction; the prediction is then drawn paler.
        log_mel: (frames, num_mels) spectrogram above them; None for none.
        front_end: Front-end settings.

    Returns:
        (height, width, 3) uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    rows = 1 if log_mel is None or not len(log_mel) else 2
    figure = new_figure(12, 2 + 2 * rows)
    figure.set_dpi(100)
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    if log_mel is not None and rows == 2:
        stride = -(-len(log_mel) // _MAX_COLUMNS)
        shown = np.maximum.reduceat(log_mel, np.arange(0, len(log_mel), stride), axis=0)
        axes = SpectrogramAxes.of(front_end)
        thinned = SpectrogramAxes(axes.frames_per_second / stride, axes.band_hz)
        value_range = max(shown.min(), shown.max() - _SHOWN_RANGE), shown.max()
        draw_spectrogram(panels[0], shown, thinned, value_range)
    times_secs = np.arange(len(prediction)) / front_end.frames_per_second
    curves = panels[-1]
    curves.fill_between(
        times_secs, 0, label.astype(float), step="post", color="0.85", lw=0, label="ground truth"
    )
    alpha = 1 if smoothed is None else 0.4
    curves.plot(times_secs, prediction, lw=0.6, color="C0", alpha=alpha, label="prediction")
    if smoothed is not None:
        curves.plot(times_secs, smoothed, lw=1.2, color="C3", label="smoothed")
    curves.axhline(threshold, ls="--", lw=0.8, color="k", label=f"threshold {threshold:.2f}")
    curves.set_xlim(0, max(len(prediction) / front_end.frames_per_second, 1e-3))
    curves.set_ylim(0, 1.02)
    curves.set_ylabel("probability")
    curves.legend(loc="upper right", ncols=4, fontsize=8)
    panels[0].set_xlabel("")
    curves.set_xlabel("time (s)")
    panels[0].set_title(printable(title))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
