"""Figures 2, 3 and 4 of the paper, drawn from the content of a report.

Every function returns a matplotlib figure that belongs to no window and no global state. As in the
paper, red is high and blue is low energy, and low frequencies are at the bottom.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from svdam.core.drawing import (
    PAPER_NAMES,
    SET_COLORS,
    new_figure,
    printable,
    spectrogram_grid,
    styled,
)
from svdam.report.content import ExampleSet, ReportContent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def density_figure(content: ReportContent) -> "Figure":
    """Figure 2, with measured instead of hypothetical responses: their densities."""
    figure = new_figure(8.4, 4.0)
    panel = figure.subplots()
    named = [("real", "all real excerpts", content.real_responses)]
    named.append(("start", "examples before optimization", content.start.responses))
    word = "highest" if content.direction == "max" else "lowest"
    compared = content.compared_responses
    named.append(("compared", f"the {len(compared)} {word} real excerpts", compared))
    named += [(one.mark, f"examples, {one.mark}", one.responses) for one in content.marked()]
    near = [values for mark, _, values in named if mark != "worst" and mark != "median"]
    low, high = min(map(np.min, near)), max(map(np.max, near))
    margin = 0.15 * max(high - low, 1e-6)
    low, high = low - margin, high + margin
    grid = np.linspace(low, high, 600)
    outside, drawn = [], []
    for mark, label, values in named:
        mean = float(np.mean(values))
        if not low <= mean <= high:
            outside.append((mark, label, mean))
            continue
        density = kernel_density(values, grid)
        panel.plot(grid, density, color=SET_COLORS[mark], label=label, lw=2)
        if mark in ("real", "compared"):
            panel.fill_between(grid, density, color=SET_COLORS[mark], alpha=0.18, lw=0)
        drawn.append((mark, values))
    for line, (mark, label, mean) in enumerate(outside):
        right = mean > high
        text = f"{label}: mean {mean:.3g} →" if right else f"← {label}: mean {mean:.3g}"
        panel.text(
            0.99 if right else 0.01, 0.98 - 0.08 * line, text, transform=panel.transAxes,
            ha="right" if right else "left", va="top", color=SET_COLORS[mark], fontweight="bold",
        )  # fmt: skip
    panel.set_xlim(low, high)
    top = panel.get_ylim()[1]
    _mark_every_response(panel, drawn, top)
    panel.set_ylim(None, top * (1 + 0.1 * len(outside)))
    panel.set_xlabel(f"response of the neuron ({printable(content.response)})")
    panel.set_ylabel("density")
    panel.legend(frameon=False, fontsize=9)
    return figure


def _mark_every_response(panel: "Axes", sets: Sequence[tuple[str, np.ndarray]], top: float) -> None:
    """Draws a row of marks below the densities for each set, with one mark for each excerpt."""
    ticks = [tick for tick in panel.get_yticks() if 0 <= tick <= top]
    for line, (mark, values) in enumerate(sets, 1):
        panel.plot(
            values, np.full(len(values), -0.055 * top * line), "|", color=SET_COLORS[mark], ms=7,
            alpha=max(0.15, min(0.8, 40 / len(values))),
        )  # fmt: skip
    panel.axhline(0, color="#555d68", lw=0.8)
    panel.set_yticks(ticks)
    panel.set_ylim(-0.055 * top * (len(sets) + 0.8), None)


@styled
def real_density_figure(
    responses: np.ndarray, highest: np.ndarray, lowest: np.ndarray, response: str
) -> "Figure":
    """Density of all real responses, with a mark for each of the most extreme ones."""
    figure = new_figure(8.4, 3.2)
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


def kernel_density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density estimate with Scott's bandwidth; a narrow peak for equal values.

    Args:
        values: (N,) samples.
        grid: (points,) values at which to evaluate it.

    Returns:
        (points,) densities.
    """
    import scipy.stats

    values = np.asarray(values, dtype=float)
    narrowest = 1e-3 * (grid[-1] - grid[0])
    if len(values) < 2 or values.std() < narrowest:
        return scipy.stats.norm.pdf(grid, values.mean(), narrowest)
    return scipy.stats.gaussian_kde(values)(grid)


def configurations_figure(
    content: ReportContent, value_range: tuple[float, float] | None = None
) -> "Figure":
    """Figure 3: two latents at the start and under the best, median and worst configuration."""
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
    columns = ["start", *(f"{one.mark} ({PAPER_NAMES[one.mark]})" for one in marked)]
    return spectrogram_grid(rows, content.start.axes, columns, value_range)


def concept_examples_figure(
    content: ReportContent, value_range: tuple[float, float] | None = None
) -> "Figure":
    """Figure 4: four latents at the start, maximized and minimized."""
    count = min(4, len(content.start))
    rows = [
        (name, one.log_mels[:count], one.responses[:count]) for name, one in figure_4_sets(content)
    ]
    return spectrogram_grid(rows, content.start.axes, content.start.labels[:count], value_range)


def figure_4_sets(content: ReportContent) -> list[tuple[str, ExampleSet]]:
    """The rows of Figure 4 and Table 6."""
    named = [
        ("start", content.start),
        ("maximized", content.maximized),
        ("minimized", content.minimized),
    ]
    return [(name, one) for name, one in named if one is not None]
