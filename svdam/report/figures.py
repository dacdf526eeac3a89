"""Figures 2, 3 and 4 of the paper, drawn from the content of a report.

Every function returns a matplotlib figure that belongs to no window and no global state. As in the
paper, red is high and blue is low energy, and low frequencies are at the bottom.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from svdam.report.content import ExampleSet, ReportContent, SpectrogramAxes
from svdam.report.style import (
    COLOR_MAP,
    PAPER_NAMES,
    SET_COLORS,
    new_figure,
    printable,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_spectrogram(
    panel: "Axes",
    log_mel: np.ndarray,
    axes: SpectrogramAxes,
    value_range: tuple[float, float] | None = None,
) -> None:
    """Draws one log-mel spectrogram with its axes in seconds and hertz.

    Args:
        panel: Panel to draw on.
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


@styled
def spectrogram_grid(
    rows: Sequence[tuple[str, Sequence[np.ndarray], Sequence[float]]],
    axes: SpectrogramAxes,
    columns: Sequence[str],
    value_range: tuple[float, float] | None = None,
) -> "Figure":
    """Rows of spectrograms, with a name for each row and column and a response above each panel.

    Args:
        rows: (name, log-mels (frames, bands), responses) of each row.
        axes: What the axes mean.
        columns: Names of the columns.
        value_range: As in `draw_spectrogram`.

    Returns:
        The figure.
    """
    figure = new_figure(1.0 + 2.25 * len(columns), 0.7 + 1.75 * len(rows))
    panels = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    for line, (name, log_mels, responses) in zip(panels, rows, strict=True):
        for panel, log_mel, response in zip(line, log_mels, responses, strict=True):
            draw_spectrogram(panel, log_mel, axes, value_range)
            shown = f"{response:.2f}".replace("-", "\N{MINUS SIGN}")
            panel.set_title(f"response {shown}", fontsize=9, color="#333a44")
            panel.label_outer()
        line[0].set_ylabel(f"{name}\nfrequency (Hz)" if name else "frequency (Hz)")
    if value_range:
        bar = figure.colorbar(panels[0, 0].images[0], ax=panels, fraction=0.02, extend="both")
        bar.set_label("log-mel magnitude (natural logarithm)")
    for panel, name in zip(panels[0], columns, strict=True):
        panel.annotate(
            name, (0.5, 1), (0, 20), "axes fraction", textcoords="offset points", ha="center",
            va="bottom", fontweight="bold",
        )  # fmt: skip
    return figure


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
    return spectrogram_grid(rows, content.axes, columns, value_range)


def concept_examples_figure(
    content: ReportContent, value_range: tuple[float, float] | None = None
) -> "Figure":
    """Figure 4: four latents at the start, maximized and minimized."""
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
