"""svdam: what does a neuron of an audio classifier listen for?

A TensorFlow 2 / Keras port of Mishra, Stoller, Benetos, Sturm and Dixon, "GAN-based Generation and
Automatic Selection of Explanations for Neural Networks" (ICLR SafeML workshop, 2019).

Files directly in this package are commands (``python -m svdam.<command>``); folders are libraries.
"""

import os

from svdam.core.processors import available_processors

# Both are read by TensorFlow once, so they are set before it is loaded; what the user set stays.
# On processors without AVX-512, TensorFlow uses oneDNN only if told to, and a step of the search
# takes about twice as long without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# It sees the processors of the machine, but not the quota of a container.
if available_processors() < len(os.sched_getaffinity(0)):
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(available_processors()))

__version__ = "0.1.0"
