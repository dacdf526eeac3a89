"""Activation maximization: speed, precision, start, memory, and the grid against single runs.

    python tools/benchmarks/maximize_activation.py step       against the machine's matrix products
    python tools/benchmarks/maximize_activation.py bfloat16   speed and agreement with float32
    python tools/benchmarks/maximize_activation.py released   the grid against one process per run
    python tools/benchmarks/maximize_activation.py start      seconds until the first step is done
    python tools/benchmarks/maximize_activation.py memory     peak of a process with 450 latents

--classifier and --generator take .keras files; random weights otherwise, of the same cost. What
grows with latents, steps and devices is in cost_growth.py.
"""

import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import Spread, Table, parser, report, speed_table, take_turns

GFLOP_A_LATENT = 1.436  # Both networks, forward and backward to the latent.
MATRIX = 2048
GRID_STEPS = (100, 500, 1000)
PAIRS, SEEDS = 9, 50
RUNS = PAIRS * SEEDS * len(GRID_STEPS)
PRODUCTS = "matrix products"

# What maximize_activation does, and the seconds since the epoch when its first step was done.
STARTED = """
import time
from svdam import maximize_activation
from svdam.core.commands import run_command
from svdam.stages import grid

shown = grid._View.show
def show(view, *args):
    shown(view, *args)
    print("shown", time.time(), flush=True)
grid._View.show = show
run_command(maximize_activation.main)
"""


def load_networks(options, precision="float32"):
    """Generator and classifier: the files', or random ones."""
    import keras

    from svdam.models.classifier import build_svdnet
    from svdam.models.generator import build_generator
    from svdam.models.loading import load_model
    from svdam.models.precision import use_mixed_bfloat16

    keras.utils.set_random_seed(0)
    pair = [
        load_model(options.generator, "generator") if options.generator else build_generator(),
        load_model(options.classifier, "classifier") if options.classifier else build_svdnet(),
    ]
    return [use_mixed_bfloat16(one) for one in pair] if precision != "float32" else pair


def starts(count):
    from svdam.explain.starts import latents_from_seeds

    return latents_from_seeds(range(count), 128)


def searcher(pair, count, num_steps):
    """A function that searches ``count`` latents, and returns how many latent steps that were."""
    from svdam.explain.maximization import Maximizer

    engine, latents = Maximizer(*pair), starts(count)

    def search():
        engine.run(latents, 0.01, 0.001, num_steps)
        return count * (num_steps + 1)  # Looking at the last state costs a step.

    return search


def matrix_products(count=16, dtype="float32"):
    """A function that does the arithmetic of some latent steps, and returns their number."""
    import tensorflow as tf

    a, b = (tf.cast(tf.random.normal((MATRIX, MATRIX)), dtype) for _ in range(2))

    @tf.function
    def multiply(x):
        for _ in tf.range(count):
            x = tf.matmul(x, b) * 0.01
        return x

    def run():
        multiply(a).numpy()
        return count * 2 * MATRIX**3 / 1e9 / GFLOP_A_LATENT

    return run


def step_tables(options):
    """A step of batches of several sizes, as a share of the rate of matrix products."""
    contestants = {
        f"{size} latents": searcher(load_networks(options), size, max(3, 300 // size))
        for size in (1, 10, 50, 150)
    }
    costs = take_turns({PRODUCTS: matrix_products(), **contestants}, options.turns)
    shares = {}
    for name, taken in costs.items():
        share = costs[PRODUCTS] / taken
        shares[name] = {
            "GFLOP/s": GFLOP_A_LATENT / float(np.median(taken[:, 0])),
            "share of their rate": Spread.of(share[:, 0]),
            "share by processor time": Spread.of(share[:, 1]),
        }
    title = f"A step against products of {MATRIX} x {MATRIX} matrices, float32"
    return [speed_table(costs, "latent step", PRODUCTS, title, shares)]


def bfloat16_tables(options, count=50, num_steps=100):
    """Speed in turns; then whether both precisions rank the latents alike."""
    from scipy.stats import spearmanr

    from svdam.explain.maximization import maximize

    pairs = {name: load_networks(options, name) for name in ("mixed_bfloat16", "float32")}
    searches = {name: searcher(pair, 150, 3) for name, pair in pairs.items()}
    costs = take_turns(searches, options.turns)
    stops = [0, num_steps // 10, num_steps]
    found = {
        name: maximize(
            *pair,
            starts(count),
            learning_rate=0.01,
            prior_weight=0.001,
            num_steps=num_steps,
            snapshot_steps=stops,
        )
        for name, pair in pairs.items()
    }
    agreement = Table(f"Responses of {count} latents in both precisions")
    for stop in stops:
        exact, rounded = (found[name].snapshots[stop].responses for name in reversed(pairs))
        agreement.rows.append(
            {
                "steps": str(stop),
                "rank correlation": f"{spearmanr(exact, rounded)[0]:.4f}",
                "largest difference": float(np.abs(exact - rounded).max()),
                "standard deviation over latents": float(exact.std()),
            }
        )
    return [speed_table(costs, "latent step", "mixed_bfloat16"), agreement]


def run_as_released(options):
    """One process of the released code's manner: one latent, a forward pass, then a step."""
    import keras
    import tensorflow as tf

    generator, classifier = load_networks(options)
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

    for _ in range(options.steps):
        evaluate()
        step()


def released_tables(options):
    """The whole grid: one batch, against a process for each of its runs.

    One of the grid's runs takes 533 steps on average; one of these processes does as many.
    """
    from svdam.stages.grid import LARGEST_CHUNK

    command = [sys.executable, __file__, "run-as-released"]
    command.append(f"--steps={round(np.mean(GRID_STEPS))}")
    given = {name: getattr(options, name) for name in ("classifier", "generator")}
    command += [f"--{name}={path}" for name, path in given.items() if path]

    def a_process_a_run():
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return 1

    search = searcher(load_networks(options), LARGEST_CHUNK, 3)
    latent_steps_a_run = PAIRS * SEEDS * max(GRID_STEPS) / RUNS

    def the_grid():
        return search() / latent_steps_a_run

    contestants = {"one batch": the_grid, "one process per run": a_process_a_run}
    costs = take_turns(contestants, options.turns)
    hours = {
        name: {"hours for the grid": float(np.median(taken[:, 0])) * RUNS / 3600}
        for name, taken in costs.items()
    }
    title = f"The grid of {PAIRS * len(GRID_STEPS)} configurations x {SEEDS} latents"
    return [speed_table(costs, "run", "one batch", title, hours)]


def save_networks(options, folder):
    """The flags of maximize_activation that name the networks."""
    flags = []
    for name, model in zip(("generator", "classifier"), load_networks(options), strict=True):
        path = f"{folder}/{name}.keras"
        model.save(path)
        flags.append(f"--{name}={path}")
    return flags


def start_tables(options):
    """Seconds from the start of the process until its first step is done."""
    table = Table("From the command to the end of the first step")
    with tempfile.TemporaryDirectory() as folder:
        networks = save_networks(options, folder)
        for what, flags in (
            ("1 latent", ["--seeds=0"]),
            ("50 latents", []),
            ("the grid's 450, a chunk at a time", ["--flagfile=flags/grid.cfg"]),
        ):
            found = []
            for turn in range(options.turns):
                output = f"--output={folder}/{what}{turn}"
                single = ["--learning_rates=0.01", "--prior_weights=0.01", "--num_steps=2"]
                wanted = [*flags, *networks, output, *([] if "450" in what else single)]
                found.append(seconds_to_first_step(wanted))
            table.rows.append({"": what, "seconds": Spread.of(found)})
    return [table]


def seconds_to_first_step(flags):
    began = time.time()
    command = [sys.executable, "-c", STARTED, *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("shown"):
                process.kill()
                return float(line.split()[1]) - began
    sys.exit(f"no step was done: {' '.join(flags)}")


def memory_tables(options):
    """Peak of maximize_activation with 450 latents, within the default --max_memory."""
    table = Table("Peak memory of the process, with the default --max_memory of 4 GiB")
    grid = [
        "--learning_rates=0.1,0.01,0.001",
        "--prior_weights=0.1,0.01,0.001",
        "--num_steps=1,2,3",
    ]
    one = ["--learning_rates=0.01", "--prior_weights=0.01", "--num_steps=2", "--seeds=0-449"]
    with tempfile.TemporaryDirectory() as folder:
        networks = save_networks(options, folder)
        for what, flags in (
            ("450 latents, 1 configuration", one),
            ("9 pairs x 50 latents, 27 configurations", grid),
        ):
            command = [sys.executable, "-m", "svdam.maximize_activation", *networks, *flags]
            began = time.perf_counter()
            process = subprocess.Popen([*command, f"--output={folder}/{len(table.rows)}"])
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"failed: {' '.join(command)}")
            taken = time.perf_counter() - began
            table.rows.append({"": what, "GiB": usage.ru_maxrss / 2**20, "total seconds": taken})
    return [table]


MEASUREMENTS = {
    "step": step_tables,
    "bfloat16": bfloat16_tables,
    "released": released_tables,
    "start": start_tables,
    "memory": memory_tables,
}


def main():
    flags = parser(__doc__)
    flags.add_argument("what", choices=[*MEASUREMENTS, "run-as-released"])
    flags.add_argument("--classifier", help="a .keras file; random weights by default")
    flags.add_argument("--generator", help="a .keras file; random weights by default")
    flags.add_argument("--steps", type=int, default=533, help="of run-as-released")
    options = flags.parse_args()
    if options.what == "run-as-released":
        run_as_released(options)
        return
    tables = MEASUREMENTS[options.what](options)
    name = f"maximize_activation_{options.what}"
    title = f"Activation maximization: {options.what}"
    report(name, title, tables, options.output, packages=["tensorflow", "keras"])


if __name__ == "__main__":
    main()
