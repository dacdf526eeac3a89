"""svdam: what does a neuron of an audio classifier listen for?

A TensorFlow 2 / Keras port of Mishra, Stoller, Benetos, Sturm and Dixon, "GAN-based Generation and
Automatic Selection of Explanations for Neural Networks" (ICLR SafeML workshop, 2019).

Files directly in this package are commands (``python -m svdam.<command>``); folders are libraries.
"""

__version__ = "0.1.0"
