"""Measures activation maximization: speed, precision, memory, and the cost of more latents.

    python tools/benchmarks/maximize_activation.py step       against the machine's matrix products
    python tools/benchmarks/maximize_activation.py chunks     the same for other sizes of the batch
    python tools/benchmarks/maximize_activation.py bfloat16   speed and agreement with float32
    python tools/benchmarks/maximize_activation.py released   the grid against a process a run
    python tools/benchmarks/maximize_activation.py cost       against numbers of latents and steps
    python tools/benchmarks/maximize_activation.py memory     peak of a process with 450 latents

What is compared takes turns in one process, so that whatever else the machine does hits both; read
the ratios. --classifier and --generator take .keras files; random weights otherwise, of the same
cost.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

GFLOP_A_LATENT = 1.436  # Both networks, forward and backward to the latent.
MATRIX = 2048
GRID_STEPS = (100, 500, 1000)
PAIRS, SEEDS = 9, 50
RUN_STEPS = 30  # Of one run in the released code's manner; scaled to the grid's steps.


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*MEASUREMENTS, "run-as-released"])
    parser.add_argument("--steps", type=int, default=RUN_STEPS, help="of run-as-released")
    parser.add_argument("--classifier")
    parser.add_argument("--generator")
    parser.add_argument("--turns", type=int, help="default: 3; released: 20")
    arguments = parser.parse_args()
    arguments.turns = arguments.turns or (20 if arguments.what == "released" else 3)
    if arguments.what == "run-as-released":
        run_as_released(arguments)
    else:
        MEASUREMENTS[arguments.what](arguments)


def models(arguments, precision="float32"):
    """Generator and classifier: the files', or random ones."""
    import keras

    from svdam.explain.precision import use_mixed_bfloat16
    from svdam.models.classifier import build_svdnet
    from svdam.models.generator import build_generator
    from svdam.models.loading import load_model

    keras.utils.set_random_seed(0)
    pair = [
        load_model(arguments.generator, "generator") if arguments.generator else build_generator(),
        load_model(arguments.classifier, "classifier") if arguments.classifier else build_svdnet(),
    ]
    return [use_mixed_bfloat16(one) for one in pair] if precision != "float32" else pair


def starts(count):
    from svdam.explain.starts import latents_from_seeds

    return latents_from_seeds(range(count), 128)


def searcher(pair, count):
    """A function that runs so many steps of ``count`` latents and returns the seconds."""
    from svdam.explain.maximization import Maximizer

    engine, latents = Maximizer(*pair), starts(count)

    def search(num_steps):
        began = time.perf_counter()
        engine.run(latents, 0.01, 0.001, num_steps)
        return time.perf_counter() - began

    search(2)  # Traces.
    return search


def seconds_a_step(search, num_steps):
    """Without what a run does once: evaluating the last state costs a step or so."""
    return search(num_steps) / (num_steps + 1)


def matrix_rate():
    """A function: GFLOP/s of 2048 x 2048 float32 products, by the clock and by processor time."""
    import tensorflow as tf

    a, b = tf.random.normal((MATRIX, MATRIX)), tf.random.normal((MATRIX, MATRIX))

    @tf.function
    def multiply(x, count):
        for _ in tf.range(count):
            x = tf.matmul(x, b) * 0.01
        return x

    multiply(a, tf.constant(2))

    def rate(count=8):
        clock = (time.perf_counter(), time.process_time())
        multiply(a, tf.constant(count)).numpy()
        took = np.subtract((time.perf_counter(), time.process_time()), clock)
        return count * 2 * MATRIX**3 / took / 1e9

    return rate


def measure_step(arguments, sizes=(150,)):
    """A step as a share of the matrix-multiply rate before and after it.

    By the clock, and by the seconds of processor time that both took: the second does not move with
    what else the machine does, but leaves out where threads wait for each other.
    """
    rate = matrix_rate()
    searches = {size: searcher(models(arguments), size) for size in sizes}
    shares = {size: [] for size in sizes}
    for turn in range(arguments.turns):
        for size, search in searches.items():
            num_steps = max(4, 300 // size)
            before = rate()
            clock = (time.perf_counter(), time.process_time())
            search(num_steps)
            took = np.subtract((time.perf_counter(), time.process_time()), clock)
            took = took / (num_steps + 1)  # Looking at the last state costs a step.
            machine = (np.array(before) + rate()) / 2
            wall, processor = GFLOP_A_LATENT * size / took / machine
            shares[size].append((wall, processor))
            print(
                f"turn {turn + 1}, {size} latents: {1e3 * took[0] / size:.2f} ms a latent and "
                f"step, {wall:.0%} of {machine[0]:.0f} GFLOP/s, {processor:.0%} of "
                f"{machine[1]:.0f} by processor time",
                flush=True,
            )
    for size, found in shares.items():
        wall, processor = np.median(found, axis=0)
        print(f"{size} latents: median {wall:.0%} by the clock, {processor:.0%} by processor time")


def measure_chunks(arguments):
    """Speed of a batch of other sizes."""
    measure_step(arguments, sizes=(10, 25, 50, 75, 150))


def measure_bfloat16(arguments, count=50, num_steps=100):
    """Speed in turns; then whether both precisions rank the latents alike."""
    from scipy.stats import spearmanr

    from svdam.explain.maximization import maximize

    pairs = {name: models(arguments, name) for name in ("float32", "mixed_bfloat16")}
    searches = {name: searcher(pair, count) for name, pair in pairs.items()}
    ratios = []
    for turn in range(arguments.turns):
        secs = {name: seconds_a_step(search, 6) for name, search in searches.items()}
        ratios.append(secs["float32"] / secs["mixed_bfloat16"])
        print(f"turn {turn + 1}: bfloat16 is {ratios[-1]:.2f} times as fast", flush=True)
    print(f"median: {np.median(ratios):.2f} times as fast")
    found = {
        name: maximize(
            *pair,
            starts(count),
            learning_rate=0.01,
            prior_weight=0.001,
            num_steps=num_steps,
            snapshot_steps=[0, num_steps // 10],
        )
        for name, pair in pairs.items()
    }
    exact, rounded = found["float32"], found["mixed_bfloat16"]
    for step in exact.snapshots:
        a, b = exact.snapshots[step].responses, rounded.snapshots[step].responses
        print(
            f"after {step} steps: rank correlation {spearmanr(a, b)[0]:.4f}, spread {a.std():.3f}"
        )


def run_as_released(arguments):
    """One process of the released code's manner: one latent, a forward pass, then a step."""
    import keras
    import tensorflow as tf

    generator, classifier = models(arguments)
    z = tf.Variable(starts(1), dtype=tf.float32)
    adam = keras.optimizers.Adam(0.01, 0.99, epsilon=1e-8)

    @tf.function
    def evaluate():
        return classifier(generator(z, training=False), training=False)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            score = classifier(generator(z, training=False), training=False)
            loss = 0.001 * tf.reduce_sum(z**2) - tf.reduce_sum(score)
        adam.apply([tape.gradient(loss, z)], [z])

    evaluate(), step()
    began = time.perf_counter()
    for _ in range(arguments.steps):
        evaluate()
        step()
    print(time.perf_counter() - began)


def measure_released(arguments):
    """The whole grid: one batch, against a process for each of its 1350 runs."""
    from svdam.explain.grid import LARGEST_CHUNK

    search = searcher(models(arguments), LARGEST_CHUNK)
    command = [sys.executable, __file__, "run-as-released"]
    given = {name: getattr(arguments, name) for name in ("classifier", "generator")}
    command += [f"--{name}={path}" for name, path in given.items() if path]
    released, ours = [], []
    for turn in range(arguments.turns):
        began = time.perf_counter()
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        loop = float(output.split()[-1])
        start_up = time.perf_counter() - began - loop
        # A run of the grid takes 533 steps on average.
        released.append(start_up + loop / RUN_STEPS * np.mean(GRID_STEPS))
        ours.append(seconds_a_step(search, 4) / LARGEST_CHUNK)
        grid = PAIRS * SEEDS * max(GRID_STEPS) * np.median(ours)
        theirs = np.median(released) * PAIRS * SEEDS * len(GRID_STEPS)
        print(
            f"turn {turn + 1}: grid {grid / 60:.0f} min, a process a run {theirs / 3600:.1f} h "
            f"(start {start_up:.1f} s, {1e3 * loop / RUN_STEPS:.0f} ms a step): "
            f"{theirs / grid:.1f} times as long",
            flush=True,
        )


def measure_cost(arguments):
    """Seconds against latents and steps; linear if the last column does not grow."""
    print(" latents  steps  seconds  ms a latent and step")
    for count, steps in ((1, 10), (10, 10), (100, 10), (1000, 2), (50, 2), (50, 10), (50, 30)):
        pair = models(arguments)
        chunk = min(count, 150)
        search = searcher(pair, chunk)
        secs = sum(search(steps) for _ in range(round(count / chunk)))
        latents = chunk * round(count / chunk)
        cell = 1e3 * secs / latents / (steps + 1)
        print(f"{latents:8d} {steps:6d} {secs:8.2f} {cell:8.2f}", flush=True)


def measure_memory(arguments):
    """Peak memory of maximize_activation with 450 latents and the default --max_memory."""
    with tempfile.TemporaryDirectory() as folder:
        for name, model in zip(("generator", "classifier"), models(arguments), strict=True):
            model.save(f"{folder}/{name}.keras")
        command = [
            *(sys.executable, "-m", "svdam.maximize_activation", f"--output={folder}/run"),
            *(f"--generator={folder}/generator.keras", f"--classifier={folder}/classifier.keras"),
            *("--seeds=0-449", "--learning_rates=0.01", "--prior_weights=0.01", "--num_steps=2"),
        ]
        began = time.perf_counter()
        subprocess.run(command, check=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"450 latents: peak {peak:.2f} GiB, {time.perf_counter() - began:.0f} s")


MEASUREMENTS = {
    "step": measure_step,
    "chunks": measure_chunks,
    "bfloat16": measure_bfloat16,
    "released": measure_released,
    "cost": measure_cost,
    "memory": measure_memory,
}

if __name__ == "__main__":
    main()
