"""The critic's step of WGAN-GP, against the plain formulation and against PyTorch.

    python tools/benchmarks/wgan_gp.py [--turns=5]

Plain: each term of the loss as the equation is written, Keras's own layers, float32. PyTorch: the
same, channels last; its compiler gives no second derivatives, so it is not used; bfloat16 by
autocast. svdam: the step of train_gan. All take turns on the same clips, from the same weights and
with the same random numbers, and must have the same loss after some steps. Then the parts around
the step: reading the clips of an iteration, and one look at the samples.

PyTorch needs `pip install -c constraints.txt -e '.[bench]'`; without it, it is left out.
"""

import itertools
import os
import sys
import tempfile
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from measuring import Table, clock, has, parser, report, speed_table, take_turns

from svdam.core.config import LATENT_SIZE
from svdam.core.summaries import Summaries
from svdam.data.excerpts import clip_batches
from svdam.models.classifier import build_svdnet
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.stages.inputs import input_records
from svdam.training.gan_watching import GanWatcher
from svdam.training.settings import GanSettings
from svdam.training.wgan_gp import GanTrainer

BATCH = 16
PENALTY, RATE, BETAS = 10, 1e-4, (0.5, 0.9)
OURS = "svdam, float32"
TRIED_STEPS = 4
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.02}
"""Of the loss in the last of the tried steps, relative."""


def draws(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Latents and positions of the interpolates, as train_gan draws them."""
    fold = tf.random.experimental.stateless_fold_in(seed, 1)
    latents = tf.random.stateless_normal((BATCH, LATENT_SIZE), seed)
    return latents, tf.random.stateless_uniform((BATCH,), fold)


def plain_step(generator: keras.Model, critic: keras.Model) -> Callable:
    """The critic's step as Gulrajani et al. write it, and nothing else."""
    optimizer = keras.optimizers.Adam(RATE, *BETAS)
    optimizer.build(critic.trainable_variables)

    @tf.function
    def step(real, seed):
        latents, positions = draws(seed)
        fake = generator(latents, training=True)
        share = tf.reshape(positions, (-1, 1, 1, 1))
        with tf.GradientTape() as tape:
            points = share * real + (1 - share) * fake
            with tf.GradientTape() as inner:
                inner.watch(points)
                scores = critic(points, training=True)
            gradients = inner.gradient(scores, points)
            norms = tf.sqrt(tf.reduce_sum(gradients**2, axis=[1, 2, 3]))
            penalty = tf.reduce_mean((norms - 1) ** 2)
            real_score = tf.reduce_mean(critic(real, training=True))
            fake_score = tf.reduce_mean(critic(fake, training=True))
            loss = fake_score - real_score + PENALTY * penalty
        variables = critic.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return step


def torch_step(generator: keras.Model, critic: keras.Model, precision: str) -> Callable:
    """The same in PyTorch."""
    import torch
    import torch_networks as networks

    make, judge = networks.Generator(generator), networks.Critic(critic)
    adam = torch.optim.Adam(judge.parameters(), RATE, BETAS, eps=1e-7)

    def step(real, seed):
        latents, positions = (torch.from_numpy(values.numpy()) for values in draws(seed))
        real = torch.from_numpy(np.array(real)).permute(0, 3, 1, 2)
        adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            with torch.no_grad():
                fake = make(latents).float()
            points = torch.lerp(fake, real, positions.view(-1, 1, 1, 1)).requires_grad_()
            scores = judge(points)
            (gradients,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
            penalty = ((gradients.float().flatten(1).norm(dim=1) - 1) ** 2).mean()
            loss = judge(fake).float().mean() - judge(real).float().mean() + PENALTY * penalty
        loss.backward()
        adam.step()
        return loss.item()

    return step


def our_step(precision: str, weights: list) -> Callable:
    policy = {"bfloat16": "mixed_bfloat16"}.get(precision, precision)
    keras.mixed_precision.set_dtype_policy(policy)
    trainer = GanTrainer(GanSettings(precision=policy), build_generator(), build_critic())
    keras.mixed_precision.set_dtype_policy("float32")
    for model, arrays in zip((trainer.generator, trainer.critic), weights, strict=True):
        model.set_weights(arrays)
    return tf.function(lambda real, seed: trainer._critic_step(real, seed)["critic_loss"])


def steps_of_all() -> dict[str, Callable]:
    """The contestants, from the same weights."""
    keras.utils.set_random_seed(0)
    generator, critic = build_generator(), build_critic()
    weights = [model.get_weights() for model in (generator, critic)]
    steps = {name: our_step(name.split(", ")[1], weights) for name in (OURS, "svdam, bfloat16")}
    if has("torch"):
        for precision in TOLERANCE:
            steps[f"PyTorch, {precision}"] = torch_step(generator, critic, precision)
    return steps | {"plain, float32": plain_step(generator, critic)}


def require_agreement(losses: dict[str, list[float]]) -> str:
    """Ends the run unless all have the same loss after some steps; returns a line about it."""
    plain = losses["plain, float32"][-1]
    apart = {name: abs(found[-1] / plain - 1) for name, found in losses.items()}
    for name, difference in apart.items():
        if difference > TOLERANCE[name.split(", ")[1]]:
            sys.exit(f"{name}: losses {losses[name]}, plain has {losses['plain, float32']}")
    each = "; ".join(f"{name}: {difference:.0e}" for name, difference in apart.items())
    return f"Relative deviation of the loss in step {TRIED_STEPS} from the plain version: {each}."


def measure_steps(clips: tf.Tensor, turns: int) -> tuple[Table, str, float]:
    """The table, a line about the losses, and the seconds of our step."""
    steps = steps_of_all()
    losses = {name: [] for name in steps}

    def running(name: str) -> Callable[[], int]:
        numbers = itertools.count()

        def run() -> int:
            seed = tf.constant([0, next(numbers)], tf.int64)
            losses[name].append(float(steps[name](clips, seed)))
            return 1

        return run

    contestants = {name: running(name) for name in steps}
    for run in contestants.values():
        for _ in range(TRIED_STEPS):
            run()
    agreement = require_agreement(losses)
    costs = take_turns(contestants, turns, rehearse=False)
    table = speed_table(costs, "critic step", OURS)
    return table, agreement, float(np.median(costs[OURS][:, 0]))


def measure_around(records, step_secs: float) -> Table:
    """What else an iteration and a look at the samples take, as shares of the time."""
    settings = GanSettings()
    iteration = (settings.critic_steps + 0.5) * step_secs
    batches = iter(clip_batches(records, batch_size=settings.critic_steps * BATCH, seed=0))
    for _ in range(10):
        next(batches)
    start = clock()
    for _ in range(50):
        next(batches)
    read = ((clock() - start) / 50)[0]
    with tempfile.TemporaryDirectory() as folder, Summaries(folder) as summaries:
        watcher = GanWatcher(settings, records, build_generator(), summaries, build_svdnet())
        watcher.samples(0)
        start = clock()
        watcher.samples(1)
        look = (clock() - start)[0]
    every = settings.samples_every
    rows = [("input of an iteration", read, 1), (f"samples, every {every} iterations", look, every)]
    return Table(
        "Overhead around the step",
        [
            {"": name, "seconds": secs, "% of the time": 100 * secs / (count * iteration)}
            for name, secs, count in rows
        ],
    )


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--records", default="builtin")
    options = flags.parse_args()
    records = input_records(options.records)
    clips = next(iter(clip_batches(records, batch_size=BATCH, seed=1)))
    table, agreement, step_secs = measure_steps(tf.convert_to_tensor(clips), options.turns)
    tables = [table, measure_around(records, step_secs)]
    report("wgan_gp", "The critic's step of WGAN-GP", tables, options.output, agreement)


if __name__ == "__main__":
    main()
