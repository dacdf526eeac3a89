"""Small pieces of HTML that the sections of the page are made of. All text is escaped here."""

from collections.abc import Collection, Iterable, Sequence
from html import escape
from urllib.parse import quote

import numpy as np

from svdam.report.content import ExampleSet, SpectrogramAxes
from svdam.report.files import Sounds, image_name, sound_name

MINUS = "\N{MINUS SIGN}"
NO_VALUE = "\N{EN DASH}"

PLOT = (42.0, 4.0, 154.0, 116.0)
"""Left, top, width, height of a small spectrogram in its axes of 200 x 152 units; page.css too."""


def number(value: float | None, digits: int = 2) -> str:
    """A number for people, with a real minus sign; a dash for None and NaN."""
    if value is None or value != value:
        return NO_VALUE
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else f"{MINUS}∞"
    places = digits if abs(value) < 1e4 else 0
    shown = f"{value:.{places}f}" if abs(value) < 1e7 else f"{value:.3g}"
    return shown.replace("-", MINUS)


def percent(value: float | None, digits: int = 0) -> str:
    """A share as percents."""
    if value is None or value != value:
        return NO_VALUE
    return f"{100 * value:.{digits}f} %"


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]]],
    words: Collection[int] = (),
) -> str:
    """A table that scrolls by itself on a narrow screen.

    Args:
        caption: HTML.
        header: HTML of the column heads.
        rows: (class of the row, HTML of its cells).
        words: Columns besides the first that hold words and are aligned left.
    """

    def align(column: int) -> str:
        return ' class="words"' if column in words else ""

    head = "".join(f'<th scope="col"{align(i)}>{value}</th>' for i, value in enumerate(header))
    body = []
    for name, (first, *others) in rows:
        cells = "".join(f"<td{align(i)}>{value}</td>" for i, value in enumerate(others, 1))
        style = f" class={quote_attribute(name)}" if name else ""
        body.append(f'<tr{style}><th scope="row">{first}</th>{cells}</tr>\n')
    return (
        '<div class="table" tabindex="0" role="region" aria-label="Table, scrolls sideways"><table>'
        f"<caption><span>{caption}</span></caption><thead><tr>{head}</tr></thead>\n<tbody>{''.join(body)}</tbody>"
        "</table></div>"
    )


def figure(name: str, caption: str, alt: str, scales: bool = False, wide: bool = True) -> str:
    """A figure with its caption and a link to its PDF.

    Args:
        name: File name without its ending.
        caption: HTML.
        alt: Text for those who cannot see it.
        scales: Whether it also exists on the common scale.
        wide: Whether it scrolls sideways on a phone rather than shrink.
    """
    attribute = " data-scales" if scales else ""
    return (
        f'<figure><div class="paper"><img class="plot{" wide" if wide else ""}"{attribute} '
        f'loading="lazy" src="figures/{name}.png" alt={quote_attribute(alt)}></div>'
        f'<figcaption>{caption} <a href="figures/{name}.pdf">PDF</a></figcaption></figure>'
    )


def axes_symbol(axes: SpectrogramAxes, frames: int) -> str:
    """The axes of the small spectrograms, once, as an SVG symbol that every one of them uses."""
    left, top, width, height = PLOT
    bottom, seconds = top + height, frames / axes.frames_per_second
    parts = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" class="frame"/>']
    bands = len(axes.band_hz)
    for hz in axes.hz_ticks():
        y = bottom - (axes.band_of(hz) + 0.5) / bands * height
        name = f"{hz // 1000}k" if hz >= 1000 else str(hz)
        parts.append(f'<path d="M{left} {y:.1f}h-3"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{name}</text>')
    for step in range(int(seconds / 0.5) + 1):
        x = left + step * 0.5 / seconds * width
        parts.append(f'<path d="M{x:.1f} {bottom}v3"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 13:.1f}" text-anchor="middle">{step * 0.5:g}</text>'
        )
    middle_x, middle_y = left + width / 2, top + height / 2
    parts.append(f'<text x="{middle_x}" y="148" text-anchor="middle">time (s)</text>')
    parts.append(
        f'<text x="9" y="{middle_y}" text-anchor="middle" '
        f'transform="rotate(-90 9 {middle_y})">frequency (Hz)</text>'
    )
    return (
        '<symbol id="axes" viewBox="0 0 200 152"><g fill="none" stroke="currentColor" '
        'stroke-width=".7" font-family="inherit" font-size="11">'
        + "".join(parts).replace("<text", '<text fill="currentColor" stroke="none"')
        + "</g></symbol>"
    )


def spectrogram(examples: ExampleSet, index: int, alt: str) -> str:
    """One small spectrogram with its axes."""
    return (
        '<div class="spec"><img loading="lazy" data-scales '
        f'src="images/{image_name(examples, index)}" alt={quote_attribute(alt)}>'
        '<svg aria-hidden="true"><use href="#axes"/></svg></div>'
    )


def play(examples: ExampleSet, index: int, sounds: Sounds, name: str, text: str) -> str:
    """A link that plays a sound; nothing where the set's sound was not written."""
    sound = sounds.get((examples.key, index))
    if sound is None:
        return ""
    return (
        f'<a class="play" href="sounds/{quote(sound_name(examples, index))}" '
        f'data-level="{sound.level:.5f}" aria-label={quote_attribute(f"Play: {name}")}>'
        f"▶{f' {escape(text)}' if text else ''}</a>"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Short facts with their names."""
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{items}</dl>'


def describe(examples: ExampleSet, index: int, axes: SpectrogramAxes) -> str:
    """A spectrogram in words: where its energy lies."""
    energy = np.exp(2 * (examples.log_mels[index] - examples.log_mels[index].max()))
    profile = energy.sum(axis=0) / energy.sum()
    low, high = (axes.band_hz[np.searchsorted(np.cumsum(profile), q)] for q in (0.1, 0.9))
    return f"most energy between {low:.0f} and {high:.0f} Hz"


def quote_attribute(text: str) -> str:
    """Text as a quoted, escaped attribute value."""
    return f'"{escape(text, quote=True)}"'
