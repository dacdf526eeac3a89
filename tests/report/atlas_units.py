"""Made-up units, as an atlas shows them."""

import numpy as np

from svdam.evaluation.ranking import Configuration
from svdam.evaluation.transfer import measure_transfer
from svdam.report.assets import Synthesis
from svdam.report.atlas import UnitContent, save_start, write_atlas, write_unit
from svdam.report.content import ExampleSet, HeardSets
from svdam.results.explanations import Explanation

COUNT, FRAMES, BANDS = 3, 24, 80
STEPS = np.array([1, 2, 4, 8])
FACTS = {
    "classifier": "made.keras",
    "num_excerpts": 500,
    "split": "train",
    "how_made": "Somehow.",
    "draws": 1,
    "bridge": "",
}
SYNTHESIS = Synthesis(lambda log_mels, front_end: log_mels[:, ::3].mean(axis=2))


def example_set(rng, key, mean, labels=None):
    log_mels = rng.normal(-6, 1, (COUNT, FRAMES, BANDS))
    log_mels[:, :, 20:24] += 4
    labels = labels or [f"seed {seed}" for seed in range(COUNT)]
    return ExampleSet(
        key, f"set {key}", log_mels, mean + rng.normal(size=COUNT), labels, sounds_of=(0, 1)
    )


def explanation(rng, name, direction, examples):
    distances = np.abs(rng.normal(3, 1, (2, len(STEPS)))) + 0.1
    distances[1, 3] = np.nan
    return Explanation(
        unit=name, direction=direction, configuration=Configuration(0.05, 0.01, 4),
        has_turned=True, distance=float(distances[0, 2]), distance_low=0.05, distance_high=9.0,
        latents=np.zeros((COUNT, 4)), examples=examples.log_mels[..., None],
        responses=examples.responses, prior_weights=np.array([0.01, 0.1]), steps=STEPS,
        distances=distances, path_responses=np.zeros((2, len(STEPS), COUNT)),
        way_examples=np.zeros((2, 1, FRAMES, BANDS, 1)), way_steps=np.array([1, 4]),
    )  # fmt: skip


def write_made_up_atlas(folder, units, **facts):
    """Writes the pages of units, one at a time; returns the atlas."""
    start = unit_content(0).start
    sounds = save_start(folder, start, SYNTHESIS)
    cards = [write_unit(folder, unit, sounds, SYNTHESIS) for unit in units]
    return write_atlas(folder, cards, start, ["singing voice"], FACTS | facts, facts)


def unit_content(number, name="units:0", trouble="", **changes):
    """A unit of random responses; the same number gives the same."""
    rng = np.random.default_rng(number)
    real = rng.normal(size=500)
    counts, edges = np.histogram(real, 16)
    start, highest, lowest, most, least = (
        example_set(rng, key, mean)
        for key, mean in (
            ("start", 0.0), (f"{number:05d}-highest", 4.0), (f"{number:05d}-lowest", -4.0),
            (f"{number:05d}-max", 3.0), (f"{number:05d}-min", -3.0),
        )
    )  # fmt: skip
    values = {
        "number": number, "name": name, "group": number % 3 + 1, "trouble": trouble,
        "fires": True, "mean": float(real.mean()), "std": float(real.std()),
        "bin_edges": edges, "bin_counts": counts, "share_above_half": 0.01 * (number + 1),
        "effects": {"singing voice": float(rng.normal())}, "alike": [(7, "units:7", 0.8)],
        "start": start, "highest": highest, "lowest": lowest,
    }  # fmt: skip
    if not trouble:
        heard = {
            "start": start, "highest": highest, "lowest": lowest, "maximized": most,
            "minimized": least,
        }  # fmt: skip
        responses = {key: one.responses for key, one in heard.items()}
        values |= {
            "searched": {"max": most, "min": least},
            "ways": {"max": example_set(rng, f"{number:05d}-max-way", 1.0)},
            "found": {
                way: explanation(rng, name, way, one)
                for way, one in (("max", most), ("min", least))
            },
            "heard": HeardSets("other.keras", "logit", "", responses, measure_transfer(responses)),
        }
    return UnitContent(**values | changes)
