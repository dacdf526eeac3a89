"""A ranking as a table: the text that a command prints (Table 5, all rows) and ``ranking.csv``."""

import csv
import dataclasses
import os
import typing
from typing import Any

from svdam.core.files import atomic_write
from svdam.core.validation import InputError
from svdam.evaluation.ranking import RankedConfiguration, Ranking

_SHARED = {
    name: kind
    for name, kind in typing.get_type_hints(Ranking).items()
    if name not in ("rows", "warnings")
}
_COLUMNS = typing.get_type_hints(RankedConfiguration)


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
        f"({ranking.num_real} excerpts; {ranking.num_generated} examples a configuration)"
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
    """
    rows: list[RankedConfiguration] = []
    shared: dict[str, Any] = {}
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            for line, record in enumerate(csv.DictReader(stream), 2):
                try:
                    rows.append(RankedConfiguration(**_parsed(record, _COLUMNS)))
                    shared = _parsed(record, _SHARED)
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError(
                        f"{path}:{line}: is no row of a ranking ({error}); "
                        "make it with select_hyperparameters"
                    ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not rows:
        raise InputError(f"{path}: has no rows; make it with select_hyperparameters")
    return Ranking(rows=tuple(rows), warnings=(), **shared)


def _parsed(record: dict[str, str], kinds: dict[str, type]) -> dict[str, Any]:
    if None in record.values():
        raise ValueError("it is too short")
    return {name: kind(record[name]) for name, kind in kinds.items()}
