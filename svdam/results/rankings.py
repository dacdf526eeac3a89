"""A ranking as a table: the text that a command prints (Table 5, all rows) and ``ranking.csv``."""

import csv
import dataclasses
import os
import typing
from collections.abc import Sequence
from typing import Any

from svdam.core.files import atomic_write
from svdam.core.validation import InputError
from svdam.evaluation.ranking import RankedConfiguration, Ranking

SETTING_COLUMNS = ("learning_rate", "prior_weight", "num_steps")
"""What a configuration is made of (Table 5), in the order of `Configuration`."""

_SHARED = ("real_mean", "real_variance", "num_real", "num_generated", "confidence", "ahead_share")


def format_ranking(ranking: Ranking, settings: Sequence[tuple]) -> str:
    """The ranking as lines of text.

    Args:
        ranking: The ranking.
        settings: (learning rate, prior weight, steps) of each configuration that was ranked, in
            the order in which they were ranked.

    Returns:
        A header, a line for each configuration, and a line about the real responses.
    """
    percent = f"{ranking.confidence:.0%}"
    header = (
        f"{'rank':>4}  {'':6} {'l_r':>8} {'lambda':>8} {'N_t':>6} {'distance':>12}  "
        f"{percent + ' interval':^25} {'first in':>8} {'mean':>10} {'variance':>10}"
    )
    lines = [header]
    for row in ranking.rows:
        rate, weight, steps = settings[row.index]
        interval = f"[{row.distance_low:.4g}, {row.distance_high:.4g}]"
        lines.append(
            f"{row.rank:>4}  {row.mark:6} {rate:>8g} {weight:>8g} {steps:>6} {row.distance:>12.4f}"
            f"  {interval:^25} {row.first_share:>8.1%} {row.mean:>10.3f} {row.variance:>10.3f}"
        )
    if ranking.layer:
        lines.append(f"distance: multivariate form of eq. 3, over all units of {ranking.layer}")
    lines.append(
        f"real responses: mean {ranking.real_mean:.3f}, variance {ranking.real_variance:.3f} "
        f"({ranking.num_real} excerpts; {ranking.num_generated} examples a configuration)"
    )
    return "\n".join(lines)


def write_ranking(path: str | os.PathLike, ranking: Ranking, settings: Sequence[tuple]) -> None:
    """Writes ``ranking.csv``, atomically: a row for each configuration, the best first.

    Args:
        path: The file.
        ranking: The ranking.
        settings: As `format_ranking`.
    """
    columns = [field.name for field in dataclasses.fields(RankedConfiguration)]
    shared = {name: getattr(ranking, name) for name in _SHARED}
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, [*columns, *SETTING_COLUMNS, *_SHARED, "layer"])
        writer.writeheader()
        for row in ranking.rows:
            values = dict(zip(SETTING_COLUMNS, settings[row.index], strict=True))
            writer.writerow({**dataclasses.asdict(row), **values, **shared, "layer": ranking.layer})


def read_ranking(path: str | os.PathLike) -> tuple[Ranking, dict[int, tuple]]:
    """Reads ``ranking.csv``.

    Returns:
        The ranking (without its warnings), and the (learning rate, prior weight, steps) of each
        configuration by its ``index``.

    Raises:
        InputError: If the file is missing, or a line is not what `write_ranking` writes.
    """
    rows: list[RankedConfiguration] = []
    settings: dict[int, tuple] = {}
    shared: dict[str, Any] = {}
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            for line, record in enumerate(csv.DictReader(stream), 2):
                try:
                    row = _parse(record)
                    rate, weight, steps = (record[name] for name in SETTING_COLUMNS)
                    settings[row.index] = float(rate), float(weight), int(steps)
                    shared = {name: _number(record[name]) for name in _SHARED}
                    shared["layer"] = record["layer"]
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError(
                        f"{path}:{line}: is no row of a ranking ({error}); "
                        "make it with select_hyperparameters"
                    ) from error
                rows.append(row)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not rows:
        raise InputError(f"{path}: has no rows; make it with select_hyperparameters")
    return Ranking(rows=tuple(rows), warnings=(), **shared), settings


def _parse(record: dict[str, str]) -> RankedConfiguration:
    kinds = typing.get_type_hints(RankedConfiguration)
    return RankedConfiguration(**{name: kind(record[name]) for name, kind in kinds.items()})


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)
