"""Converts networks of the original programs to Keras, and SVDNets back.

From the Lasagne code of Schlueter & Grill (ISMIR 2015)::

    python tools/convert_lasagne.py --input=jamendo_augment.npz --meanstd=jamendo_meanstd.npz \
        --output=svdnet_jamendo.keras --verify

From a TensorFlow 1 checkpoint of the authors' released code, classifier or generator::

    python tools/convert_lasagne.py --tf1_checkpoint=models/Jamendo_augment_mel \
        --meanstd=jamendo_meanstd.npz --output=svdnet_jamendo.keras

Back to Lasagne, for the original predict.py::

    python tools/convert_lasagne.py --to_lasagne --input=svdnet.keras --output=svdnet.npz \
        --meanstd=meanstd.npz
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.models.conversion.convert import ConversionSettings, convert

define_flags(ConversionSettings)


def main() -> None:
    """Converts with the parsed flags and prints what was done."""
    for line in convert(settings_from_flags(ConversionSettings)):
        print(line)


if __name__ == "__main__":
    run_command(main)
