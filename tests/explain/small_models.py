"""Models that are neither SVDNet nor Table 1, for excerpts of another size."""

import contextlib

import keras

LATENT_SIZE = 6
EXCERPT = (24, 20, 1)


def small_generator(excerpt=EXCERPT, seed=3):
    """From (batch, 6) latents to excerpts."""
    keras.utils.set_random_seed(seed)
    latent = keras.Input((LATENT_SIZE,))
    size = excerpt[0] * excerpt[1] * excerpt[2]
    x = keras.layers.Dense(size, activation="tanh", kernel_initializer="orthogonal")(latent)
    return keras.Model(latent, keras.layers.Reshape(excerpt)(x))


def small_classifier(excerpt=EXCERPT, seed=4):
    """From excerpts to two outputs, smooth everywhere."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input(excerpt)
    x = keras.layers.Conv2D(3, 3, activation="tanh", name="conv1")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(4, activation="softplus", name="fc1")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="logit")(x))


def save_small_models(folder):
    """Writes both; returns the flags that name them."""
    small_generator().save(folder / "generator.keras")
    small_classifier().save(folder / "classifier.keras")
    return {
        "generator": str(folder / "generator.keras"),
        "classifier": str(folder / "classifier.keras"),
    }


def command_line(flags):
    """Arguments for a command."""
    return [f"--{name}={value}" for name, value in flags.items()]


@contextlib.contextmanager
def double_precision():
    """Models made within compute in float64."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(before)
