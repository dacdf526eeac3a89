"""The section with every example: a card each, sortable and filterable."""

from html import escape

from svdam.report.content import ExampleSet, ReportContent
from svdam.report.files import Sounds
from svdam.report.markup import describe, facts, number, play, quote_attribute, spectrogram

_SORTS = {
    "order up": "rank, then seed",
    "response down": "response, highest first",
    "response up": "response, lowest first",
    "gain down": "change of the response, largest first",
    "gain up": "change of the response, smallest first",
    "prior down": "log prior, most likely first",
    "prior up": "log prior, least likely first",
    "seed up": "seed",
}


def all_examples(content: ReportContent, sounds: Sounds) -> str:
    """Cards of all examples of the grid, and of the search in the other direction."""
    searched = [one for one in (content.maximized, content.minimized) if one is not None]
    sets = [*content.configurations, *(one for one in searched if one.key != content.best.key)]
    cards: list[str] = []
    for one in sets:
        first = len(cards)
        cards.extend(_card(content, one, i, sounds, first + i) for i in range(len(one)))
    return (
        "<h2>Every example</h2>"
        "<p>On the left what the search started from, on the right what it ended with. The log "
        "prior is the logarithm of the latent's probability density: the higher, the less unusual "
        "the generator finds the sound. Sounds: ▶ or Enter plays, the arrow keys go from one to "
        f"the next, Esc stops.{_silent_ones(sets)}</p>"
        '<noscript><p class="note">Without JavaScript only the best configuration is shown; the '
        "images and sounds of all are in the folders beside this page.</p></noscript>"
        f"{_controls(sets)}"
        f'<ul class="cards" id="example-cards">{"".join(cards)}</ul>'
    )


def _silent_ones(sets: list[ExampleSet]) -> str:
    if all(len(one.sounds_of) == len(one) for one in sets):
        return ""
    return (
        " Where there is no second button the sound was not made; "
        "<code>make_report --sounds=all</code> makes them all."
    )


def _controls(sets: list[ExampleSet]) -> str:
    def select(name: str, title: str, options: list[tuple[str, str]]) -> str:
        items = "".join(
            f"<option value={quote_attribute(value)}>{escape(text)}</option>"
            for value, text in [("", "all"), *options]
        )
        return f'<label>{title}<select data-filter="{name}">{items}</select></label>'

    settings = [one.settings for one in sets if one.settings is not None]
    columns = [sorted({f"{row[i]:g}" for row in settings}, key=float) for i in range(3)]
    rates, weights, steps = ([(value, value) for value in column] for column in columns)
    sorts = "".join(f'<option value="{key}">{text}</option>' for key, text in _SORTS.items())
    return (
        '<div class="controls" id="controls" hidden>'
        + select("set", "configuration", [(one.key, _set_name(one)) for one in sets])
        + select("rate", "learning rate", rates)
        + select("weight", "prior weight λ", weights)
        + select("steps", "steps", steps)
        + f'<label>sort by<select id="sort">{sorts}</select></label>'
        '<button type="button" class="more" id="reset">show all</button>'
        '<output id="shown" aria-live="polite"></output></div>'
    )


def _set_name(one: ExampleSet) -> str:
    return f"{one.mark}, {one.title}" if one.mark else one.title


def _card(content: ReportContent, one: ExampleSet, index: int, sounds: Sounds, order: int) -> str:
    start, label = content.start, one.labels[index]
    before, after = float(start.responses[index]), float(one.responses[index])
    data = {"set": one.key, "order": order, "seed": index, "response": f"{after:.5g}",
            "gain": f"{after - before:.5g}"}  # fmt: skip
    shown = [("response", f"{number(before)} → {number(after)}")]
    if one.probabilities is not None and start.probabilities is not None:
        was, now = start.probabilities[index], one.probabilities[index]
        shown.append(("probability", f"{number(was, 3)} → {number(now, 3)}"))
    if one.log_priors is not None:
        data["prior"] = f"{one.log_priors[index]:.5g}"
        shown.append(("log prior", number(one.log_priors[index], 1)))
    if one.settings is not None:
        data |= zip(("rate", "weight", "steps"), (f"{v:g}" for v in one.settings), strict=True)
    attributes = " ".join(f"data-{key}={quote_attribute(str(v))}" for key, v in data.items())
    alt_before = f"Before: {label}, {describe(start, index, content.axes)}"
    alt_after = f"After: {label}, {one.title}, {describe(one, index, content.axes)}"
    hear_before = play(start, index, sounds, f"{label}, before", "before")
    hear_after = play(one, index, sounds, f"{label}, {_set_name(one)}", "after")
    inside = (
        f"<h4><b>{escape(label)}</b><span>{escape(one.title)}</span></h4>"
        f'<div class="panels"><div>{spectrogram(start, index, alt_before)}'
        f"{hear_before or '<small>before</small>'}</div>"
        f"<div>{spectrogram(one, index, alt_after)}"
        f"{hear_after or '<small>after</small>'}</div></div>{facts(shown)}"
    )
    if one is not content.best:  # A template costs nothing until the script shows its card.
        inside = f"<template>{inside}</template>"
    return f'<li class="card" {attributes}>{inside}</li>\n'
