"""What all figures share: colours, font sizes, and text that can be drawn."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
