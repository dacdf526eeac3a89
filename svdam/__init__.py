"""svdam: what does a neuron of an audio classifier listen for?

A TensorFlow 2 / Keras port of Mishra, Stoller, Benetos, Sturm and Dixon, "GAN-based Generation and
Automatic Selection of Explanations for Neural Networks" (ICLR SafeML workshop, 2019).

Files directly in this package are commands (``python -m svdam.<command>``); folders are libraries.
"""

import os

# On processors without AVX-512, TensorFlow uses oneDNN only if told to, and a step of the search
# takes about twice as long without it. TensorFlow looks once, so this comes before it is loaded.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
