"""The atlas: one page with a card for every explained unit, and a page for each of them.

Units are shown one at a time, so that memory does not grow with their number; what a card needs is
kept in a small file, from which an interrupted run goes on. Images and sounds of all pages are in
the same two folders.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from svdam.core.drawing import SET_COLORS
from svdam.core.files import read_json, write_json
from svdam.report import charts
from svdam.report.assets import Sounds, Synthesis, image_name, save_sets
from svdam.report.content import ConceptRow, ExampleSet, HeardSets, value_range
from svdam.report.pages import (
    axes_of,
    excerpts,
    json_text,
    render,
    round_trip_errors_db,
    write_page,
)
from svdam.results.explanations import Explanation

WORDS = {"max": "maximized", "min": "minimized"}
"""What examples are called, by the direction of their search."""
CARDS_AT_ONCE = 18
"""Cards that the page shows before its script does anything."""


@dataclasses.dataclass
class UnitContent:
    """What is known of a unit.

    Attributes:
        number: Its position among the units.
        name: What it is called, e.g. ``fc2:17``.
        group: Number of its group of alike units, from 1 on.
        trouble: Why it was not searched, in words; "" if it was.
        fires: Whether its response to any real excerpt is above 0.
        mean, std: Of its responses to real excerpts.
        bin_edges, bin_counts: Their histogram.
        share_above_half: Share of real excerpts above half its highest response, or NaN.
        effects: Cohen's d of its responses, by label.
        alike: The units that correlate most with it: number, name, correlation.
        start: Examples before the search, of the key ``start`` for all units.
        highest, lowest: The most extreme real excerpts.
        searched: Examples after it, by direction.
        ways: A few examples on their way, by direction, each labelled with its number of steps.
        found: What the search found, by direction.
        draws: Number of draws of each seed, of which the best were the search's starts.
        concept: Measures of Section 4.2.
        heard: What a listener hears; None without one.
    """

    number: int
    name: str
    group: int
    trouble: str
    fires: bool
    mean: float
    std: float
    bin_edges: np.ndarray
    bin_counts: np.ndarray
    share_above_half: float
    effects: dict[str, float]
    alike: list[tuple[int, str, float]]
    start: ExampleSet
    highest: ExampleSet
    lowest: ExampleSet
    searched: dict[str, ExampleSet] = dataclasses.field(default_factory=dict)
    ways: dict[str, ExampleSet] = dataclasses.field(default_factory=dict)
    found: dict[str, Explanation] = dataclasses.field(default_factory=dict)
    draws: int = 1
    concept: list[ConceptRow] = dataclasses.field(default_factory=list)
    heard: HeardSets | None = None

    def sets(self) -> list[ExampleSet]:
        """All of its own excerpts."""
        return [self.highest, self.lowest, *self.searched.values(), *self.ways.values()]


def save_start(folder: Path, start: ExampleSet, synthesis: Synthesis) -> Sounds:
    """Writes images and sounds of the examples before the search, which all units share."""
    return save_sets(folder, [start], value_range, synthesis, shows_progress=False)


def write_unit(
    folder: Path, unit: UnitContent, start_sounds: Sounds, synthesis: Synthesis
) -> dict[str, Any]:
    """Writes a unit's page, and what its card needs.

    Args:
        folder: Folder of the atlas.
        unit: What to show.
        start_sounds: What `save_start` returned.
        synthesis: How sounds are made.

    Returns:
        The card: values for its template, also in the file `card_path`.
    """
    common = value_range(unit.start)
    sounds = save_sets(folder, unit.sets(), lambda _: common, synthesis, shows_progress=False)
    sounds = {**start_sounds, **sounds}
    axes = axes_of([unit.start, unit.highest])
    shown = {
        word: excerpts(one, axes, sounds)
        for word, one in (("start", unit.start), ("highest", unit.highest), ("lowest", unit.lowest))
    }
    density = density_chart(unit)
    text = render(
        "unit.html",
        axes,
        sounds,
        unit=unit,
        density=density,
        shown=shown,
        words=WORDS,
        heard_sets=charts.HEARD_SETS,
        searched={way: excerpts(one, axes, sounds) for way, one in unit.searched.items()},
        ways={way: excerpts(one, axes, sounds) for way, one in unit.ways.items()},
        curves={way: distance_chart(found) for way, found in unit.found.items()},
        page_of=page_name,
        how_made=synthesis.description,
        errors_db=round_trip_errors_db(sounds, [unit.highest, unit.lowest]),
    )
    write_page(folder / page_name(unit.number), text)
    card = _card(unit, sounds, density)
    write_json(card_path(folder, unit.number), card)
    return card


def page_name(number: int) -> str:
    """File name of a unit's page."""
    return f"unit-{number:05d}.html"


def card_path(folder: Path, number: int) -> Path:
    """File of what a unit's card needs; it is written last, so its page is complete."""
    return folder / "cards" / f"{number:05d}.json"


def kept_card(folder: Path, number: int) -> dict[str, Any] | None:
    """The card of a unit whose page was finished before; None if it was not."""
    path = card_path(folder, number)
    return read_json(path) if path.exists() else None


def write_atlas(
    folder: Path,
    cards: Sequence[Mapping[str, Any]],
    shape_of: ExampleSet,
    labels: Sequence[str],
    facts: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Path:
    """Writes the page of all units.

    Args:
        folder: Its folder.
        cards: What `write_unit` returned, alike units next to each other.
        shape_of: Any examples, for the axes of the spectrograms.
        labels: Names of the labels that the records know.
        facts: ``classifier``, ``num_excerpts``, ``split``; ``how_made``, how sounds were made;
            ``bridge``, what is known about it; and ``draws``, as in `UnitContent`.
        provenance: JSON-ready facts about how all this was made.

    Returns:
        The page, ``index.html``.
    """
    axes = axes_of([shape_of])
    groups = sorted({card["group"] for card in cards})
    distances = [one["distance"] for card in cards for one in card["found"]]
    text = render(
        "atlas.html",
        axes,
        {},
        cards=cards,
        cards_at_once=CARDS_AT_ONCE,
        axes_id=next(iter(axes.values())),
        groups={group: sum(card["group"] == group for card in cards) for group in groups},
        labels=labels,
        median_distance=float(np.median(distances)) if distances else None,
        facts=facts,
        provenance=json_text(provenance),
    )
    return write_page(folder / "index.html", text)


def _card(unit: UnitContent, sounds: Sounds, density: dict[str, Any]) -> dict[str, Any]:
    """What the atlas shows of a unit, and the numbers by which it sorts and filters."""
    card: dict[str, Any] = {
        "number": unit.number,
        "name": unit.name,
        "page": page_name(unit.number),
        "group": unit.group,
        "state": "not explained" if unit.trouble else "explained" if unit.fires else "never fires",
        "trouble": unit.trouble,
        "fires": unit.fires,
        "share_above_half": _finite(unit.share_above_half),
        "effects": {label: _finite(value) for label, value in unit.effects.items()},
        "density": density,
        "found": [
            {
                "word": WORDS[way],
                "distance": found.distance,
                "low": found.distance_low,
                "high": found.distance_high,
            }
            for way, found in unit.found.items()
        ],
        "transfer": None,
        "panels": [],
    }
    if unit.heard and unit.heard.transfer.is_defined:
        card["transfer"] = unit.heard.transfer.transfer
    way = next(iter(unit.searched), None)
    real, word = (unit.lowest, "lowest") if way == "min" else (unit.highest, "highest")
    panels = [(real, 0, f"real, {word}")]
    if way is not None:
        after = unit.searched[way]
        sign = -1 if way == "min" else 1
        best = max(after.sounds_of or (0,), key=lambda index: sign * after.responses[index])
        panels += [(unit.start, best, "before"), (after, best, WORDS[way])]
    card["panels"] = [_panel(one, index, text, sounds) for one, index, text in panels]
    return card


def _panel(one: ExampleSet, index: int, text: str, sounds: Sounds) -> dict[str, Any]:
    sound = sounds.get((one.key, index))
    return {
        "image": f"images/{image_name(one, index)}",
        "sound": sound and sound._asdict(),
        "label": one.labels[index],
        "response": _finite(one.responses[index]),
        "text": text,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


CHART_WIDTH, CHART_HEIGHT = 320.0, 64.0
"""Of the small charts, in the units of their ``viewBox``."""


def density_chart(unit: UnitContent) -> dict[str, Any]:
    """Figure 2 in small: the density of the real responses, and where the examples are.

    Returns:
        ``path``, the outline of the density in a chart of `CHART_WIDTH` by `CHART_HEIGHT`;
        ``marks``, each with its word, colour, mean response, ``x``, and ``left`` and ``right``, the
        ends of its examples; ``low`` and ``high``, the responses at the ends of the axis.
    """
    sets = [("start", unit.start), *((WORDS[way], one) for way, one in unit.searched.items())]
    sets = [(word, one) for word, one in sets if np.isfinite(one.responses).all()]
    values = np.concatenate([unit.bin_edges, *(one.responses for _, one in sets)])
    low, high = float(np.min(values)), float(np.max(values))
    span = high - low or 1.0

    def x(value: float) -> float:
        return round((value - low) / span * CHART_WIDTH, 1)

    top = max(int(unit.bin_counts.max()), 1)
    points = [f"M{x(unit.bin_edges[0])} {CHART_HEIGHT}"]
    for left, right, count in zip(
        unit.bin_edges[:-1], unit.bin_edges[1:], unit.bin_counts, strict=True
    ):
        # The root keeps rare responses, which are the interesting ones, visible.
        height = round(CHART_HEIGHT * (1 - math.sqrt(count / top)), 1)
        points.append(f"L{x(left)} {height}L{x(right)} {height}")
    points.append(f"L{x(unit.bin_edges[-1])} {CHART_HEIGHT}Z")
    marks = [
        {
            "word": word,
            "color": SET_COLORS[word],
            "mean": float(one.responses.mean()),
            "x": x(one.responses.mean()),
            "left": x(one.responses.min()),
            "right": x(one.responses.max()),
        }
        for word, one in sets
    ]
    return {"path": "".join(points), "marks": marks, "low": low, "high": high}


def distance_chart(found: Explanation) -> dict[str, Any]:
    """Eq. 3's distance along the search: both axes logarithmic, a line for each prior weight.

    Returns:
        ``lines``, each with its prior weight and its ``points``; ``best``, the point that was
        chosen; ``steps`` and ``distances``, the ends of the axes.
    """
    steps = np.log(np.maximum(found.steps, 0.5))  # Step 0 has no logarithm.
    distances = np.log(np.maximum(found.distances, 1e-6))
    low, high = float(np.nanmin(distances)), float(np.nanmax(distances))

    def point(step: float, distance: float) -> tuple[float, float]:
        across = (step - steps[0]) / (steps[-1] - steps[0] or 1)
        down = (high - distance) / (high - low or 1)
        return round(across * CHART_WIDTH, 1), round(down * CHART_HEIGHT, 1)

    lines = [
        {
            "weight": float(weight),
            "points": " ".join(
                "{},{}".format(*point(step, distance))
                for step, distance in zip(steps, row, strict=True)
                if np.isfinite(distance)
            ),
        }
        for weight, row in zip(found.prior_weights, distances, strict=True)
    ]
    best = point(
        math.log(max(found.configuration.num_steps, 0.5)), math.log(max(found.distance, 1e-6))
    )
    ends = np.exp([low, high])
    return {
        "lines": lines,
        "best": best,
        "steps": (int(found.steps[0]), int(found.steps[-1])),
        "distances": (float(ends[0]), float(ends[1])),
    }
