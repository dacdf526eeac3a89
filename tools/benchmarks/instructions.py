"""The same work with the instructions of other processors, with and without oneDNN.

    python tools/benchmarks/instructions.py search        a step of 50 latents
    python tools/benchmarks/instructions.py critic        a step of the critic, plain and spectral
    python tools/benchmarks/instructions.py classifier    a step of the classifier's training
    python tools/benchmarks/instructions.py threads       a step of 50 latents, with more threads

ONEDNN_MAX_CPU_ISA=AVX2 keeps oneDNN to what a processor without AVX-512 has, and stands in for one;
TensorFlow without oneDNN is what it would do there by itself. Both are decided when a process
starts: each contestant is a process of its own, which waits for its turn.
"""

import os
import subprocess
import sys
from collections.abc import Callable

from measuring import clock, parser, report, speed_table, take_turns

AVX2, ALL = "AVX2", "ALL"
LATENTS, BATCH = 50, {"critic": 16, "classifier": 32}
CONTESTANTS = {
    "search": [
        ("AVX2, without oneDNN, float32", AVX2, "0", "float32"),
        ("AVX2, oneDNN, float32", AVX2, "1", "float32"),
        ("AVX2, without oneDNN, bfloat16", AVX2, "0", "mixed_bfloat16"),
        ("all, without oneDNN, float32", ALL, "0", "float32"),
        ("all, as TensorFlow decides, float32", ALL, None, "float32"),
        ("all, oneDNN, float32", ALL, "1", "float32"),
        ("all, oneDNN, bfloat16", ALL, "1", "mixed_bfloat16"),
    ],
    "critic": [
        ("AVX2, without oneDNN, plain, float32", AVX2, "0", "plain float32"),
        ("AVX2, without oneDNN, spectral, float32", AVX2, "0", "spectral float32"),
        ("AVX2, oneDNN, plain, float32", AVX2, "1", "plain float32"),
        ("AVX2, oneDNN, spectral, float32", AVX2, "1", "spectral float32"),
        ("AVX2, without oneDNN, spectral, bfloat16", AVX2, "0", "spectral mixed_bfloat16"),
        ("all, oneDNN, plain, float32", ALL, "1", "plain float32"),
        ("all, oneDNN, spectral, float32", ALL, "1", "spectral float32"),
        ("all, oneDNN, spectral, bfloat16", ALL, "1", "spectral mixed_bfloat16"),
    ],
    "classifier": [
        ("AVX2, without oneDNN, float32", AVX2, "0", "float32"),
        ("AVX2, oneDNN, float32", AVX2, "1", "float32"),
        ("AVX2, without oneDNN, bfloat16", AVX2, "0", "mixed_bfloat16"),
        ("all, oneDNN, float32", ALL, "1", "float32"),
        ("all, oneDNN, bfloat16", ALL, "1", "mixed_bfloat16"),
    ],
    "threads": [(f"{count} threads", ALL, "1", f"{count}") for count in (1, 2, 8, 64)],
}


class Elsewhere:
    """A process that does a unit of some work whenever it is called."""

    def __init__(self, what: str, isa: str, onednn: str | None, how: str):
        """Starts the process, which gets ready by itself."""
        settings = {"ONEDNN_MAX_CPU_ISA": isa, "TF_ENABLE_ONEDNN_OPTS": onednn}
        if what == "threads":
            settings |= {"TF_NUM_INTRAOP_THREADS": how}
        others = {name: value for name, value in os.environ.items() if name not in settings}
        given = {name: value for name, value in settings.items() if value is not None}
        self._process = subprocess.Popen(
            [sys.executable, __file__, what, f"--serve={how}"],
            env=others | given,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> tuple[float, float]:
        """How many units were done, and the processor seconds that they took."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("done "):
                units, seconds = line.split()[1:]
                return float(units), float(seconds)
        sys.exit(f"a process ended: {' '.join(self._process.args)}")

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def serve(work: Callable[[], float]) -> None:
    """Does a unit of work for each line of standard input."""
    for _ in sys.stdin:
        start = clock()
        units = work()
        print("done", units, (clock() - start)[1], flush=True)


def search(how: str) -> Callable[[], float]:
    """Two steps of all latents."""
    from maximize_activation import searcher

    from svdam.models.classifier import build_svdnet
    from svdam.models.generator import build_generator
    from svdam.models.precision import use_mixed_bfloat16

    pair = build_generator(), build_svdnet()
    if how == "mixed_bfloat16":
        pair = tuple(map(use_mixed_bfloat16, pair))
    return searcher(pair, LATENTS, 1)


def critic(how: str) -> Callable[[], float]:
    """A step of train_gan's critic."""
    import keras
    import tensorflow as tf

    from svdam.models.critic import build_critic
    from svdam.models.generator import build_generator
    from svdam.training.settings import GanSettings
    from svdam.training.wgan_gp import GanTrainer

    form, precision = how.split()
    keras.mixed_precision.set_dtype_policy(precision)
    settings = GanSettings()
    trainer = GanTrainer(settings, build_generator(), build_critic(), form == "spectral")
    step = tf.function(lambda *inputs: trainer._critic_step(*inputs)["critic_loss"])
    clips = tf.random.normal((BATCH["critic"], 115, 80, 1))
    return lambda: len(step(clips, tf.constant([0, 0], tf.int64)).numpy().reshape(1))


def classifier(how: str) -> Callable[[], float]:
    """A step of train_classifier."""
    import tensorflow as tf

    from svdam.models.classifier import build_svdnet
    from svdam.models.precision import use_mixed_bfloat16
    from svdam.training.classifier import ClassifierTrainer
    from svdam.training.settings import ClassifierSettings

    network = build_svdnet()
    if how == "mixed_bfloat16":
        use_mixed_bfloat16(network)
    trainer = ClassifierTrainer(ClassifierSettings(), network)
    excerpts = tf.random.normal((BATCH["classifier"], 115, 80, 1))
    labels = tf.cast(tf.range(BATCH["classifier"]) % 2, tf.float32)

    def step() -> float:
        trainer.step(excerpts, labels, tf.constant(0, tf.int64))["loss"].numpy()
        return 1

    return step


def main() -> None:
    flags = parser(__doc__, turns=3)
    flags.add_argument("what", choices=CONTESTANTS)
    flags.add_argument("--serve", help="be the process of a contestant")
    options = flags.parse_args()
    if options.serve:
        works = {"search": search, "critic": critic, "classifier": classifier, "threads": search}
        serve(works[options.what](options.serve))
        return
    contestants = {name: Elsewhere(options.what, *how) for name, *how in CONTESTANTS[options.what]}
    costs = take_turns(contestants, options.turns)
    for process in contestants.values():
        process.close()
    unit = {"search": "latent step", "threads": "latent step"}.get(options.what, "step")
    table = speed_table(costs, unit, next(iter(contestants)))
    title = f"With the instructions of other processors: {options.what}"
    name = f"instructions_{options.what}"
    report(name, title, [table], options.output, packages=["tensorflow", "keras"])


if __name__ == "__main__":
    main()
