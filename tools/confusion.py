"""Do the sounds that were made for one output raise that output more than the others?

    python -m svdam.explain_classifier --response='tags:guitar,tags:piano' --output=runs/tags ...
    python tools/confusion.py runs/tags

For each explained output of a layer, the examples that maximize it are put into the classifier
once more. How much they raise each output of the layer, above the starting sounds, is counted in
standard deviations of that output over real excerpts. Prints a table in Markdown: a row for the
sounds, a column for the outputs, and at which place the sounds' own output comes among all.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from svdam.core.runs import open_run
from svdam.data.excerpts import spaced_excerpts
from svdam.data.records import open_records
from svdam.explain.named_outputs import named_responses
from svdam.results.explanations import read_explanations, read_units
from svdam.stages.explain_classifier import ExplainSettings, load_pair
from svdam.stages.unit_responses import unit_responses

_SPACING = 400  # Frames between real excerpts.


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="run folder of explain_classifier; each unit is maximized")
    options = parser.parse_args(arguments)
    settings = ExplainSettings(**open_run(options.run, "explain_classifier", "run").settings)
    units, records = read_units(options.run), open_records(settings.records)
    pair = load_pair(settings, records)
    layer = units.names[0].split(":")[0]
    outputs = named_responses(pair.classifier, f"{layer}:*", settings.classifier)
    respond = unit_responses(pair.classifier, list(outputs.values()))
    respond_to_real = unit_responses(pair.classifier_for(records.front_end), list(outputs.values()))
    excerpts = spaced_excerpts(records, spacing=_SPACING, batch_size=64, split=settings.split)
    real = np.concatenate([respond_to_real(batch) for batch, *_ in excerpts])
    maximized = {
        found.unit: respond(found.examples)
        for found in read_explanations(options.run)
        if found.direction == "max"
    }
    raised = rises(list(maximized.values()), respond(units.start_examples), real)
    print(table(list(maximized), list(outputs), raised))


def rises(maximized: Sequence[np.ndarray], start: np.ndarray, real: np.ndarray) -> np.ndarray:
    """How much the examples of each unit raise every output.

    Args:
        maximized: For each of the U units, (N, outputs) responses to its examples.
        start: (N, outputs) responses to the starting sounds.
        real: (M, outputs) responses to real excerpts, M at least 2.

    Returns:
        (U, outputs) mean rise in standard deviations over the real excerpts; 0 where these do not
        vary.
    """
    spread = real.std(axis=0, ddof=1)
    raised = np.stack([responses.mean(axis=0) for responses in maximized]) - start.mean(axis=0)
    return np.divide(raised, spread, out=np.zeros_like(raised), where=spread > 0)


def places(raised: np.ndarray, own: Sequence[int]) -> np.ndarray:
    """(U,) at which place, from 1, each unit's own output comes among all that are raised."""
    mine = raised[np.arange(len(raised)), list(own)]
    return 1 + (raised > mine[:, np.newaxis]).sum(axis=1)


def table(units: Sequence[str], outputs: Sequence[str], raised: np.ndarray) -> str:
    """The rises as a table in Markdown: those of the units themselves, and the highest other."""
    own = [outputs.index(unit) for unit in units]
    short = [unit.split(":", 1)[1] for unit in units]
    rows = [
        ["sounds made for", *short, f"place of the own, of {len(outputs)}", "most raised"],
        ["---"] * (len(units) + 3),
    ]
    for name, row, place in zip(short, raised, places(raised, own), strict=True):
        most = int(row.argmax())
        rows.append(
            [
                name,
                *(f"{row[column]:.1f}" for column in own),
                str(place),
                f"{outputs[most].split(':', 1)[1]} ({row[most]:.1f})",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
