"""Scores the answers to a listening test of explain_classifier.

    python tools/score_listening_test.py runs/explain/listening_key.csv answers*.csv

Prints, for each kind of references, the proportion of right answers with its 95% Wilson interval,
which takes answers as independent. Catch trials, in which a choice is also a reference, are not
counted; whoever gets fewer of them right than --least_caught is left out.
"""

import argparse
import collections
import csv
from collections.abc import Sequence

from scipy.stats import binomtest


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads key and answers, and prints a table as CSV."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("key", help="listening_key.csv, next to the page")
    parser.add_argument("answers", nargs="+", help="files that the page let people download")
    parser.add_argument("--least_caught", type=float, default=0.75, help="share of catch trials")
    given = parser.parse_args(arguments)
    key = {row["trial"]: row for row in _rows(given.key)}
    listeners = []
    for path in given.answers:
        answers = _rows(path)
        unknown = {row["trial"] for row in answers} - set(key)
        if unknown or not answers:
            parser.error(f"{path}: not answers to the test of {given.key}")
        if len({row["trial"] for row in answers}) < len(answers):
            parser.error(f"{path}: a trial is answered twice")
        listeners.append((path, answers))
    print("references,right,trials,proportion,low,high,seconds,confidence")
    for kind, row in score(key, listeners, given.least_caught).items():
        print(kind, *row, sep=",")


def score(
    key: dict[str, dict], listeners: list[tuple[str, list[dict]]], least_caught: float
) -> dict[str, list]:
    """By kind: right, trials, proportion, its interval, mean seconds and mean confidence."""
    counted = collections.defaultdict(list)
    for path, answers in listeners:
        right = [row["chosen"] == key[row["trial"]]["right"] for row in answers]
        is_catch = [key[row["trial"]]["catch"] == "1" for row in answers]
        caught = [one for one, catch in zip(right, is_catch, strict=True) if catch]
        if caught and sum(caught) < least_caught * len(caught):
            print(f"# left out: {path}: {sum(caught)} of {len(caught)} catch trials are right")
            continue
        for row, one, catch in zip(answers, right, is_catch, strict=True):
            if not catch:
                counted[key[row["trial"]]["kind"]].append((one, row))
    found = {}
    for kind, rows in sorted(counted.items()):
        hits, count = sum(one for one, _ in rows), len(rows)
        interval = binomtest(hits, count).proportion_ci(method="wilson")
        means = (
            sum(float(row[name]) for _, row in rows) / count for name in ("seconds", "confidence")
        )
        shown = [hits / count, interval.low, interval.high, *means]
        found[kind] = [hits, count, *(round(float(value), 3) for value in shown)]
    return found


def _rows(path: str) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    main()
