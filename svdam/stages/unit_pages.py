"""From explained units to the atlas: their excerpts, measures, and what a listener hears."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from svdam.core.front_end import FrontEnd
from svdam.core.runs import Run
from svdam.data.records import Records
from svdam.report.assets import Synthesis
from svdam.report.atlas import (
    WORDS,
    UnitContent,
    kept_card,
    save_start,
    write_atlas,
    write_unit,
)
from svdam.report.content import ExampleSet
from svdam.report.listening_test import write_listening_test
from svdam.results.explanations import (
    ExplainedUnits,
    Explanation,
    explanation_path,
    read_explanation,
)
from svdam.stages.listening import heard_sets
from svdam.stages.report_sets import concept_rows, excerpt_label, seed_labels, sound_synthesis
from svdam.stages.unit_responses import extreme_excerpts

if TYPE_CHECKING:
    from svdam.stages.listening import OpenListener

_MOST_ALIKE = 5
_TESTED_UNITS = 10  # About 35 trials.
_LEAST_CORRELATION = 0.3  # Below, units have little in common.


@dataclasses.dataclass(frozen=True)
class UnitPages:
    """What the pages of all units have in common.

    Attributes:
        units: The units.
        records: Where their real excerpts come from.
        split: Its split.
        front_end: Front end of the examples.
        directions: ``max``, ``min`` or both.
        num_sounds: Sounds of each set of excerpts.
        bridge: What is known about the bridge, for people; "" without one.
        open_listener: See `svdam.stages.listening.listener_opener`.
    """

    units: ExplainedUnits
    records: Records
    split: str
    front_end: FrontEnd
    directions: Sequence[str]
    num_sounds: int
    bridge: str = ""
    open_listener: "OpenListener | None" = None

    def write(self, run: Run, failures: dict[int, str], advance: Callable[[float], None]) -> Path:
        """Writes all pages into a run folder; those that were finished before stay.

        Args:
            run: The run folder.
            failures: Why units were not searched, by their number.
            advance: Called with 1 after each unit.

        Returns:
            The atlas, ``index.html``.
        """
        synthesis = sound_synthesis()
        start_sounds = save_start(run.folder, self._start(0), synthesis)
        cards = []
        for unit in self.units.order.tolist():
            card = kept_card(run.folder, unit)
            if card is None:
                content = self.content(run.folder, unit, failures.get(unit, ""))
                self._measure(content)
                card = write_unit(run.folder, content, start_sounds, synthesis)
            cards.append(card)
            advance(1)
        return self._write_atlas(run, cards, synthesis)

    def write_listening_test(self, folder: Path, failures: dict[int, str]) -> Path | None:
        """Writes a test about units drawn at random, as people tire; None if no unit is suited."""
        drawn = np.random.default_rng(0).permutation(len(self.units)).tolist()
        contents = (self.content(folder, one, failures.get(one, "")) for one in drawn)
        return write_listening_test(folder, contents, _TESTED_UNITS, sound_synthesis())

    def content(self, folder: Path, unit: int, trouble: str) -> UnitContent:
        """What is known of a unit, but for what `_measure` adds.

        Args:
            folder: The run folder.
            unit: Its number.
            trouble: Why it was not searched; "" if it was.
        """
        statistics = self.units.statistics
        found = {
            way: read_explanation(explanation_path(folder, unit, way))
            for way in self.directions
            if not trouble
        }
        return UnitContent(
            number=unit,
            name=self.units.names[unit],
            group=int(self.units.groups[unit]) + 1,
            trouble=trouble,
            fires=self.units.fires(unit),
            mean=float(statistics.mean[unit]),
            std=float(np.sqrt(statistics.variance[unit])),
            bin_edges=statistics.bin_edges[unit],
            bin_counts=statistics.bin_counts[unit],
            share_above_half=float(statistics.share_above_half[unit]),
            effects=dict(
                zip(self.units.labels, statistics.effect_sizes[unit].tolist(), strict=True)
            ),
            alike=self._alike(unit),
            start=self._start(unit),
            highest=self._real(unit, "highest"),
            lowest=self._real(unit, "lowest"),
            searched={way: self._searched(unit, one) for way, one in found.items()},
            ways={way: self._way(unit, one) for way, one in found.items()},
            found=found,
            draws=self._num_draws,
        )

    def _start(self, unit: int) -> ExampleSet:
        seeds = self.units.seeds
        return ExampleSet(
            key="start",
            title="before optimization",
            log_mels=self.units.start_examples[..., 0],
            responses=self.units.start_responses[unit],
            labels=seed_labels(self.units.seeds),
            mark="start",
            sounds_of=tuple(range(min(self.num_sounds, len(seeds)))),
            front_end=self.front_end,
        )

    def _searched(self, unit: int, found: Explanation) -> ExampleSet:
        word = WORDS[found.direction]
        return ExampleSet(
            key=f"{unit:05d}-{found.direction}",
            title=word,
            log_mels=found.examples[..., 0],
            responses=found.responses,
            labels=seed_labels(self.units.seeds),
            mark=word,
            sounds_of=tuple(range(min(self.num_sounds, len(found.examples)))),
            front_end=self.front_end,
        )

    def _way(self, unit: int, found: Explanation) -> ExampleSet:
        """The first latent's examples, from the first to the last step."""
        column = found.prior_weights.tolist().index(found.configuration.prior_weight)
        rows = [found.steps.tolist().index(step) for step in found.way_steps.tolist()]
        return ExampleSet(
            key=f"{unit:05d}-{found.direction}-way",
            title="on the way",
            log_mels=found.way_examples[:, 0, ..., 0],
            responses=found.path_responses[column, rows, 0],
            labels=[f"{step} step{'s' * (step != 1)}" for step in found.way_steps.tolist()],
            front_end=self.front_end,
        )

    def _real(self, unit: int, word: str) -> ExampleSet:
        """As many as there are examples."""
        count = len(self.units.seeds)
        where = (getattr(self.units, f"{word}_{name}")[unit] for name in ("song", "first_frame"))
        front_end = self.records.front_end
        return ExampleSet(
            key=f"{unit:05d}-{word}",
            title=f"The {count} real excerpts with the {word} responses",
            log_mels=extreme_excerpts(self.units, self.records, self.split, unit, word, count),
            responses=getattr(self.units.statistics, word)[unit, :count],
            labels=[
                excerpt_label(self.units.song_ids[song], frame, front_end)
                for song, frame in list(zip(*where, strict=True))[:count]
            ],
            sounds_of=tuple(range(min(self.num_sounds, count))),
            front_end=front_end,
        )

    @property
    def _num_draws(self) -> int:
        return self.units.provenance["settings"]["draws"]

    def _alike(self, unit: int) -> list[tuple[int, str, float]]:
        correlations = self.units.statistics.correlations
        if not correlations.size:
            return []
        row = np.nan_to_num(correlations[unit])
        row[unit] = 0
        best = np.argsort(-row, kind="stable")[:_MOST_ALIKE]
        return [
            (int(one), self.units.names[one], float(row[one]))
            for one in best
            if row[one] > _LEAST_CORRELATION
        ]

    def _measure(self, content: UnitContent) -> None:
        """Adds what is measured of the excerpts, and what the listener hears in them."""
        searched = {WORDS[way]: one for way, one in content.searched.items()}
        start, highest, lowest = content.start, content.highest, content.lowest
        content.concept = concept_rows(
            {"start": start, **searched, "lowest real": lowest, "highest real": highest},
            claims=False,
        )
        if self.open_listener is not None and len(searched) == len(WORDS):
            content.heard = heard_sets(
                self.open_listener,
                {"start": start, "highest": highest, "lowest": lowest, **searched},
            )

    def _write_atlas(self, run: Run, cards: list, synthesis: Synthesis) -> Path:
        classifier = Path(str(run.config["settings"]["classifier"])).name
        return write_atlas(
            run.folder,
            cards,
            self._start(0),
            self.units.labels,
            {
                "classifier": classifier,
                "split": self.split,
                "num_excerpts": self.units.statistics.num_excerpts,
                "how_made": synthesis.description,
                "bridge": self.bridge,
                "draws": self._num_draws,
            },
            run.config,
        )
