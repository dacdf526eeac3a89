"""The colours of log-mel images."""

import matplotlib
import numpy as np
import pytest

from svdam.core.images import log_mel_image
from svdam.core.validation import InputError


def test_low_bands_are_at_the_bottom_and_time_runs_right():
    log_mel = np.full((6, 4), -16.0)
    log_mel[5, 0] = 2.0  # The last frame's lowest band.
    image = log_mel_image(log_mel)
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    reddest = np.unravel_index(np.argmax(image[..., 0].astype(int) - image[..., 2]), (4, 6))
    assert reddest == (3, 5)


def test_colours_are_the_map_that_matplotlib_calls_jet():
    ramp = np.linspace(-16, 4, 256)[None, :]
    expected = 255 * matplotlib.colormaps["jet"](np.arange(256))[:, :3]
    assert np.abs(log_mel_image(ramp)[::-1, 0].astype(float) - expected).max() < 2


def test_a_batch_is_drawn_one_by_one():
    batch = np.random.RandomState(0).normal(size=(3, 7, 5, 1)) * [[[[1]]], [[[5]]], [[[9]]]]
    images = log_mel_image(batch)
    for image, log_mel in zip(images, batch, strict=True):
        np.testing.assert_array_equal(image, log_mel_image(log_mel))


def test_silence_and_values_that_are_not_finite_are_drawn():
    darkest = log_mel_image(np.zeros((3, 2)))
    assert (darkest == darkest[0, 0]).all()
    log_mel = np.array([[0.0, 1.0], [np.nan, np.inf]])
    np.testing.assert_array_equal(
        log_mel_image(log_mel), log_mel_image(np.array([[0.0, 1.0], [0.0, 0.0]]))
    )


def test_given_limits_are_common_to_all():
    image = log_mel_image(np.array([[0.5, 0.5]]), minimum=0, maximum=1)
    np.testing.assert_array_equal(
        image[0, 0], log_mel_image(np.linspace(0, 1, 255)[:, None])[0, 127]
    )


@pytest.mark.parametrize("shape", [(3,), (0, 80), (2, 3, 4, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="expected"):
        log_mel_image(np.zeros(shape))
