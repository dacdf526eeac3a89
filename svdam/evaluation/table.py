"""Scores as text: Table 3's columns, and AUROC."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from svdam.core.summaries import as_markdown

COLUMNS = (
    ("threshold", "Threshold", "{:.2f}"),
    ("precision", "Precision", "{:.3f}"),
    ("recall", "Recall", "{:.3f}"),
    ("specificity", "Specificity", "{:.3f}"),
    ("f1", "F1-score", "{:.3f}"),
    ("error", "Class. error", "{:.3f}"),
    ("auroc", "AUROC", "{:.3f}"),
)
"""Key in the scores, heading as in Table 3, format."""


def plain_table(rows: Sequence[tuple[str, Mapping[str, Any]]], first_heading: str) -> str:
    """A table for the terminal, one line per row, with aligned columns.

    Args:
        rows: Name and scores of each row, as `svdam.evaluation.detection.evaluate` gives them.
        first_heading: Heading of the names.
    """
    cells = [_headings(first_heading), *(_cells(name, scores) for name, scores in rows)]
    first, *widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            [name + " " * (first - _width(name))]
            + [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        )
        for name, *row in cells
    )


def markdown_table(rows: Sequence[tuple[str, Mapping[str, Any]]], first_heading: str) -> str:
    """The same as Markdown, for TensorBoard."""
    cells = [_cells(as_markdown(name), scores) for name, scores in rows]
    lines = [_headings(as_markdown(first_heading)), ["---"] + ["---:"] * len(COLUMNS), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: two for a wide letter, none for an accent alone."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def _headings(first_heading: str) -> list[str]:
    return [first_heading, *(heading for _, heading, _ in COLUMNS)]


def _cells(name: str, scores: Mapping[str, Any]) -> list[str]:
    values = ((scores[key], pattern) for key, _, pattern in COLUMNS)
    return [name, *("-" if value is None else pattern.format(value) for value, pattern in values)]
