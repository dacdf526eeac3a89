"""Activation maximization against what users would pick instead, with the same networks.

    python tools/benchmarks/am_competitors.py [--latents=1,50,450] [--precisions=float32,bfloat16]

- svdam: `Maximizer`, in chunks as the grid makes them;
- tf-keras-vis: its ActivationMaximization on the composed model, eager as it is;
- PyTorch: the same loop, channels last, plain and with torch.compile; bfloat16 by autocast;
- one process per run: the manner of the code released with the paper, one latent at a time and an
  evaluation before each step, over a run of the grid's mean length, start included;
- matrix products: as much arithmetic as a step of a latent, in products of 2048 x 2048.

All use Adam (0.99, 0.999, 1e-8), the prior of the paper, and one latent step as the unit. Before
the clock starts, all must reach the same responses. Needs `pip install -c constraints.txt -e
'.[bench]'`; what is missing is left out.
"""

import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from maximize_activation import GRID_STEPS, matrix_products
from measuring import has, parser, report, speed_table, take_turns

from svdam.explain.maximization import Maximizer
from svdam.explain.starts import latents_from_seeds
from svdam.models.loading import load_model
from svdam.models.precision import use_mixed_bfloat16
from svdam.stages.grid import LARGEST_CHUNK, split_evenly

RATE, WEIGHT = 0.01, 0.001
TRIED_STEPS = 3
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
"""Of responses after the tried steps, as a share of their spread over the latents."""


def load_networks(options, precision):
    """Generator and classifier, apart from those of any other call."""
    pair = [load_model(getattr(options, kind), kind) for kind in ("generator", "classifier")]
    return [use_mixed_bfloat16(one) for one in pair] if precision == "bfloat16" else pair


def starts(count):
    return latents_from_seeds(range(count), 128).astype(np.float32)


class Svdam:
    def __init__(self, options, precision):
        self._engine = Maximizer(*load_networks(options, precision))

    def search(self, latents, num_steps):
        """Latents after the steps; the engine then looks at the last state, as in a step."""
        return self._engine.run(latents, RATE, WEIGHT, num_steps).latents


class TfKerasVis:
    def __init__(self, options, precision):
        from tf_keras_vis.activation_maximization import ActivationMaximization

        generator, classifier = load_networks(options, precision)
        composed = keras.Model([generator.input], classifier(generator.output))
        self._visualize = ActivationMaximization(composed)

    def search(self, latents, num_steps):
        found = self._visualize(
            lambda output: output[:, 0],
            seed_input=latents,
            input_range=(None, None),
            input_modifiers=[],
            regularizers=[_negative_log_prior],
            steps=num_steps,
            optimizer=keras.optimizers.Adam(RATE, 0.99, 0.999, epsilon=1e-8),
        )
        return np.asarray(found)


def _negative_log_prior(latents):
    return WEIGHT * 0.5 * tf.reduce_sum(latents**2, axis=1)


class PyTorch:
    def __init__(self, options, precision, compiled=False):
        import torch
        import torch_networks as networks

        generator, classifier = load_networks(options, "float32")
        model = torch.nn.Sequential(
            networks.Generator(generator), networks.Classifier(classifier)
        ).requires_grad_(False)
        self._torch, self._is_bfloat16 = torch, precision == "bfloat16"
        self._model = torch.compile(model, dynamic=False) if compiled else model

    def search(self, latents, num_steps):
        torch = self._torch
        z = torch.tensor(latents, requires_grad=True)
        adam = torch.optim.Adam([z], RATE, betas=(0.99, 0.999), eps=1e-8, maximize=True)
        for _ in range(num_steps):
            adam.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self._is_bfloat16):
                responses = self._model(z)[:, 0]
            (responses.float().sum() - WEIGHT * 0.5 * (z**2).sum()).backward()
            adam.step()
        return z.detach().numpy()


def process_a_run(options):
    """A run of the released code's manner, of the mean length over the grid."""
    steps = round(np.mean(GRID_STEPS))
    script = os.path.join(os.path.dirname(__file__), "maximize_activation.py")
    networks = [f"--{kind}={getattr(options, kind)}" for kind in ("generator", "classifier")]
    command = [sys.executable, script, "run-as-released", f"--steps={steps}", *networks]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return steps


def searchers(options, precision):
    made = {f"svdam, {precision}": Svdam(options, precision)}
    if has("tf_keras_vis"):
        made[f"tf-keras-vis, {precision}"] = TfKerasVis(options, precision)
    if has("torch"):
        made[f"PyTorch, {precision}"] = PyTorch(options, precision)
        made[f"PyTorch compiled, {precision}"] = PyTorch(options, precision, compiled=True)
    return made


def require_agreement(found, options):
    """Responses after some steps must be the same; returns a line that says how much they are."""
    generator, classifier = load_networks(options, "float32")
    latents = starts(8)
    reference, differences = None, []
    for precision, contestants in found.items():
        for name, contestant in contestants.items():
            reached = contestant.search(latents, TRIED_STEPS)
            responses = classifier(generator(reached)).numpy()[:, 0]
            reference = responses if reference is None else reference
            difference = np.abs(responses - reference).max() / np.std(reference)
            differences.append(f"{name}: {difference:.0e}")
            if difference > TOLERANCE[precision]:
                sys.exit(f"{name} reaches {responses}, svdam in float32 {reference}: not the same")
    each = "; ".join(differences)
    return f"Deviation from the first (relative to the spread of the responses): {each}."


def compare(latents, found, options):
    """A table for a number of latents."""
    num_steps = options.steps or max(1, round(30 / len(latents)))
    chunks = split_evenly(len(latents), LARGEST_CHUNK)

    def running(contestant):
        # Svdam looks at the last state as it does in a step: all others take one step more.
        steps = num_steps if isinstance(contestant, Svdam) else num_steps + 1

        def run():
            for chunk in chunks:
                contestant.search(latents[chunk], steps)
            return len(latents) * (num_steps + 1)

        return run

    contestants = {name: running(one) for made in found.values() for name, one in made.items()}
    contestants["one process per run, float32"] = lambda: process_a_run(options)
    for precision in found:
        contestants[f"matrix products, {precision}"] = matrix_products(dtype=precision)
    costs = take_turns(contestants, options.turns)
    shares = {name: {"share of the matrix rate": _share(costs, name)} for name in costs}
    title = f"{len(latents)} latent{'s' if len(latents) > 1 else ''}"
    return speed_table(costs, "latent step", next(iter(costs)), title, shares)


def _share(costs, name):
    """Of the rate of matrix products in the same precision, the median over the turns."""
    rate = costs[f"matrix products, {name.split(', ')[-1]}"]
    return f"{np.median(rate[:, 0] / costs[name][:, 0]):.0%}"


def main():
    flags = parser(__doc__, turns=3)
    flags.add_argument("--latents", default="1,50,450")
    flags.add_argument("--precisions", default="float32,bfloat16")
    flags.add_argument("--steps", type=int, help="default: as many as fit the number of latents")
    flags.add_argument("--generator", default="checkpoints/demo_generator.keras")
    flags.add_argument("--classifier", default="checkpoints/demo_svdnet.keras")
    options = flags.parse_args()
    precisions = options.precisions.split(",")
    found = {precision: searchers(options, precision) for precision in precisions}
    notes = require_agreement(found, options)
    tables = [compare(starts(int(count)), found, options) for count in options.latents.split(",")]
    name = "am_competitors" + ("" if len(tables) > 1 else f"_{options.latents}")
    report(name, "Activation maximization", tables, options.output, notes)


if __name__ == "__main__":
    main()
