"""Functions of Keras 2 whose values have changed in Keras 3, for models that were imported.

Importing this module registers them with Keras, which then finds them in ``.keras`` files.
"""

import keras


@keras.saving.register_keras_serializable("svdam")
def keras2_hard_sigmoid(x):
    """The ``hard_sigmoid`` of Keras 2: 0.2 x + 0.5, from 0 to 1. That of Keras 3 is x / 6 + 0.5."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
