"""The listening test: can people tell, from examples, which real excerpt excites a unit more?

Two-alternative forced choice, as is standard for images (Borowski et al., ICLR 2021; Zimmermann et
al., NeurIPS 2021): a person studies references for a unit, and says which of two unseen real
excerpts excites it more. One block of trials has synthesised references, one real extreme ones,
one none; the page shuffles blocks, trials and sides for each person.

Sounds have random names and are written in random order. Which answers are right is known only to
`KEY_NAME`, which people who take the test should not get.
"""

import csv
import random
import secrets
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from svdam.core.files import atomic_write
from svdam.report.assets import Synthesis, save_wav
from svdam.report.atlas import UnitContent
from svdam.report.content import ExampleSet
from svdam.report.pages import render, write_page

PAGE_NAME = "listening_test.html"
KEY_NAME = "listening_key.csv"
SOUNDS_NAME = "listening"
KINDS = ("synthesised", "real", "none")
"""Kinds of references, each a block of trials."""
MAX_REFERENCES = 4
"""Of each side."""
CATCH_TRIALS = 2
"""Of each block with references: an excerpt to choose from is one of the references."""

_Excerpt = tuple[ExampleSet, int]


class ListeningTest:
    """Collects the trials of units, one unit at a time, and writes the page."""

    def __init__(self, folder: Path, synthesis: Synthesis):
        """Starts a test in a folder; `write` finishes it."""
        self._folder = folder
        self._synthesis = synthesis
        self._order = random.SystemRandom()
        self._trials: list[dict] = []
        self._key: list[tuple] = []

    def add(self, unit: UnitContent) -> bool:
        """Adds a trial with each kind of references.

        Returns:
            Whether the unit can be asked about: it was searched, and its extremes differ.
        """
        count = min(len(unit.highest.responses), len(unit.lowest.responses))
        if unit.trouble or not unit.highest.responses[count - 1] > unit.lowest.responses[count - 1]:
            return False
        # Every other rank: references are as extreme as what is asked about, and never the same.
        studied = range(0, count, 2)[:MAX_REFERENCES]
        asked = self._order.sample(range(1, count, 2), k=count // 2)
        references: dict[str, tuple[list[_Excerpt], list[_Excerpt]]] = {
            "synthesised": (
                _first(unit.searched.get("max"), reverse=True),
                _first(unit.searched.get("min"), reverse=False),
            ),
            "real": (
                [(unit.highest, rank) for rank in studied],
                [(unit.lowest, rank) for rank in studied],
            ),
            "none": ([], []),
        }
        planned = []
        for number, kind in enumerate(KINDS):
            rank = asked[number % len(asked)]
            pair = (unit.highest, rank), (unit.lowest, rank)
            planned.append((kind, references[kind], pair, False))
            more, less = references[kind]
            caught = sum(row[2] == kind and row[3] == 1 for row in self._key)
            if more and caught < CATCH_TRIALS:
                other = less[0] if less else (unit.lowest, rank)
                planned.append((kind, references[kind], (more[0], other), True))
        self._write_trials(unit.name, planned)
        return True

    def write(self) -> Path:
        """Writes page and key.

        Returns:
            The page.
        """
        self._order.shuffle(self._trials)
        self._order.shuffle(self._key)
        with atomic_write(self._folder / KEY_NAME) as stream:
            writer = csv.writer(stream)
            writer.writerow(["trial", "right", "kind", "catch", "unit"])
            writer.writerows(self._key)
        text = render("listening_test.html", {}, {}, trials=self._trials, folder=SOUNDS_NAME)
        return write_page(self._folder / PAGE_NAME, text)

    def _write_trials(self, name: str, planned: list[tuple]) -> None:
        files: list[tuple[str, _Excerpt]] = []

        def sound(excerpt: _Excerpt) -> str:
            files.append((f"{secrets.token_hex(8)}.wav", excerpt))
            return files[-1][0]

        for kind, (more, less), (right, wrong), is_catch in planned:
            shown = {"more": [sound(one) for one in more], "less": [sound(one) for one in less]}
            answer, other = sound(right), sound(wrong)
            trial = secrets.token_hex(8)
            self._trials.append(
                {"id": trial, "block": kind, **shown, "choices": sorted([answer, other])}
            )
            self._key.append((trial, answer, kind, int(is_catch), name))
        self._order.shuffle(files)  # Times of files tell nothing either.
        for file, (examples, index) in files:
            (audio,) = self._synthesis.to_audio(
                examples.log_mels[index : index + 1], front_end=examples.front_end
            )
            path = self._folder / SOUNDS_NAME / file
            save_wav(path, audio, examples.front_end.sample_rate)


def write_listening_test(
    folder: Path, units: Iterable[UnitContent], max_units: int, synthesis: Synthesis
) -> Path | None:
    """Writes a test about the first units that can be asked about.

    Returns:
        The page; None if there is no such unit.
    """
    test, added = ListeningTest(folder, synthesis), 0
    (folder / SOUNDS_NAME).mkdir(exist_ok=True)
    for path in (folder / SOUNDS_NAME).glob("*.wav"):  # Of a run that was interrupted.
        path.unlink()
    for unit in units:
        added += test.add(unit)
        if added == max_units:
            break
    return test.write() if added else None


def _first(examples: ExampleSet | None, reverse: bool) -> list[_Excerpt]:
    """The most extreme examples of a set."""
    if examples is None:
        return []
    order = np.argsort(examples.responses, kind="stable")
    return [(examples, int(one)) for one in (order[::-1] if reverse else order)[:MAX_REFERENCES]]
