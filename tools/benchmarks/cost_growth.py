"""How cost grows: with songs, latents, steps, and devices.

    python tools/benchmarks/cost_growth.py [--what=songs,latents,steps,devices]

Songs: prepare_data, as data_scaling.py measures it. Latents and steps: activation maximization with
SVDNet and the paper's generator. Devices: the same, and the GAN's training, on one core; split over
two processes of one core each (multi_worker); on two cores as one device; and split over two
devices of one process (mirrored). The sizes of one table take turns.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from data_scaling import add_flags, scaling_table
from measuring import Table, clock, parser, report, speed_table, take_turns

LATENTS = {1: 60, 10: 20, 100: 4, 1000: 1}  # With how many steps.
STEPS = {2: 50, 10: 50, 50: 50}  # With how many latents.
WORKERS = {
    # (cores, strategy) of each process.
    "1 device, 1 core": [("0", "one_device")],
    "2 devices, one process and one core each": [("0", "multi_worker"), ("1", "multi_worker")],
    "1 device, 2 cores": [("0,1", "one_device")],
    "2 devices in one process, 2 cores": [("0,1", "mirrored")],
}


def searcher(strategy=None) -> Callable[[int, int], int]:
    """From numbers of latents and steps: optimizes, and returns the number of latent steps."""
    import keras

    from svdam.explain.maximization import Maximizer
    from svdam.explain.starts import latents_from_seeds
    from svdam.models.classifier import build_svdnet
    from svdam.models.generator import build_generator
    from svdam.stages.grid import LARGEST_CHUNK, split_evenly

    keras.utils.set_random_seed(0)
    with strategy.scope() if strategy else contextlib.nullcontext():
        engine = Maximizer(build_generator(), build_svdnet(), strategy=strategy)

    def search(count: int, num_steps: int) -> int:
        latents = latents_from_seeds(range(count), 128)
        for chunk in split_evenly(count, LARGEST_CHUNK):
            engine.run(latents[chunk], 0.01, 0.001, num_steps)
        return count * (num_steps + 1)  # Looking at the last state costs a step.

    return search


def gan_trainer(strategy) -> Callable[[int], int]:
    """From a number of iterations: trains, with one critic and one generator step each."""
    import keras
    import tensorflow as tf

    from svdam.models.critic import build_critic
    from svdam.models.generator import build_generator
    from svdam.training.settings import GanSettings
    from svdam.training.wgan_gp import GanTrainer

    keras.utils.set_random_seed(0)
    settings = GanSettings(critic_steps=1)
    with strategy.scope():
        trainer = GanTrainer(settings, build_generator(), build_critic())
    clips = tf.random.stateless_normal((1, settings.batch_size, 115, 80, 1), (0, 1)) - 5

    def train(count: int) -> int:
        for number in range(count):
            losses = trainer.iterate(clips, tf.constant(number, tf.int64))
        float(losses["generator_loss"])
        return count

    return train


def growth_table(title: str, column: str, sizes: dict[int, tuple[int, int]], turns: int) -> Table:
    """One row for each size, which stands for (latents, steps)."""
    search = searcher()
    costs = take_turns({size: lambda s=size: search(*sizes[s]) for size in sizes}, turns)
    table = speed_table(costs, "latent step", max(sizes), title)
    for row, (count, num_steps) in zip(table.rows, sizes.values(), strict=True):
        row["total seconds"] = row["ms per latent step"] * count * (num_steps + 1) / 1e3
        row[column] = str(row.pop(""))
    table.rows = [{column: row.pop(column), **row} for row in table.rows]
    return table


def latents_table(turns: int) -> Table:
    sizes = {count: (count, num_steps) for count, num_steps in LATENTS.items()}
    return growth_table("Number of latents", "latents", sizes, turns)


def steps_table(turns: int) -> Table:
    sizes = {num_steps: (count, num_steps) for num_steps, count in STEPS.items()}
    return growth_table("Number of steps, 50 latents", "steps", sizes, turns)


class Worker:
    """A process of its own on some cores, which works when it is told to."""

    def __init__(self, job: str, cores: str, strategy: str, cluster: dict | None, index: int):
        environment = dict(os.environ)
        if cluster:
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", job, cores, strategy],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def start(self) -> None:
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait(self) -> tuple[float, float]:
        """Units done, and processor seconds."""
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a worker process ended; run it alone to see why: --worker")
        units, secs = map(float, line.split())
        return units, secs

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def started_workers(job: str) -> Iterator[dict[str, list[Worker]]]:
    """The processes of each contestant; they stay until all turns are over."""
    made = {}
    for name, places in WORKERS.items():
        cluster = None
        if len(places) > 1:
            cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(len(places))]}
        made[name] = [Worker(job, *place, cluster, i) for i, place in enumerate(places)]
    try:
        yield made
    finally:
        for workers in made.values():
            for worker in workers:
                worker.close()


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def devices_table(job: str, unit: str, turns: int) -> Table:
    def running(workers: list[Worker]) -> Callable[[], tuple[float, float]]:
        def run() -> tuple[float, float]:
            for worker in workers:
                worker.start()
            units, secs = np.transpose([worker.wait() for worker in workers])
            return float(units[0]), float(secs.sum())

        return run

    with started_workers(job) as workers:
        costs = take_turns({name: running(found) for name, found in workers.items()}, turns)
    return speed_table(costs, unit, next(iter(WORKERS)), f"Devices: {unit}")


def work(job: str, cores: str, strategy_name: str) -> None:
    """A worker process: does some work for each line that comes, and answers."""
    os.sched_setaffinity(0, set(map(int, cores.split(","))))
    import tensorflow as tf

    from svdam.core.distribution import make_strategy

    if strategy_name == "mirrored":
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    strategy = make_strategy(strategy_name)
    jobs = {"search": lambda: searcher(strategy), "gan": lambda: gan_trainer(strategy)}
    run, arguments = jobs[job](), {"search": (100, 4), "gan": (3,)}[job]
    for _ in sys.stdin:
        start = clock()
        units = run(*arguments)
        print(units, (clock() - start)[1], flush=True)


def main() -> None:
    flags = parser(__doc__, turns=3)
    flags.add_argument("--what", default="songs,latents,steps,devices")
    flags.add_argument("--worker", nargs=3, metavar=("JOB", "CORES", "STRATEGY"), help="internal")
    add_flags(flags)
    options = flags.parse_args()
    if options.worker:
        work(*options.worker)
        return
    parts = {
        "songs": lambda: [scaling_table(options)],
        "latents": lambda: [latents_table(options.turns)],
        "steps": lambda: [steps_table(options.turns)],
        "devices": lambda: [
            devices_table("search", "latent step", options.turns),
            devices_table("gan", "GAN iteration", options.turns),
        ],
    }
    chosen = options.what.split(",")
    tables = [table for what in chosen for table in parts[what]()]
    name = "cost_growth" if len(chosen) == len(parts) else f"cost_growth_{'_'.join(chosen)}"
    report(name, "How cost grows", tables, options.output, packages=["tensorflow", "keras"])


if __name__ == "__main__":
    main()
