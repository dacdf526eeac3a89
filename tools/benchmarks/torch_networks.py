"""The networks in PyTorch, with the weights of the Keras ones: what the benchmarks compare with.

Written as a PyTorch user would: plain modules, channels last in memory, shapes (batch, channel,
time, mel). TensorFlow's "same" padding at stride 2 is not symmetric for odd kernels, so time is
padded, or cut, by hand.
"""

import keras
import numpy as np
import torch
from torch import nn

from svdam.core.config import FRONT_END
from svdam.models.generator import CROP, FIRST_SHAPE


class Generator(nn.Module):
    """Table 1."""

    def __init__(self, model: keras.Model):
        super().__init__()
        # Features of the dense layer from (time, mel, channel) to (channel, time, mel).
        order = np.arange(np.prod(FIRST_SHAPE)).reshape(FIRST_SHAPE).transpose(2, 0, 1).ravel()
        kernel, bias = model.get_layer("dense").get_weights()
        self.dense = _linear(kernel[:, order], bias[order])
        self.ups = nn.ModuleList(_doubling(model.get_layer(f"up{i}")) for i in range(1, 5))
        self.out = _convolution(model.get_layer("out"), padding=2)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        time, mel, channels = FIRST_SHAPE
        x = nn.functional.leaky_relu(self.dense(latents), 0.2).view(-1, channels, time, mel)
        x = x.contiguous(memory_format=torch.channels_last)
        for up in self.ups:
            x = up(x)[:, :, : 2 * x.shape[2]]
            x = nn.functional.leaky_relu(x, 0.2)
        x = torch.clamp(self.out(x), min=FRONT_END.silence)
        return x[:, :, CROP[0] : -CROP[1]]


class Classifier(nn.Module):
    """SVDNet, Table 4, with its standardisation; without dropout."""

    def __init__(self, model: keras.Model):
        super().__init__()
        statistics = model.get_layer("standardise")
        mean, std = np.ravel(statistics.mean), np.sqrt(np.ravel(statistics.variance))
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        self.convs = nn.ModuleList(
            _convolution(model.get_layer(f"conv{i}_pre")) for i in range(1, 5)
        )
        time, mel, channels = model.get_layer("pool2").output.shape[1:]
        kernel, bias = model.get_layer("fc1_pre").get_weights()
        kernel = kernel.reshape(time, mel, channels, -1).transpose(2, 0, 1, 3)
        self.fc1 = _linear(kernel.reshape(time * mel * channels, -1), bias)
        self.fc2 = _linear(*model.get_layer("fc2_pre").get_weights())
        self.logit = _linear(*model.get_layer("logit").get_weights())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.mean) / self.std
        for number, conv in enumerate(self.convs, 1):
            x = nn.functional.leaky_relu(conv(x), 0.01)
            if number % 2 == 0:
                x = nn.functional.max_pool2d(x, 3)
        x = nn.functional.leaky_relu(self.fc1(x.flatten(1)), 0.01)
        x = nn.functional.leaky_relu(self.fc2(x), 0.01)
        return self.logit(x)


class Critic(nn.Module):
    """Table 2."""

    def __init__(self, model: keras.Model):
        super().__init__()
        layers = [model.get_layer(f"conv{i}") for i in range(1, 5)]
        self.convs = nn.ModuleList(
            _convolution(layer, stride=2, padding=(0, layer.kernel_size[1] // 2 - 1))
            for layer in layers
        )
        time, mel, channels = layers[-1].output.shape[1:]
        (kernel,) = model.get_layer("score").get_weights()
        kernel = kernel.reshape(time, mel, channels, 1).transpose(2, 0, 1, 3)
        self.score = _linear(kernel.reshape(-1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.pad(x, (0, 0, *CROP))
        for conv in self.convs:
            x = nn.functional.pad(x, (0, 0, 1, 2))
            x = nn.functional.leaky_relu(conv(x), 0.2)
        return self.score(x.flatten(1))


def _linear(kernel: np.ndarray, bias: np.ndarray | None = None) -> nn.Linear:
    layer = nn.Linear(*kernel.shape, bias=bias is not None)
    _fill(layer.weight, kernel.T)
    if bias is not None:
        _fill(layer.bias, bias)
    return layer


def _convolution(layer: keras.layers.Conv2D, **options) -> nn.Conv2d:
    kernel, bias = layer.get_weights()
    height, width, inputs, outputs = kernel.shape
    made = nn.Conv2d(inputs, outputs, (height, width), **options)
    _fill(made.weight, kernel.transpose(3, 2, 0, 1))
    _fill(made.bias, bias)
    return made.to(memory_format=torch.channels_last)


def _doubling(layer: keras.layers.Conv2DTranspose) -> nn.ConvTranspose2d:
    """Cuts (k - 2) // 2 at both ends; an odd kernel leaves one row too many at the end."""
    kernel, bias = layer.get_weights()
    height, width, outputs, inputs = kernel.shape
    padding = ((height - 2) // 2, (width - 2) // 2)
    made = nn.ConvTranspose2d(inputs, outputs, (height, width), 2, padding)
    _fill(made.weight, kernel.transpose(3, 2, 0, 1))
    _fill(made.bias, bias)
    return made.to(memory_format=torch.channels_last)


def _fill(parameter: nn.Parameter, values: np.ndarray) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))
