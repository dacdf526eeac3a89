"""Settings of the trainings; the defaults are the paper's. Light: no TensorFlow is loaded."""

import dataclasses
from collections.abc import Sequence

from svdam.core.config import GENERATOR_PRESETS, LIGHT
from svdam.core.distribution import STRATEGIES
from svdam.core.precision import precision_setting
from svdam.core.settings import Settings, import_module_setting, setting, unsafe_model_setting
from svdam.core.validation import InputError, quoted_list
from svdam.datasets.labels import in_words

OBJECTIVES = ("wgan_gp", "logistic")


@dataclasses.dataclass(frozen=True)
class ClassifierSettings(Settings):
    """Settings of train_classifier (Schlueter & Grill, ISMIR 2015)."""

    output: str = setting("runs/classifier", "Run folder to write.", path=True, identity=False)
    records: str = setting(
        "builtin", "Records: a run folder of prepare_data, or builtin.", path=True
    )
    initial: str | None = setting(
        None,
        "Classifier (.keras) whose weights to start from; empty for random weights.",
        path=True,
    )
    num_epochs: int = setting(20, "Number of epochs.", minimum=1)
    epoch_batches: int = setting(2000, "Number of batches per epoch.", minimum=1)
    batch_size: int = setting(32, "Number of excerpts per batch.", minimum=1)
    learning_rate: float = setting(0.01, "Learning rate in the first epoch.", above=0)
    learning_rate_decay: float = setting(
        0.85,
        "Factor by which the learning rate is multiplied after each epoch.",
        above=0,
        maximum=1,
    )
    momentum: float = setting(0.95, "Nesterov momentum.", minimum=0, maximum=0.9999)
    low_target: float = setting(0.02, "Target of negative frames.", minimum=0, maximum=0.5)
    high_target: float = setting(0.98, "Target of positive frames.", minimum=0.5, maximum=1)
    augment: bool = setting(
        True,
        "Time-stretch, pitch-shift and filter the training excerpts, which requires the audio "
        "of the songs.",
    )
    audio: str | None = setting(
        None,
        "Folder of the audio from which the records were made, if it has moved since.",
        path=True,
        identity=False,
    )
    num_outputs: int = setting(
        1,
        "Number of output neurons: one for each label of the records, each with a sigmoid of its "
        "own; or, for records with a single label, 2 with softmax.",
        minimum=1,
    )
    precision: str = precision_setting("float32")
    seed: int = setting(0, "Random seed of weights, dropout, excerpts and augmentation.", minimum=0)
    checkpoint_every: int = setting(
        500, "Number of batches between checkpoints.", minimum=1, identity=False
    )
    keep_checkpoints: int = setting(2, "Number of checkpoints to keep.", minimum=1, identity=False)
    validation_songs: int | None = setting(
        None,
        "Number of validation songs to use, starting from the first; empty for all.",
        minimum=1,
    )
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()


def output_names(label_names: Sequence[str], num_outputs: int) -> tuple[str, ...]:
    """Names of a classifier's outputs, in order.

    Args:
        label_names: What the records have labels of.
        num_outputs: As many; or 2 with softmax for a single label, the second of which is it.

    Raises:
        InputError: For any other number.
    """
    names = tuple(map(in_words, label_names))
    if num_outputs == len(names):
        return names
    if len(names) == 1 and num_outputs == 2:
        return f"no {names[0]}", names[0]
    if len(names) == 1:
        raise InputError(
            f"--num_outputs: found {num_outputs}, but the records have a single label, "
            f"{label_names[0]!r}; expected 1, or 2 with softmax"
        )
    raise InputError(
        f"--num_outputs: found {num_outputs}, but the records have {len(names)} labels "
        f"({quoted_list(label_names)}); expected {len(names)}, one for each"
    )


@dataclasses.dataclass(frozen=True)
class GanSettings(Settings):
    """Settings of train_gan; the defaults are the paper's."""

    output: str = setting("runs/gan", "Run folder to write.", path=True, identity=False)
    records: str = setting(
        "builtin", "Records: a run folder of prepare_data, or builtin.", path=True
    )
    initial: str | None = setting(
        None,
        "Networks to start from: a complete run folder of train_gan, or a generator (.keras) next "
        "to its critic; empty for random weights.",
        path=True,
    )
    num_iterations: int = setting(
        600_000, "Number of iterations, each with one generator step.", minimum=1, identity=False
    )
    critic_steps: int = setting(5, "Number of critic steps per generator step.", minimum=1)
    batch_size: int = setting(16, "Number of clips per step.", minimum=1)
    learning_rate: float = setting(1e-4, "Learning rate of Adam, for both networks.", above=0)
    critic_learning_rate: float | None = setting(
        None, "Learning rate of Adam for the critic; empty for that of the generator.", above=0
    )
    beta_1: float = setting(0.5, "Adam's beta 1.", minimum=0, maximum=0.9999)
    beta_2: float = setting(0.9, "Adam's beta 2.", minimum=0, maximum=0.99999)
    gradient_penalty: float = setting(10.0, "wgan_gp: weight of the gradient penalty.", minimum=0)
    ema_momentum: float = setting(
        0.0,
        "Momentum of the moving average of the generator's weights, which is displayed, "
        "scored and saved; 0, as in the paper, for the weights themselves.",
        minimum=0,
        maximum=0.99999,
    )
    preset: str = setting(
        "paper",
        "Networks: those of Tables 1 and 2, with the kernels of the generator as printed "
        "(paper) or modified, or light ones at a fraction of the cost.",
        choices=(*GENERATOR_PRESETS, LIGHT),
    )
    objective: str = setting(
        "wgan_gp",
        "Loss of both networks: WGAN-GP, as in the paper, or the logistic loss with the R1 "
        "penalty, which only needs one critic step per iteration.",
        choices=OBJECTIVES,
    )
    r1_weight: float = setting(
        2.0,
        "logistic: weight of the R1 penalty, relative to the squared spread of a band.",
        minimum=0,
    )
    r1_every: int = setting(8, "logistic: number of iterations between R1 penalties.", minimum=1)
    clip_spacing: int | None = setting(
        None,
        "Number of frames from the start of one clip to the next; empty for adjacent clips.",
        minimum=1,
    )
    clips_per_track: int | None = setting(
        None, "Number of equally spaced clips per song, instead of --clip_spacing.", minimum=1
    )
    precision: str = precision_setting()
    strategy: str = setting(
        "one_device",
        "Devices to split each batch over: one_device, mirrored for the GPUs of this machine, "
        "or multi_worker for the processes in TF_CONFIG.",
        choices=STRATEGIES,
        identity=False,
    )
    seed: int = setting(
        0, "Random seed of weights, latents, interpolates and the order of clips.", minimum=0
    )
    classifier: str | None = setting(
        None,
        "SVDNet (.keras) whose second dense layer is used to score the samples; empty for no "
        "score.",
        path=True,
        identity=False,
    )
    export: bool = setting(
        False, "Save the networks of the last checkpoint without further training.", identity=False
    )
    checkpoint_every: int = setting(
        500, "Number of iterations between checkpoints.", minimum=1, identity=False
    )
    keep_checkpoints: int = setting(3, "Number of checkpoints to keep.", minimum=1, identity=False)
    scalars_every: int = setting(
        10, "Number of iterations between points of the curves.", minimum=1, identity=False
    )
    samples_every: int = setting(
        500,
        "Number of iterations between sample sheets, audio and scores.",
        minimum=1,
        identity=False,
    )
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()

    @property
    def learning_rates(self) -> tuple[float, float]:
        """Of the generator and of the critic (two time scales: Heusel et al., 2017)."""
        return self.learning_rate, self.critic_learning_rate or self.learning_rate

    def validate(self) -> None:
        """Refuses two ways of cutting clips at once, and what the other objective knows."""
        if self.clip_spacing is not None and self.clips_per_track is not None:
            raise InputError("--clips_per_track: contradicts --clip_spacing; give one of them")
        others = {"wgan_gp": ("r1_weight", "r1_every"), "logistic": ("gradient_penalty",)}
        for field in dataclasses.fields(self):
            changed = getattr(self, field.name) != field.default
            if changed and field.name in others[self.objective]:
                raise InputError(
                    f"--{field.name}: has no meaning with --objective={self.objective}"
                )
