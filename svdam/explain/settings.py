"""Settings of the explanation stages; the defaults are the paper's. Light: no TensorFlow."""

import dataclasses
import re

from svdam.core.config import EXAMPLES_PER_SET, RESPONSE_SPACING
from svdam.core.distribution import STRATEGIES
from svdam.core.precision import precision_setting
from svdam.core.settings import Settings, output_setting, setting, unsafe_model_setting
from svdam.core.validation import InputError

PRIORS = ("paper", "released_code", "none")
DIRECTIONS = ("max", "min")
KEEP = ("last", "best")
OPTIMIZERS = ("adam", "gradient_ascent")
BETA_1 = 0.99
"""Of Adam, Section 3.4."""
NO_GENERATOR = "none"
"""Value of ``--generator`` that searches the excerpt itself (eq. 1)."""


@dataclasses.dataclass(frozen=True)
class ResponseSettings(Settings):
    """Settings of collect_responses (Section 3.4)."""

    output: str = setting("runs/responses", "Run folder.", path=True, identity=False)
    records: str = setting("builtin", "Records folder of prepare_data, or builtin.", path=True)
    split: str = setting("train", "Split whose songs are measured.")
    classifier: str = setting(
        "checkpoints/demo_svdnet.keras",
        "A .keras file, or a run folder of train_classifier.",
        path=True,
    )
    response: str = setting("logit", "What to measure: logit, fc2:17, conv3, logit - 0.5 * conv1.")
    output_is: str = output_setting()
    excerpt_spacing: int = setting(
        RESPONSE_SPACING, "Frames from one excerpt's start to the next.", minimum=1
    )
    top_n: int = setting(EXAMPLES_PER_SET, "Highest and lowest responses to keep.", minimum=2)
    batch_size: int = setting(64, "Excerpts of a batch.", minimum=1, identity=False)
    beam_runner: str | None = setting(
        None,
        "Apache Beam runner whose workers measure parts of the records, as DirectRunner; by "
        "default this process does, which on one machine is the fastest.",
        identity=False,
    )
    beam_options: tuple[str, ...] = setting(
        (), "Options of the Beam runner, as --name=value.", identity=False
    )
    allow_unsafe_model: bool = unsafe_model_setting()

    def validate(self) -> None:
        """Refuses options of no runner."""
        if self.beam_options and self.beam_runner is None:
            raise InputError("--beam_options: --beam_runner is not given, whose options they are")


@dataclasses.dataclass(frozen=True)
class SearchSettings(Settings):
    """Settings of maximize_activation: one configuration, or a grid of them (Section 3.4)."""

    output: str = setting("runs/grid", "Run folder.", path=True, identity=False)
    classifier: str = setting(
        "checkpoints/demo_svdnet.keras",
        "A .keras file, or a run folder of train_classifier.",
        path=True,
    )
    generator: str = setting(
        "checkpoints/demo_generator.keras",
        "A .keras file, or a run folder of train_gan. none: search the excerpt itself, without a "
        "prior (eq. 1).",
        path=True,
    )
    response: str = setting(
        "logit", "What to drive: logit, fc2:17, conv3, logit - 0.5 * conv1; names of layers."
    )
    output_is: str = output_setting()
    direction: str = setting("max", "Drive the response up or down.", choices=DIRECTIONS)
    optimizer: str = setting(
        "adam",
        "adam, as in the paper; gradient_ascent: plain, with a rate that falls linearly to 0.",
        choices=OPTIMIZERS,
    )
    learning_rates: tuple[float, ...] = setting(
        (0.1, 0.01, 0.001), "Learning rates; of gradient_ascent the first step's.", above=0
    )
    beta_1: float = setting(
        BETA_1, "Of Adam; the released code uses 0.9.", minimum=0, maximum=0.9999
    )
    weight_decay: float = setting(
        0.0,
        "Of gradient_ascent: share of the latent taken off after each step, in place of a prior; "
        "the released code's 0.99 is 0.01.",
        minimum=0,
        maximum=0.9999,
    )
    prior_weights: tuple[float, ...] = setting(
        (0.1, 0.01, 0.001), "Weights lambda of the prior.", minimum=0
    )
    num_steps: tuple[int, ...] = setting((100, 500, 1000), "Steps of the optimizer.", minimum=1)
    seeds: str | None = setting(
        None,
        "Seeds of the starting latents, as 0-49 or 3,5,8-11; with --latents the rows to take. "
        "Default: 0-49, or all rows.",
    )
    latents: str | None = setting(
        None,
        "Starting latents: a .npy file (N, latent size), or results.h5 (or the run folder) of an "
        "earlier run with one configuration, whose final latents are taken. Default: from --seeds.",
        path=True,
    )
    prior: str = setting("paper", "Prior of the latents.", choices=PRIORS)
    keep: str = setting(
        "last", "Keep what the last step reached, or the best response seen.", choices=KEEP
    )
    precision: str = precision_setting()
    max_memory: float = setting(
        4.0,
        "Memory to stay under, in GiB: decides how many latents are optimised at once.",
        above=0,
    )
    strategy: str = setting(
        "one_device",
        "Split the latents: mirrored over the GPUs of this machine, multi_worker over the "
        "processes of TF_CONFIG.",
        choices=STRATEGIES,
    )
    allow_unsafe_model: bool = unsafe_model_setting()

    def validate(self) -> None:
        """Checks the lists, and refuses combinations that have no meaning."""
        for name in ("learning_rates", "prior_weights", "num_steps"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(f"--{name}: found {values}, expected different values")
        if self.seeds is not None:
            parse_seeds(self.seeds)
        if self.generator == NO_GENERATOR and self.prior != "none":
            raise InputError(
                f"--prior={self.prior}: with --generator=none the excerpt itself is searched, "
                "which has no prior; add --prior=none --prior_weights=0"
            )
        if self.prior == "none" and any(self.prior_weights):
            raise InputError(
                f"--prior_weights: found {self.prior_weights}, but --prior=none leaves nothing to "
                "weigh; expected --prior_weights=0"
            )
        if self.optimizer == "adam":
            self._refuse("weight_decay", self.weight_decay != 0, "gradient_ascent alone has it")
            return
        self._refuse("beta_1", self.beta_1 != BETA_1, "Adam alone has it")
        self._refuse(
            "num_steps",
            len(self.num_steps) > 1,
            "the falling rate makes each number of steps a run of its own; give one",
        )
        self._refuse(
            "weight_decay",
            self.weight_decay != 0 and self.prior != "none",
            "it stands in the prior's place; add --prior=none --prior_weights=0",
        )

    def _refuse(self, name: str, refused: bool, why: str) -> None:
        if refused:
            value = getattr(self, name)
            raise InputError(f"--{name}: found {value} with --optimizer={self.optimizer}: {why}")


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
