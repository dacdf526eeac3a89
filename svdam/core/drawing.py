"""What all figures share: colours, font sizes, spectrograms in seconds and hertz."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from svdam.core.config import FRONT_END, FrontEnd

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
PAPER_NAMES = {"best": "$C_1$", "median": "$C_2$", "worst": "$C_3$"}
"""What the paper calls its configurations in Figure 3 and Table 5."""

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555d68",
    "figure.dpi": 150,
    "pdf.fonttype": 42,
}

_UNITS = {"log": "natural logarithm", "log10": "logarithm to base 10", "decibels": "dB"}


@dataclasses.dataclass(frozen=True)
class SpectrogramAxes:
    """What the axes of every spectrogram mean.

    Attributes:
        frames_per_second: Frame rate in hertz.
        band_hz: (bands,) centre frequencies of the bands in hertz, in rising order.
        value_name: What the values are, with their unit.
    """

    frames_per_second: float
    band_hz: np.ndarray
    value_name: str = "log-mel magnitude (natural logarithm)"

    @classmethod
    def of(cls, front_end: FrontEnd = FRONT_END) -> "SpectrogramAxes":
        """The axes of a front end's spectrograms."""
        kind = "magnitude" if front_end.power == 1 else "power"
        unit = _UNITS[front_end.compression]
        band_hz = front_end.band_edges_hz()[1:-1]
        return cls(front_end.frames_per_second, band_hz, f"log-mel {kind} ({unit})")

    def band_of(self, hz: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """Position of a frequency on the band axis, where band i is centred at i."""
        return np.interp(hz, self.band_hz, np.arange(len(self.band_hz)))

    def hz_ticks(self) -> list[int]:
        """Round frequencies that lie on the axis."""
        candidates = (100, 500, 1000, 2000, 4000)
        return [hz for hz in candidates if self.band_hz[0] <= hz <= self.band_hz[-1]]


def styled(draw: Callable) -> Callable:
    """Decorator: draws in our style, whatever the caller's matplotlib settings are."""

    @functools.wraps(draw)
    def styled(*args, **kwargs):
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            return draw(*args, **kwargs)

    return styled


def new_figure(width: float, height: float) -> "Figure":
    """A figure, with its size in inches, that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def printable(text: str) -> str:
    """Text that matplotlib draws without warnings and without treating ``$`` as mathematics.

    A character that the font lacks (e.g. Chinese in matplotlib's default) becomes a box; the page
    itself shows all text as it is.
    """
    characters = _drawable_characters()
    return "".join(c if ord(c) in characters else "□" for c in text).replace("$", r"\$")


@functools.cache
def _drawable_characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


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
        bar.set_label(axes.value_name)
    for panel, name in zip(panels[0], columns, strict=True):
        panel.annotate(
            name, (0.5, 1), (0, 20), "axes fraction", textcoords="offset points", ha="center",
            va="bottom", fontweight="bold",
        )  # fmt: skip
    return figure
