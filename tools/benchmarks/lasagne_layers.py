"""A converted Lasagne network against the original: the largest difference, layer by layer.

    python tools/benchmarks/lasagne_layers.py                       weights and input by a recipe
    python tools/benchmarks/lasagne_layers.py WEIGHTS ACTIVATIONS   an original's files

By default the network and the input come from the recipe in tests/fixtures, where the outputs of
the original code, run in Lasagne and Theano, are kept: dense layers in full, feature maps as the
mean of each channel. Otherwise WEIGHTS is an .npz file as the original train.py saves it, and
ACTIVATIONS one with ``input`` (batch, time, mel), already standardised, and what the original
computed from it: ``conv1`` ... ``pool2`` as (batch, channel, time, mel), ``conv1_chanmean`` ...,
``fc7``, ``fc8`` and ``presigmoid``; of fewer examples where the file holds fewer.

Beside the original stands the same network in NumPy in double precision, which tells how much of a
difference is the original's own rounding.
"""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from measuring import Table, parser, report

from svdam.core.npz import read_npz
from svdam.models.conversion.lasagne import load_lasagne_npz
from svdam.models.conversion.reference import lasagne_forward

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
LAYERS = ("conv1", "conv2", "pool1", "conv3", "conv4", "pool2", "fc1", "fc2", "logit")
ORIGINAL_NAMES = {"fc1": "fc7", "fc2": "fc8", "logit": "presigmoid"}


def recipe(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """The recipe's weights as a file, its input, and what the original computed."""
    spec = importlib.util.spec_from_file_location("recipe", FIXTURES / "make_lasagne_recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parameters, excerpts = module.recipe()
    np.savez(folder / "weights.npz", **parameters)
    return folder / "weights.npz", {"input": excerpts, **read_npz(module.PATH)}


def originals(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is stored of each layer: values as Keras orders them, or means of channels."""
    found = {}
    for layer in LAYERS:
        for name in (layer, ORIGINAL_NAMES.get(layer)):
            if name in stored:
                values = stored[name]
                found[layer] = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values
        for name in (f"{layer}_channel_mean", f"{layer}_chanmean"):
            if name in stored:
                found[f"{layer}, mean of each channel"] = stored[name]
    return found


def activations(model: keras.Model, excerpts: np.ndarray) -> dict[str, np.ndarray]:
    tapped = keras.Model(model.input, {name: model.get_layer(name).output for name in LAYERS})
    found = tapped(np.asarray(excerpts, np.float32)[..., None], training=False)
    return {name: np.asarray(values) for name, values in found.items()}


def layer_table(weights: Path, stored: dict[str, np.ndarray]) -> Table:
    """One row per layer."""
    ours = activations(load_lasagne_npz(weights), stored["input"])
    exact = lasagne_forward(read_npz(weights), stored["input"])
    table = Table("Largest differences per layer")
    for name, original in originals(stored).items():
        layer = name.split(",")[0]
        pair = [values[layer][: len(original)] for values in (ours, exact)]
        if name != layer:
            pair = [values.astype(float).mean(axis=(1, 2)) for values in pair]
        largest = float(np.abs(original).max())
        difference, own = (float(np.abs(values - original).max()) for values in pair)
        table.rows.append(
            {
                "layer": name,
                "values": str(original.size),
                "largest value": largest,
                "svdam from the original": difference,
                "of the largest": difference / largest,
                "double precision from the original": own,
            }
        )
    return table


def main() -> None:
    flags = parser(__doc__, turns=1)
    flags.add_argument("files", nargs="*", metavar="WEIGHTS ACTIVATIONS")
    options = flags.parse_args()
    if len(options.files) not in (0, 2):
        sys.exit(f"found {len(options.files)} files, expected WEIGHTS and ACTIVATIONS, or none")
    with tempfile.TemporaryDirectory() as folder:
        if options.files:
            weights, stored = Path(options.files[0]), read_npz(options.files[1])
        else:
            weights, stored = recipe(Path(folder))
        table = layer_table(weights, stored)
    report("lasagne_layers", "A converted Lasagne network", [table], options.output)


if __name__ == "__main__":
    main()
