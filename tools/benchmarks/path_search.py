"""The path search against a grid, for several units: whose best configuration is nearer?

    python -m svdam.explain_classifier --flagfile=flags/explain.cfg --output=runs/ten \\
        --response=logit,fc2:8,fc2:9,fc2:10,fc2:11,fc2:12,fc2:13,fc2:14,fc2:15,fc2:16,fc2:17
    python tools/benchmarks/path_search.py runs/ten

Reads a finished run of explain_classifier, and optimizes the same latents for the same responses
with every configuration of a grid. Eq. 3 compares both with the same real responses.
"""

import itertools

import numpy as np
from measuring import Table, parser, report

from svdam.core.runs import open_run
from svdam.evaluation.frechet import frechet_distance_of_samples
from svdam.explain.maximization import maximize
from svdam.models.loading import load_model
from svdam.models.precision import use_mixed_bfloat16
from svdam.results.explanations import read_explanations, read_units

RATES = PRIOR_WEIGHTS = (0.1, 0.01, 0.001)


def path_latent_steps(found) -> int:
    """Latent steps of an explanation's search: each prior weight was searched up to some step."""
    snapshots = np.isfinite(found.distances).sum(axis=1)
    return int(found.steps[snapshots - 1].sum()) * len(found.latents)


def main() -> None:
    """One row for each unit and direction."""
    flags = parser(__doc__, turns=1)
    flags.add_argument("run", help="run folder of explain_classifier, with --draws=1")
    flags.add_argument("--num_steps", type=int, nargs="+", default=[10, 50, 100])
    options = flags.parse_args()
    run, units = open_run(options.run, "explain_classifier", "run"), read_units(options.run)
    generator, classifier = (
        load_model(run.settings[one], one) for one in ("generator", "classifier")
    )
    if run.settings["precision"] == "mixed_bfloat16":
        for model in (generator, classifier):
            use_mixed_bfloat16(model)
    grid = list(itertools.product(RATES, PRIOR_WEIGHTS))
    starts, size = units.start_latents, len(units.seeds)
    rates, weights = (np.repeat(column, size) for column in zip(*grid, strict=True))
    of_grid = len(grid) * size * max(options.num_steps)
    table = Table(f"{size} latents, grid of {len(grid) * len(options.num_steps)} configurations")
    for found in read_explanations(options.run):
        unit = units.names.index(found.unit)
        extremes = units.statistics.highest if found.direction == "max" else units.statistics.lowest
        real = extremes[unit, :size]
        reached = maximize(
            generator,
            classifier,
            np.tile(starts, (len(grid), 1)),
            response=units.responses[unit],
            direction=found.direction,
            learning_rate=rates,
            prior_weight=weights,
            num_steps=max(options.num_steps),
        ).response_history[options.num_steps]
        distances = {
            (rate, weight, steps): frechet_distance_of_samples(real, responses)
            for steps, row in zip(options.num_steps, reached, strict=True)
            for (rate, weight), responses in zip(grid, np.split(row, len(grid)), strict=True)
        }
        best = min(distances, key=distances.get)
        table.rows.append(
            {
                "response": found.unit,
                "direction": found.direction,
                "path: distance": found.distance,
                "path: configuration": str(found.configuration),
                "grid: distance": distances[best],
                "grid: configuration": "rate {:g}, lambda {:g}, {} steps".format(*best),
                "grid: latent steps per one of the path": of_grid / path_latent_steps(found),
            }
        )
        print(table.rows[-1], flush=True)
    report("path_search", "The path search against a grid", [table], options.output)


if __name__ == "__main__":
    main()
