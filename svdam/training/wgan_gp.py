"""WGAN-GP (Gulrajani et al., 2017), as Section 3.3 of the paper trains its GAN.

Pure functions for the losses, and one compiled training iteration: ``critic_steps`` updates of the
critic and one of the generator, as the 600,000 of the paper are counted. All its random numbers are
a function of the seed and the iteration alone.

Several devices (replicas, in TensorFlow's words) share an iteration: each draws the random numbers
of the whole batch, takes its share of them and of the clips, and the gradients are summed, so the
result does not depend on the number of devices but by rounding.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from svdam.core.config import LATENT_SIZE
from svdam.training.cpu_form import cpu_form, suited_form
from svdam.training.settings import GanSettings


def wasserstein_estimate(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """E D(real) - E D(fake): the critic's estimate of the distance, which it maximises."""
    return tf.reduce_mean(real_scores) - tf.reduce_mean(fake_scores)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    positions: tf.Tensor,
) -> tf.Tensor:
    """E (|grad D(x)| - 1)^2 at points x between real and generated clips.

    Args:
        critic: From (batch, ...) clips to (batch, 1) scores.
        real: (batch, ...) real clips.
        fake: (batch, ...) generated clips.
        positions: (batch,) in [0, 1]; 1 is the real clip, 0 the generated one.

    Returns:
        Scalar, not weighted.
    """
    positions = tf.reshape(positions, [-1] + [1] * (real.shape.rank - 1))
    points = fake + positions * (real - fake)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(points)
        scores = critic(points)
    gradients = tf.cast(tape.gradient(scores, points), tf.float32)
    squared = tf.reduce_sum(tf.square(gradients), axis=list(range(1, real.shape.rank)))
    # The square root has no derivative at 0, where a critic that ignores its input stands.
    norms = tf.sqrt(tf.maximum(squared, 1e-20))
    return tf.reduce_mean(tf.square(norms - 1))


def generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """-E D(fake), which the generator minimises."""
    return -tf.reduce_mean(fake_scores)


def ema_momentum(momentum: float, iteration: tf.Tensor) -> tf.Tensor:
    """Momentum of the moving average after an iteration: at first less, or it would never forget.

    Until ``momentum`` is reached, the average is one over about the last tenth of all iterations.
    """
    return tf.minimum(momentum, iteration / (iteration + 9))


class GanTrainer:
    """Both networks, their optimisers, and one training iteration.

    Attributes:
        generator: The generator; Keras's own layers, to save and to sample from.
        critic: The critic.
        averaged: The generator with the moving average of its weights (Yazici et al., 2019), which
            is steadier than the generator; the same weights at a momentum of 0.
        generator_optimizer: Adam.
        critic_optimizer: Adam.
        strategy: The distribution strategy under whose scope the trainer was made.
    """

    def __init__(
        self,
        settings: GanSettings,
        generator: keras.Model,
        critic: keras.Model,
        use_cpu_form: bool | None = None,
    ):
        """Takes built networks, made under the scope of the current distribution strategy.

        Args:
            settings: See `GanSettings`.
            generator: From latents to excerpts.
            critic: From excerpts to scores.
            use_cpu_form: Whether to compute convolutions as suits a CPU (see `cpu_form`); if there
                is no GPU by default.
        """
        self.generator, self.critic = generator, critic
        self.averaged = keras.models.clone_model(generator)
        self.averaged.set_weights(generator.get_weights())
        self.strategy = tf.distribute.get_strategy()
        self._settings = settings
        forms = {None: suited_form, True: cpu_form, False: lambda model: model}
        form = forms[use_cpu_form]
        self._generate, self._criticise = form(generator), form(critic)
        self.generator_optimizer, self.critic_optimizer = (
            keras.optimizers.Adam(rate, beta_1=settings.beta_1, beta_2=settings.beta_2)
            for rate in settings.learning_rates
        )
        self.generator_optimizer.build(generator.trainable_variables)
        self.critic_optimizer.build(critic.trainable_variables)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that makes up the state."""
        networks = (self.generator, self.critic, self.averaged)
        parts = (*networks, self.generator_optimizer, self.critic_optimizer)
        return [variable.value for part in parts for variable in part.variables]

    @tf.function
    def iterate(self, clips: tf.Tensor, iteration: tf.Tensor) -> dict[str, tf.Tensor]:
        """One iteration.

        Args:
            clips: (critic_steps, batch, frames, bands, 1) real clips of all devices together.
            iteration: Its number, int64, from 0.

        Returns:
            Scalars: losses and gradient norms; the critic's are those of its last step.
        """
        base = tf.stack([tf.constant(self._settings.seed, tf.int64), iteration])
        critic_metrics = self._on_all_devices(self._critic_step, clips[0], _fold(base, 0))
        for step in tf.range(1, self._settings.critic_steps):
            critic_metrics = self._on_all_devices(self._critic_step, clips[step], _fold(base, step))
        critic_metrics.update(self._after_critic_steps(clips[0], iteration))
        seed = _fold(base, self._settings.critic_steps)
        generator_metrics = self._on_all_devices(self._generator_step, seed)
        self._update_average(iteration)
        return {**critic_metrics, **generator_metrics}

    def _on_all_devices(self, step: Callable, *arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs a step on each device; its results are the same on all."""
        results = self.strategy.run(step, args=arguments)
        return {
            name: self.strategy.experimental_local_results(value)[0]
            for name, value in results.items()
        }

    def _critic_step(self, real: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        real = share_of_device(real)
        fake = tf.cast(self._generate(self._latents(seed), training=True), tf.float32)
        variables = self.critic.trainable_variables
        with tf.GradientTape() as tape:
            # One pass for both: each kernel's gradient is then a sum of two terms, this and the
            # penalty's. TensorFlow adds three in whichever order they come, and rounds differently.
            scores = self._scores(tf.concat([real, fake], axis=0))
            real_scores, fake_scores = tf.split(scores, 2)
            losses = self._critic_losses(real_scores, fake_scores, real, fake, seed)
        gradients = mean_over_devices(tape.gradient(losses["critic_loss"], variables))
        update_variables(self.critic_optimizer, gradients, variables)
        losses = dict(zip(losses, mean_over_devices(list(losses.values())), strict=True))
        return {**losses, "critic_gradient_norm": tf.linalg.global_norm(gradients)}

    def _critic_losses(
        self,
        real_scores: tf.Tensor,
        fake_scores: tf.Tensor,
        real: tf.Tensor,
        fake: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """What the critic minimises, as ``critic_loss``, and what it is made of."""
        distance = wasserstein_estimate(real_scores, fake_scores)
        positions = tf.random.stateless_uniform((self._settings.batch_size,), _fold(seed, 1))
        penalty = gradient_penalty(self._scores, real, fake, share_of_device(positions))
        loss = self._settings.gradient_penalty * penalty - distance
        return {"wasserstein_estimate": distance, "gradient_penalty": penalty, "critic_loss": loss}

    def _after_critic_steps(self, real: tf.Tensor, iteration: tf.Tensor) -> dict[str, tf.Tensor]:
        """What else an iteration does to the critic: nothing here."""
        return {}

    def _generator_loss(self, fake_scores: tf.Tensor) -> tf.Tensor:
        return generator_loss(fake_scores)

    def _generator_step(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        variables = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            fake = tf.cast(self._generate(self._latents(seed), training=True), tf.float32)
            loss = self._generator_loss(self._scores(fake))
        gradients = mean_over_devices(tape.gradient(loss, variables))
        update_variables(self.generator_optimizer, gradients, variables)
        return {
            "generator_loss": mean_over_devices([loss])[0],
            "generator_gradient_norm": tf.linalg.global_norm(gradients),
            "output_minimum": tf.reduce_min(_from_all_devices(tf.reduce_min(fake))),
            "output_maximum": tf.reduce_max(_from_all_devices(tf.reduce_max(fake))),
        }

    def _update_average(self, iteration: tf.Tensor) -> None:
        momentum = ema_momentum(self._settings.ema_momentum, tf.cast(iteration, tf.float32))
        for average, variable in zip(
            self.averaged.variables, self.generator.variables, strict=True
        ):
            self.strategy.extended.update(
                average.value,
                lambda old, new: old.assign(momentum * old + (1 - momentum) * new),
                args=(variable.value,),
            )

    def _latents(self, seed: tf.Tensor) -> tf.Tensor:
        shape = (self._settings.batch_size, LATENT_SIZE)
        return share_of_device(tf.random.stateless_normal(shape, seed))

    def _scores(self, clips: tf.Tensor) -> tf.Tensor:
        return tf.cast(self._criticise(clips, training=True), tf.float32)


def _fold(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """A seed of its own for each purpose."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def share_of_device(batch: tf.Tensor) -> tf.Tensor:
    """This device's share of what was drawn for all."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return batch
    shape = batch.shape.as_list()
    shape[0] //= context.num_replicas_in_sync
    start = context.replica_id_in_sync_group * shape[0]
    return tf.slice(batch, [start] + [0] * (len(shape) - 1), shape)


def mean_over_devices(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Means over equal shares of a batch become means over the batch, on every device."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def _from_all_devices(value: tf.Tensor) -> tf.Tensor:
    """(devices,) values of a scalar."""
    context = tf.distribute.get_replica_context()
    value = tf.reshape(value, (1,))
    return value if context.num_replicas_in_sync == 1 else context.all_gather(value, axis=0)


def update_variables(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], variables: list
) -> None:
    """Updates variables with gradients that are means over all devices already."""
    number = tf.distribute.get_replica_context().num_replicas_in_sync
    if number > 1:
        # On a device, Keras's optimisers sum over all, whatever they are given.
        gradients = [gradient / number for gradient in gradients]
    optimizer.apply(gradients, variables)
