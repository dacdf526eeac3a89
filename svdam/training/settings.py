"""Settings of the trainings; the defaults are the paper's. Light: no TensorFlow is loaded."""

import dataclasses

from svdam.core.config import GENERATOR_PRESETS
from svdam.core.distribution import STRATEGIES
from svdam.core.precision import precision_setting
from svdam.core.settings import Settings, import_module_setting, setting, unsafe_model_setting
from svdam.core.validation import InputError

LIGHT = "light"
OBJECTIVES = ("wgan_gp", "logistic")


@dataclasses.dataclass(frozen=True)
class ClassifierSettings(Settings):
    """Settings of train_classifier (Schlueter & Grill, ISMIR 2015)."""

    output: str = setting("runs/classifier", "Run folder.", path=True, identity=False)
    records: str = setting("builtin", "Records folder of prepare_data, or builtin.", path=True)
    initial: str | None = setting(
        None, "Classifier whose weights to start from (.keras); random ones if empty.", path=True
    )
    num_epochs: int = setting(20, "Epochs.", minimum=1)
    epoch_batches: int = setting(2000, "Batches of an epoch.", minimum=1)
    batch_size: int = setting(32, "Excerpts of a batch.", minimum=1)
    learning_rate: float = setting(0.01, "Of the first epoch.", above=0)
    learning_rate_decay: float = setting(
        0.85, "Factor of the learning rate from epoch to epoch.", above=0, maximum=1
    )
    momentum: float = setting(0.95, "Nesterov momentum.", minimum=0, maximum=0.9999)
    low_target: float = setting(0.02, "Target of frames without singing.", minimum=0, maximum=0.5)
    high_target: float = setting(0.98, "Target of frames with singing.", minimum=0.5, maximum=1)
    augment: bool = setting(
        True, "Stretch, shift pitch and filter the training excerpts; needs the songs' sound."
    )
    audio: str | None = setting(
        None,
        "Folder of the sound that the records were made from, if it was moved since.",
        path=True,
        identity=False,
    )
    num_outputs: int = setting(1, "Output neurons: 1, or 2 with softmax.", minimum=1, maximum=2)
    precision: str = precision_setting()
    seed: int = setting(0, "Of weights, dropout, excerpts and augmentation.", minimum=0)
    checkpoint_every: int = setting(500, "Batches between checkpoints.", minimum=1, identity=False)
    keep_checkpoints: int = setting(2, "Checkpoints to keep.", minimum=1, identity=False)
    validation_songs: int | None = setting(
        None, "Validate on the first so many validation songs; on all if empty.", minimum=1
    )
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()


@dataclasses.dataclass(frozen=True)
class GanSettings(Settings):
    """Settings of train_gan; the defaults are the paper's."""

    output: str = setting("runs/gan", "Run folder.", path=True, identity=False)
    records: str = setting("builtin", "Records folder of prepare_data, or builtin.", path=True)
    initial: str | None = setting(
        None,
        "Finished run folder of train_gan whose networks to start from; random ones if empty.",
        path=True,
    )
    num_iterations: int = setting(
        600_000, "Iterations, each of one generator step.", minimum=1, identity=False
    )
    critic_steps: int = setting(5, "Critic steps to a generator step.", minimum=1)
    batch_size: int = setting(16, "Clips of a step.", minimum=1)
    learning_rate: float = setting(1e-4, "Adam's learning rate, of both networks.", above=0)
    critic_learning_rate: float | None = setting(
        None, "Adam's learning rate of the critic; that of the generator if empty.", above=0
    )
    beta_1: float = setting(0.5, "Adam's beta 1.", minimum=0, maximum=0.9999)
    beta_2: float = setting(0.9, "Adam's beta 2.", minimum=0, maximum=0.99999)
    gradient_penalty: float = setting(10.0, "wgan_gp: weight of the gradient penalty.", minimum=0)
    ema_momentum: float = setting(
        0.0,
        "Of the moving average of the generator's weights, which is what is shown, scored and "
        "written; at 0, as in the paper, these are the weights themselves.",
        minimum=0,
        maximum=0.99999,
    )
    preset: str = setting(
        "paper",
        "Networks: Tables 1 and 2, with the generator's kernels as printed (paper) or other ones; "
        "or light ones, which cost a fraction.",
        choices=(*GENERATOR_PRESETS, LIGHT),
    )
    objective: str = setting(
        "wgan_gp",
        "Losses of both networks: the paper's WGAN-GP, or the logistic loss with the R1 penalty, "
        "which needs one critic step per iteration.",
        choices=OBJECTIVES,
    )
    r1_weight: float = setting(
        2.0, "logistic: weight of the R1 penalty, per squared spread of a band.", minimum=0
    )
    r1_every: int = setting(8, "logistic: iterations from one R1 penalty to the next.", minimum=1)
    clip_spacing: int | None = setting(
        None, "Frames from one clip's start to the next; back to back if empty.", minimum=1
    )
    clips_per_track: int | None = setting(
        None, "Equally spaced clips of a song, instead of --clip_spacing.", minimum=1
    )
    precision: str = precision_setting()
    strategy: str = setting(
        "one_device",
        "Split each batch: mirrored over the GPUs of this machine, multi_worker over the "
        "processes of TF_CONFIG.",
        choices=STRATEGIES,
        identity=False,
    )
    seed: int = setting(0, "Of weights, latents, interpolates and order.", minimum=0)
    classifier: str | None = setting(
        None,
        "SVDNet (.keras) whose second dense layer scores the samples; no score if empty.",
        path=True,
        identity=False,
    )
    export: bool = setting(
        False, "Write the networks of the last checkpoint, and train no further.", identity=False
    )
    checkpoint_every: int = setting(
        500, "Iterations between checkpoints.", minimum=1, identity=False
    )
    keep_checkpoints: int = setting(3, "Checkpoints to keep.", minimum=1, identity=False)
    scalars_every: int = setting(
        10, "Iterations between points of the curves.", minimum=1, identity=False
    )
    samples_every: int = setting(
        500, "Iterations between sample sheets, sounds and scores.", minimum=1, identity=False
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
