"""Measures critic steps a second against the plain formulation of WGAN-GP.

    python tools/benchmarks/wgan_gp.py [TURNS]

Plain: each term of the loss as the equation is written, Keras's own layers, float32. Ours: the step
of train_gan, in float32 and mixed_bfloat16. All take turns in one run, on the same clips and from
the same weights, so that whatever else the machine does hits all. Processor time is shown beside
wall time: on a busy machine it is the steadier one. Then the parts around the step: reading the
clips of an iteration, and one look at the samples.
"""

import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from svdam.core.config import LATENT_SIZE
from svdam.core.summaries import Summaries
from svdam.data.builtin import resolve_records
from svdam.data.excerpts import clip_batches
from svdam.data.records import open_records
from svdam.models.classifier import build_svdnet
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.training.gan_watching import GanWatcher
from svdam.training.settings import GanSettings
from svdam.training.wgan_gp import GanTrainer

BATCH = 16


def plain_step(generator, critic):
    """The critic's step as Gulrajani et al. write it, and nothing else."""
    optimizer = keras.optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.9)
    optimizer.build(critic.trainable_variables)

    @tf.function
    def step(real, seed):
        fake = generator(tf.random.stateless_normal((BATCH, LATENT_SIZE), seed), training=True)
        fold = tf.random.experimental.stateless_fold_in(seed, 1)
        share = tf.reshape(tf.random.stateless_uniform((BATCH,), fold), (-1, 1, 1, 1))
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
            loss = fake_score - real_score + 10 * penalty
        variables = critic.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return step


def our_step(precision, weights):
    keras.mixed_precision.set_dtype_policy(precision)
    trainer = GanTrainer(GanSettings(precision=precision), build_generator(), build_critic())
    keras.mixed_precision.set_dtype_policy("float32")
    for model, arrays in zip((trainer.generator, trainer.critic), weights, strict=True):
        model.set_weights(arrays)
    return tf.function(lambda real, seed: trainer._critic_step(real, seed)["critic_loss"])


def seconds(step, *arguments):
    wall, processor = time.perf_counter(), time.process_time()
    float(step(*arguments))
    return np.array([time.perf_counter() - wall, time.process_time() - processor])


def measure_steps(clips, turns):
    keras.utils.set_random_seed(0)
    generator, critic = build_generator(), build_critic()
    weights = [model.get_weights() for model in (generator, critic)]
    steps = {
        "plain, float32": plain_step(generator, critic),
        "ours, float32": our_step("float32", weights),
        "ours, mixed_bfloat16": our_step("mixed_bfloat16", weights),
    }
    losses = {name: [] for name in steps}
    taken = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            seed = tf.constant([0, turn], tf.int64)
            losses[name].append(float(step(clips, seed)))
            if turn:  # The first turn compiles.
                taken[name].append(seconds(step, clips, seed))
    plain = np.array(taken["plain, float32"])
    for name in steps:
        wall, processor = np.median(taken[name], axis=0)
        ratios = np.median(plain / np.array(taken[name]), axis=0)
        apart = np.abs(np.array(losses[name]) / losses["plain, float32"] - 1)
        print(
            f"{name:21s} {1 / wall:5.2f} steps/s, {processor:5.2f} s of processor a step; "
            f"{ratios[0]:.2f} times plain by wall, {ratios[1]:.2f} by processor; "
            f"loss apart by {apart[0]:.0e} in the first step, {apart[-1]:.0e} in the last"
        )
    return np.median(taken["ours, float32"], axis=0)


def measure_around(records, step_secs):
    settings = GanSettings()
    per_iteration = settings.critic_steps * BATCH
    batches = iter(clip_batches(records, batch_size=per_iteration, seed=0))
    read = [seconds(lambda: next(batches)[0, 0, 0, 0]) for _ in range(60)][10:]
    iteration = (settings.critic_steps + 0.5) * step_secs
    share = 100 * np.mean(read, axis=0) / iteration
    print(f"input: {share[0]:.2f} % of an iteration's wall time, {share[1]:.2f} % of processor")
    with tempfile.TemporaryDirectory() as folder, Summaries(folder) as summaries:
        watcher = GanWatcher(settings, records, build_generator(), summaries, build_svdnet())
        watcher.samples(0)
        look = seconds(lambda: watcher.samples(1)["frechet_distance"])
    share = 100 * look / (settings.samples_every * iteration)
    print(
        f"samples: {look[0]:.1f} s every {settings.samples_every} iterations, {share[0]:.2f} % of "
        f"wall time, {share[1]:.2f} % of processor"
    )


def main(turns="5"):
    records = open_records(resolve_records(os.environ.get("RECORDS", "builtin")))
    clips = next(iter(clip_batches(records, batch_size=BATCH, seed=1)))
    measure_around(records, measure_steps(clips, int(turns)))


if __name__ == "__main__":
    main(*sys.argv[1:])
