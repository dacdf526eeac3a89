"""Settings of the explanation stages; the defaults are the paper's. Light: no TensorFlow."""

import dataclasses
import re

from svdam.core.config import EXAMPLES_PER_SET, RESPONSE_SPACING
from svdam.core.settings import Settings, setting
from svdam.core.validation import InputError

PRIORS = ("paper", "released_code", "none")
DIRECTIONS = ("max", "min")
KEEP = ("last", "best")


@dataclasses.dataclass(frozen=True)
class ResponseSettings(Settings):
    """Settings of collect_responses (Section 3.4)."""

    output: str = setting("runs/responses", "Run folder.", identity=False)
    records: str = setting("builtin", "Records folder of prepare_data, or builtin.")
    split: str = setting("train", "Split whose songs are measured.")
    classifier: str = setting(
        "checkpoints/demo_svdnet.keras", "A .keras file, or a run folder of train_classifier."
    )
    response: str = setting("logit", "What to measure: logit, fc2:17, conv3, logit - 0.5 * conv1.")
    excerpt_spacing: int = setting(
        RESPONSE_SPACING, "Frames from one excerpt's start to the next.", minimum=1
    )
    top_n: int = setting(EXAMPLES_PER_SET, "Highest and lowest responses to keep.", minimum=2)
    batch_size: int = setting(64, "Excerpts of a batch.", minimum=1, identity=False)


@dataclasses.dataclass(frozen=True)
class SearchSettings(Settings):
    """Settings of maximize_activation: one configuration, or a grid of them (Section 3.4)."""

    output: str = setting("runs/grid", "Run folder.", identity=False)
    classifier: str = setting(
        "checkpoints/demo_svdnet.keras", "A .keras file, or a run folder of train_classifier."
    )
    generator: str = setting(
        "checkpoints/demo_generator.keras", "A .keras file, or a run folder of train_gan."
    )
    response: str = setting(
        "logit", "What to drive: logit, fc2:17, conv3, logit - 0.5 * conv1; names of layers."
    )
    direction: str = setting("max", "Drive the response up or down.", choices=DIRECTIONS)
    learning_rates: tuple[float, ...] = setting(
        (0.1, 0.01, 0.001), "Adam's learning rates.", above=0
    )
    prior_weights: tuple[float, ...] = setting(
        (0.1, 0.01, 0.001), "Weights lambda of the prior.", minimum=0
    )
    num_steps: tuple[int, ...] = setting((100, 500, 1000), "Steps of Adam.", minimum=1)
    seeds: str = setting("0-49", "Seeds of the starting latents, as 0-49 or 3,5,8-11.")
    prior: str = setting("paper", "Prior of the latents.", choices=PRIORS)
    keep: str = setting(
        "last", "Keep what the last step reached, or the best response seen.", choices=KEEP
    )
    chunk_latents: int = setting(
        150, "Latents optimised at once; bounds the memory, about 12 MB each.", minimum=1
    )

    def validate(self) -> None:
        """Checks the lists."""
        for name in ("learning_rates", "prior_weights", "num_steps"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(f"--{name}: found {values}, expected different values")
        parse_seeds(self.seeds)


def parse_seeds(text: str) -> list[int]:
    """Seeds from ``0-49`` or ``3,5,8-11``.

    Raises:
        InputError: If the text is none of these, or a seed comes twice or does not fit 32 bits.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:\s*-\s*(\d{1,10}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < 2**32 or last - first >= 1_000_000:
            raise InputError(
                f"--seeds: cannot read {part!r}; expected a list like 0-49 or 3,5,8-11"
            )
        seeds.extend(range(first, last + 1))
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds: {text!r} names a seed twice")
    return seeds
