"""Converts models that older versions of Keras saved to files of Keras 3.

    python tools/import_model.py --input=old.h5 --output=classifier.keras
    python tools/import_model.py --input=saved_model --output=classifier.keras --allow_unsafe_model

Files of Keras 2 (.h5, .hdf5, .keras) and SavedModels that hold the configuration of a Keras model.
What Keras 3 cannot read is read by Keras 2, the package tf_keras; where that is installed, the
outputs of both are compared on random input.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.models.conversion.older_keras import ImportSettings, import_model

define_flags(ImportSettings)


def main() -> None:
    """Converts with the parsed flags and prints what was done."""
    for line in import_model(settings_from_flags(ImportSettings)):
        print(line)


if __name__ == "__main__":
    run_command(main)
