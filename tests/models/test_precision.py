"""bfloat16 inside the networks, float32 around them; and how many latents fit into memory."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from svdam.core.validation import InputError
from svdam.explain.maximization import maximize
from svdam.explain.starts import latents_from_seeds
from svdam.models.classifier import build_svdnet
from svdam.models.generator import build_generator
from svdam.models.precision import use_mixed_bfloat16
from svdam.models.search_memory import bytes_per_latent, latents_at_once
from tests.explain.small_models import LATENT_SIZE, small_classifier, small_generator

SEARCH = dict(response="logit:1", learning_rate=0.05, prior_weight=0.01, num_steps=20)


def test_bfloat16_searches_end_where_those_in_float32_do():
    latents = latents_from_seeds(range(40), LATENT_SIZE)
    exact = maximize(small_generator(), small_classifier(), latents, **SEARCH)
    models = [use_mixed_bfloat16(model) for model in (small_generator(), small_classifier())]
    rounded = maximize(*models, latents, **SEARCH)
    for value in (rounded.latents, rounded.responses, rounded.response_history, rounded.examples):
        assert value.dtype == np.float32
    assert (rounded.responses != exact.responses).any()
    assert spearmanr(rounded.responses, exact.responses)[0] > 0.99
    assert len(np.unique(rounded.responses)) == 40, "responses are rounded to bfloat16"


def test_memory_of_a_latent_is_that_of_the_activations():
    """SVDNet and Table 1: at least both outputs of its first layers, at most a few times that."""
    models = [build_generator(), build_svdnet()]
    each = bytes_per_latent(models)
    first_maps = 4 * 2 * (113 * 78 * 64 + 111 * 76 * 32 + 128 * 80 * 8)
    assert first_maps < each < 3 * first_maps
    assert each == bytes_per_latent(models)
    half = bytes_per_latent([use_mixed_bfloat16(model) for model in models])
    assert 0.4 * each < half < 0.6 * each


def test_latents_at_once():
    models = [build_generator(), build_svdnet()]
    fits = latents_at_once(models, 4.0)
    assert 150 <= fits < 450
    assert 1.25 + fits * bytes_per_latent(models) / 2**30 <= 4.0
    assert latents_at_once(models, 4.0, results_bytes=2**30) < fits
    with pytest.raises(InputError, match=r"--max_memory: found 1 GiB, .* at least 1\.4"):
        latents_at_once(models, 1.0, results_bytes=10**8)
