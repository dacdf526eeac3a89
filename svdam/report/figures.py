"""The paper's figures, drawn from a report's content, and the ones that measure its claims.

Every function returns a matplotlib figure that belongs to no window and no global state. Colours
are the paper's: red is high, blue is low energy; low frequencies are at the bottom.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from svdam.report.content import (
    ConceptRow,
    ExampleSet,
    RankingRow,
    RealismRow,
    ReportContent,
    SpectrogramAxes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOR_MAP = "jet"
SET_COLORS = {
    "real": "#7a8594",
    "compared": "#20262e",
    "best": "#138a4e",
    "median": "#c9820a",
    "worst": "#c43c35",
    "maximized": "#c43c35",
    "minimized": "#2b62c4",
    "start": "#8a5bc2",
}
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555d68",
    "figure.dpi": 150,
    "pdf.fonttype": 42,
}


def _styled(draw: Callable) -> Callable:
    """Draws in our style, whatever the caller's matplotlib settings are."""

    @functools.wraps(draw)
    def styled(*args, **kwargs):
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            return draw(*args, **kwargs)

    return styled


def draw_spectrogram(
    panel: "Axes",
    log_mel: np.ndarray,
    axes: SpectrogramAxes,
    value_range: tuple[float, float] | None = None,
) -> None:
    """Draws one log-mel spectrogram with its axes in seconds and hertz.

    Args:
        panel: Where to draw.
        log_mel: (frames, bands).
        axes: What the axes mean.
        value_range: Values of the darkest blue and red; the excerpt's own extremes by default, as
            in the paper's figures.
    """
    frames, bands = log_mel.shape
    low, high = value_range or (log_mel.min(), log_mel.max())
    panel.imshow(
        log_mel.T,
        origin="lower",
        aspect="auto",
        cmap=COLOR_MAP,
        vmin=low,
        vmax=high,
        interpolation="nearest",
        extent=(0, frames / axes.frames_per_second, -0.5, bands - 0.5),
    )
    ticks = axes.hz_ticks()
    panel.set_yticks(axes.band_of(ticks), [str(hz) for hz in ticks])
    panel.set_xlabel("time (s)")
    panel.set_ylabel("frequency (Hz)")


@_styled
def spectrogram_grid(
    rows: Sequence[tuple[str, Sequence[np.ndarray], Sequence[float]]],
    axes: SpectrogramAxes,
    columns: Sequence[str],
    value_range: tuple[float, float] | None = None,
) -> "Figure":
    """Rows of spectrograms with a name for each row and column and a response for each panel.

    Args:
        rows: (name, log-mels (frames, bands), responses) of each row.
        axes: What the axes mean.
        columns: Names of the columns.
        value_range: As `draw_spectrogram`.

    Returns:
        The figure.
    """
    figure = _new_figure(1.0 + 2.25 * len(columns), 0.7 + 1.75 * len(rows))
    panels = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    for line, (name, log_mels, responses) in zip(panels, rows, strict=True):
        for panel, log_mel, response in zip(line, log_mels, responses, strict=True):
            draw_spectrogram(panel, log_mel, axes, value_range)
            shown = f"{response:.2f}".replace("-", "\N{MINUS SIGN}")
            panel.set_title(f"response {shown}", fontsize=9, color="#333a44")
            panel.label_outer()
        line[0].set_ylabel(f"{name}\nfrequency (Hz)" if name else "frequency (Hz)")
    for panel, name in zip(panels[0], columns, strict=True):
        panel.annotate(
            name, (0.5, 1), (0, 20), "axes fraction", textcoords="offset points", ha="center",
            va="bottom", fontweight="bold",
        )  # fmt: skip
    return figure


@_styled
def density_figure(content: ReportContent) -> "Figure":
    """Figure 2 with measured instead of hypothetical sets: densities of responses."""
    figure = _new_figure(8.4, 4.0)
    panel = figure.subplots()
    named = [("real", "all real excerpts", content.real_responses)]
    named.append(("start", "generated, before the search", content.start.responses))
    word = "highest" if content.direction == "max" else "lowest"
    compared = content.compared_responses
    named.append(("compared", f"the {len(compared)} {word} real excerpts", compared))
    named += [(one.mark, f"generated, {one.mark}", one.responses) for one in content.marked()]
    near = [values for mark, _, values in named if mark != "worst" and mark != "median"]
    low, high = min(map(np.min, near)), max(map(np.max, near))
    margin = 0.15 * max(high - low, 1e-6)
    low, high = low - margin, high + margin
    grid = np.linspace(low, high, 600)
    outside = []
    for mark, label, values in named:
        mean = float(np.mean(values))
        if not low <= mean <= high:
            outside.append((mark, label, mean))
            continue
        density = kernel_density(values, grid)
        filled = mark in ("real", "compared")
        panel.plot(grid, density, color=SET_COLORS[mark], label=label, lw=2 if filled else 1.8)
        if filled:
            panel.fill_between(grid, density, color=SET_COLORS[mark], alpha=0.18, lw=0)
    for line, (mark, label, mean) in enumerate(outside):
        right = mean > high
        text = f"{label}: mean {mean:.3g} →" if right else f"← {label}: mean {mean:.3g}"
        panel.text(
            0.99 if right else 0.01, 0.98 - 0.08 * line, text, transform=panel.transAxes,
            ha="right" if right else "left", va="top", color=SET_COLORS[mark], fontweight="bold",
        )  # fmt: skip
    panel.set_xlim(low, high)
    panel.set_ylim(0, panel.get_ylim()[1] * (1 + 0.1 * len(outside)))
    panel.set_xlabel(f"response of the neuron ({printable(content.response)})")
    panel.set_ylabel("density")
    panel.legend(frameon=False, fontsize=9)
    return figure


@_styled
def real_density_figure(
    responses: np.ndarray, highest: np.ndarray, lowest: np.ndarray, response: str
) -> "Figure":
    """Density of all real responses, with marks where the most extreme ones lie."""
    figure = _new_figure(8.4, 3.2)
    panel = figure.subplots()
    everything = np.concatenate([responses, highest, lowest])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.1 * max(high - low, 1e-6)
    grid = np.linspace(low - margin, high + margin, 600)
    density = kernel_density(responses, grid)
    panel.plot(grid, density, color=SET_COLORS["real"], lw=2, label="all excerpts")
    panel.fill_between(grid, density, color=SET_COLORS["real"], alpha=0.18, lw=0)
    for values, name, mark in ((highest, "highest", "maximized"), (lowest, "lowest", "minimized")):
        panel.plot(
            values, np.zeros(len(values)), "|", ms=16, color=SET_COLORS[mark],
            label=f"the {len(values)} {name}", clip_on=False,
        )  # fmt: skip
    panel.set_xlim(grid[0], grid[-1])
    panel.set_ylim(0, None)
    panel.set_xlabel(f"response of the neuron ({printable(response)})")
    panel.set_ylabel("density")
    panel.legend(frameon=False, fontsize=9)
    return figure


def printable(text: str) -> str:
    """Text as matplotlib can draw it without warnings, and without taking ``$`` for mathematics.

    A character that the font lacks (as Chinese in matplotlib's own) becomes a box; the page itself
    shows all text as it is.
    """
    characters = _drawable_characters()
    return "".join(c if ord(c) in characters else "□" for c in text).replace("$", r"\$")


@functools.cache
def _drawable_characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def kernel_density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density estimate with Silverman's bandwidth.

    Args:
        values: (N,) samples.
        grid: (points,) where to evaluate.

    Returns:
        (points,) densities.
    """
    values = np.asarray(values, dtype=float)
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    quartiles = np.percentile(values, [25, 75])
    robust = (quartiles[1] - quartiles[0]) / 1.349
    width = 0.9 * (min(spread, robust) or spread) * len(values) ** -0.2
    width = max(width, 1e-3 * (grid[-1] - grid[0]))
    density = np.zeros(len(grid))
    for block in np.array_split(values, max(1, len(values) // 2000)):
        density += np.exp(-0.5 * ((grid[:, None] - block) / width) ** 2).sum(axis=1)
    return density / (len(values) * width * np.sqrt(2 * np.pi))


def settings_figure(
    content: ReportContent, value_range: tuple[float, float] | None = None
) -> "Figure":
    """Figure 3: two latents before the search and under the best, median and worst setting."""
    marked = content.marked()
    rows = []
    for index in range(min(2, len(content.start))):
        sets = [content.start, *marked]
        rows.append(
            (
                content.start.labels[index],
                [one.log_mels[index] for one in sets],
                [one.responses[index] for one in sets],
            )
        )
    columns = ["start", *(one.mark for one in marked)]
    return spectrogram_grid(rows, content.axes, columns, value_range)


def concept_examples_figure(
    content: ReportContent, value_range: tuple[float, float] | None = None
) -> "Figure":
    """Figure 4: four latents before the search, maximized and minimized."""
    count = min(4, len(content.start))
    rows = [
        (name, one.log_mels[:count], one.responses[:count]) for name, one in figure_4_sets(content)
    ]
    return spectrogram_grid(rows, content.axes, content.start.labels[:count], value_range)


def figure_4_sets(content: ReportContent) -> list[tuple[str, ExampleSet]]:
    """The rows of Figure 4 and Table 6."""
    named = [
        ("start", content.start),
        ("maximized", content.maximized),
        ("minimized", content.minimized),
    ]
    return [(name, one) for name, one in named if one is not None]


@_styled
def curves_figure(content: ReportContent) -> "Figure":
    """Responses over the steps of the search for the best, median and worst setting."""
    sets = [(one, one.history) for one in content.marked() if one.history is not None]
    figure = _new_figure(1 + 2.9 * max(len(sets), 1), 3.2)
    panels = figure.subplots(1, max(len(sets), 1), squeeze=False)[0]
    compared = content.compared_responses
    mean, spread = compared.mean(), compared.std(ddof=1) if len(compared) > 1 else 0.0
    for panel, (one, history) in zip(panels, sets, strict=False):
        steps = np.arange(len(history))
        color = SET_COLORS[one.mark]
        panel.axhspan(mean - spread, mean + spread, color="#20262e", alpha=0.13, lw=0)
        panel.axhline(mean, color="#20262e", lw=1, ls="--", label="real: mean ± deviation")
        panel.plot(steps, history[:, :100], color=color, alpha=0.22, lw=0.7)
        panel.plot(steps, np.median(history, axis=1), color=color, lw=2.2, label="median")
        panel.set_title(f"{one.mark}, {one.title}", fontsize=9)
        panel.set_xlabel("step of the search")
    panels[0].set_ylabel(f"response ({printable(content.response)})")
    if sets:
        panels[0].legend(frameon=False, fontsize=8, loc="best")
    return figure


@_styled
def ranking_figure(ranking: Sequence[RankingRow], confidence: float = 0.95) -> "Figure":
    """Distance of every configuration with its bootstrap interval, the best on top."""
    figure = _new_figure(7.6, 1.3 + 0.24 * len(ranking))
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
    panel.set_xlabel(f"distance to the real responses, eq. 3 (line: {confidence:.0%} interval)")
    panel.set_ylabel("configuration")
    panel.grid(axis="x", color="#d9dde3", lw=0.6)
    return figure


@_styled
def concept_figure(concept: Sequence[ConceptRow]) -> "Figure":
    """Effect sizes of Section 4.2's three measures, with intervals."""
    measures = list(dict.fromkeys(row.measure for row in concept))
    comparisons = list(dict.fromkeys(row.comparison for row in concept))
    figure = _new_figure(2.4 + 2.5 * len(measures), 1.5 + 0.42 * len(comparisons))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for panel, measure in zip(panels, measures, strict=True):
        panel.axvline(0, color="#20262e", lw=0.8)
        for row in concept:
            if row.measure != measure or not np.isfinite(row.effect_size):
                continue
            line = comparisons.index(row.comparison)
            color = "#c43c35" if row.effect_size > 0 else "#2b62c4"
            panel.plot(
                [row.effect_low, row.effect_high], [line] * 2, color=color, lw=2.5, alpha=0.5
            )
            panel.plot(row.effect_size, line, "o", color=color, ms=6)
        panel.set_title(measure, fontweight="bold")
        panel.set_xlabel("effect size (deviations)")
        limit = 1.1 * max(np.abs(panel.get_xlim()).max(), 0.5)
        panel.set_xlim(-limit, limit)
        panel.grid(axis="x", color="#e3e6eb", lw=0.6)
    panels[0].set_yticks(range(len(comparisons)), comparisons)
    panels[0].set_ylim(len(comparisons) - 0.4, -0.6)
    panels[0].set_ylabel("compared sets")
    return figure


REALISM_MEASURES = {
    "critic_score": "critic's score (higher: more real)",
    "nearest_distance": "distance to the nearest real excerpt",
}
"""Measures of `RealismRow`, in words."""


@_styled
def realism_figure(realism: Sequence[RealismRow]) -> "Figure":
    """Each measure of realism over the distance of eq. 3, a point for each configuration."""
    measures = [
        name for name in REALISM_MEASURES if any(getattr(row, name) is not None for row in realism)
    ]
    figure = _new_figure(0.6 + 4.0 * len(measures), 3.5)
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    # What is marked is drawn last: many configurations may lie on one spot.
    ordered = sorted(realism, key=lambda row: bool(row.mark))
    for panel, measure in zip(panels, measures, strict=True):
        _spread_out(panel, [getattr(row, measure) for row in realism])
        for row in ordered:
            value = getattr(row, measure)
            if row.distance is None:
                panel.axhline(value, color="#20262e", ls="--", lw=1, label="real excerpts")
                continue
            color = SET_COLORS.get(row.mark, "#aab2bd")
            panel.plot(max(row.distance, 1e-6), value, "o", color=color, label=row.mark or None)
        panel.set_xscale("log")
        panel.set_xlabel("distance to the real responses, eq. 3")
        panel.set_ylabel(REALISM_MEASURES[measure])
        panel.legend(frameon=False, fontsize=8)
    return figure


def _spread_out(panel: "Axes", values: Sequence[float]) -> None:
    """A logarithmic axis (on both sides of 0, if need be) where values would lie on one line."""
    sizes = np.abs(values)
    middle = float(np.median(sizes))
    if np.min(values) > 0 and sizes.max() > 20 * middle:
        panel.set_yscale("log")
    elif sizes.max() > 20 * middle > 0:
        panel.set_yscale("symlog", linthresh=middle, linscale=0.5)


def _new_figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
