"""What select_hyperparameters writes: Table 5, all rows, as text and as CSV, and realism."""

import csv
import dataclasses
import os
import typing
from collections.abc import Callable
from typing import Any

from svdam.core.files import atomic_write
from svdam.core.validation import InputError
from svdam.evaluation.ranking import Configuration, RankedConfiguration, Ranking
from svdam.evaluation.realism import Realism, RealismRow

RANKING_NAME = "ranking.csv"
REALISM_NAME = "realism.csv"
_SHARED = {
    name: kind
    for name, kind in typing.get_type_hints(Ranking).items()
    if name not in ("rows", "warnings")
}
_COLUMNS = typing.get_type_hints(RankedConfiguration)
_CONFIGURATION = typing.get_type_hints(Configuration)
# Columns of realism.csv, and what the last row holds of real excerpts.
_MEASURES = {
    "critic_scores": "real_critic_score",
    "nearest_distances": "real_nearest_distance",
}


def format_ranking(ranking: Ranking) -> str:
    """The ranking as text: a header, a line for each configuration, one about real responses."""
    percent = f"{ranking.confidence:.0%}"
    header = (
        f"{'rank':>4}  {'':6} {'l_r':>8} {'lambda':>8} {'N_t':>6} {'distance':>12}  "
        f"{percent + ' interval':^25} {'first in':>8} {'mean':>10} {'variance':>10}"
    )
    lines = [header]
    for row in ranking.rows:
        interval = f"[{row.distance_low:.4g}, {row.distance_high:.4g}]"
        lines.append(
            f"{row.rank:>4}  {row.mark:6} {row.learning_rate:>8g} {row.prior_weight:>8g} "
            f"{row.num_steps:>6} {row.distance:>12.4f}  {interval:^25} {row.first_share:>8.1%} "
            f"{row.mean:>10.3f} {row.variance:>10.3f}"
        )
    if ranking.layer:
        lines.append(f"distance: multivariate form of eq. 3, over all units of {ranking.layer}")
    lines.append(
        f"real responses: mean {ranking.real_mean:.3f}, variance {ranking.real_variance:.3f} "
        f"({ranking.num_real} excerpts; {ranking.num_generated} examples per configuration)"
    )
    return "\n".join(lines)


def write_ranking(path: str | os.PathLike, ranking: Ranking) -> None:
    """Writes ``ranking.csv``, atomically: a row for each configuration, the best first."""
    shared = {name: getattr(ranking, name) for name in _SHARED}
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, dict.fromkeys(["rank", *_COLUMNS, *_SHARED]))
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) | shared for row in ranking.rows)


def read_ranking(path: str | os.PathLike) -> Ranking:
    """Reads ``ranking.csv``.

    Returns:
        The ranking, without its warnings.

    Raises:
        InputError: If the file is missing, or a line is not what `write_ranking` writes.

    Example:
        >>> ranking = read_ranking("runs/selection/ranking.csv")
        >>> str(ranking.rows[0])
        'rate 0.01, lambda 0.01, 20 steps'
    """
    found = _read_rows(path, lambda record: (_parsed(record, _COLUMNS), _parsed(record, _SHARED)))
    if not found:
        raise InputError(f"{path}: has no rows; create it with select_hyperparameters")
    rows = tuple(RankedConfiguration(**row) for row, _ in found)
    return Ranking(rows=rows, warnings=(), **found[0][1])


def write_realism(path: str | os.PathLike, ranking: Ranking, measured: Realism) -> None:
    """Writes ``realism.csv``: a row for each configuration, the best first, and one for real."""
    columns = {name: getattr(measured, name) for name in _MEASURES}
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, ["rank", *_CONFIGURATION, "distance", *_MEASURES])
        writer.writeheader()
        for row in ranking.rows:
            values = {name: float(c[row.index]) for name, c in columns.items() if c is not None}
            known = {"rank": row.rank, "distance": row.distance}
            writer.writerow(known | vars(row.configuration) | values)
        real = {name: getattr(measured, attribute) for name, attribute in _MEASURES.items()}
        writer.writerow({"rank": "real", **real})


def read_realism(path: str | os.PathLike, ranking: Ranking) -> list[RealismRow]:
    """Reads ``realism.csv``; nothing where realism was not measured.

    Raises:
        InputError: If a line is not what `write_realism` writes.
    """
    if not os.path.exists(path):
        return []
    marks = {str(row.rank): row.mark for row in ranking.rows}

    def parsed(record: dict[str, str]) -> RealismRow:
        columns = ("distance", *_MEASURES)
        values = [float(record[name]) if record[name] else None for name in columns]
        return RealismRow(record["rank"], marks.get(record["rank"], ""), *values)

    return _read_rows(path, parsed)


def _read_rows(path: str | os.PathLike, parsed: Callable[[dict[str, str]], Any]) -> list[Any]:
    rows = []
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            for line, record in enumerate(csv.DictReader(stream), 2):
                try:
                    if None in record.values():
                        raise ValueError("it is too short")
                    rows.append(parsed(record))
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError(
                        f"{path}:{line}: is not a row of a ranking ({error}); "
                        "create it with select_hyperparameters"
                    ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return rows


def _parsed(record: dict[str, str], kinds: dict[str, type]) -> dict[str, Any]:
    return {name: kind(record[name]) for name, kind in kinds.items()}
