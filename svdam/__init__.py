"""svdam: what does a neuron of an audio classifier listen for?

A TensorFlow 2 / Keras port of Mishra, Stoller, Benetos, Sturm and Dixon, "GAN-based Generation and
Automatic Selection of Explanations for Neural Networks" (ICLR SafeML workshop, 2019).

The functions that most programs need are offered here, e.g. ``svdam.maximize``; ``__init__.pyi``
lists them. Each is loaded when it is first used, and TensorFlow with those that need it.

Files directly in this package are commands (``python -m svdam.<command>``); folders are libraries.
"""

import os

import lazy_loader

# On processors without AVX-512, TensorFlow uses oneDNN only if told to, and a step of the search
# takes about twice as long without it. TensorFlow looks once, so this comes before it is loaded.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
