"""Run folders of a small grid whose best configuration is known, without any model."""

import numpy as np

from svdam.core.runs import start_run
from svdam.evaluation.ranking import Configuration
from svdam.results.examples import AMResults, write_results
from svdam.results.responses import RealResponses, TopExcerpts, write_responses
from svdam.stages.collect_responses import ResponseSettings
from svdam.stages.maximize_activation import SearchSettings

NUM_EXAMPLES = 6
REAL_MEAN = 9.0
GRID_MEANS = {
    Configuration(0.1, 0.01, 10): 70.0,
    Configuration(0.1, 0.01, 20): 90.0,
    Configuration(0.01, 0.01, 10): 2.0,
    Configuration(0.01, 0.01, 20): 8.9,
}


def excerpts(seed, count=NUM_EXAMPLES):
    """Noise with a ridge, (count, 115, 80)."""
    log_mels = np.random.default_rng(seed).normal(-8, 1, size=(count, 115, 80))
    log_mels[:, :, 10 + seed % 20] += 5
    return log_mels.astype(np.float32)


def sigmoid(responses):
    return (0.5 * (1 + np.tanh(0.5 * responses))).astype(np.float32)


def write_search(folder, direction="max", means=None, **changes):
    """A run of maximize_activation; ``means`` gives each configuration's mean response."""
    means = means or GRID_MEANS
    rng = np.random.default_rng(7)
    spread = rng.normal(size=NUM_EXAMPLES)
    rates = list(dict.fromkeys(one.learning_rate for one in means))
    weights = list(dict.fromkeys(one.prior_weight for one in means))
    steps = list(dict.fromkeys(one.num_steps for one in means))
    pairs = list(dict.fromkeys((one.learning_rate, one.prior_weight) for one in means))
    longest = max(steps)
    history = np.zeros((len(pairs), longest + 1, NUM_EXAMPLES), np.float32)
    responses = np.stack([mean + spread for mean in means.values()]).astype(np.float32)
    latents = rng.normal(size=(len(means), NUM_EXAMPLES, 128)).astype(np.float32)
    values = dict(
        configurations=list(means),
        response="logit",
        direction=direction,
        seeds=np.arange(NUM_EXAMPLES),
        start_latents=latents[0],
        start_examples=excerpts(0)[..., np.newaxis],
        start_responses=spread.astype(np.float32),
        latents=latents,
        examples=np.stack([excerpts(i + 1) for i in range(len(means))])[..., np.newaxis],
        responses=responses,
        log_priors=np.full((len(means), NUM_EXAMPLES), -180, np.float32),
        history_rates=np.array([rate for rate, _ in pairs]),
        history_weights=np.array([weight for _, weight in pairs]),
        history_responses=history,
        history_log_priors=history,
        history_gradient_norms=history,
        history_latent_norms=history,
        provenance={"made": "by hand"},
        start_probabilities=sigmoid(spread),
        probabilities=sigmoid(responses),
    )
    settings = SearchSettings(
        output=str(folder),
        direction=direction,
        learning_rates=tuple(rates),
        prior_weights=tuple(weights),
        num_steps=tuple(steps),
        seeds=f"0-{NUM_EXAMPLES - 1}",
        prior="released_code",
    )
    with start_run(folder, "maximize_activation", settings) as run:
        write_results(run.folder, AMResults(**{**values, **changes}))
        run.mark_complete()
    return folder


def write_real(folder, response="logit", song="one song", **options):
    """A run of collect_responses with 40 excerpts."""
    rng = np.random.default_rng(8)
    responses = np.sort(rng.normal(0, 1, 40))
    top = np.random.default_rng(7).normal(size=NUM_EXAMPLES)
    responses[-NUM_EXAMPLES:] = np.sort(REAL_MEAN + top)
    responses = responses.astype(np.float32)

    def extremes(indices, seed):
        return TopExcerpts(
            responses=responses[indices],
            probabilities=(1 / (1 + np.exp(-responses[indices]))).astype(np.float32),
            song=np.zeros(len(indices), np.int64),
            first_frame=np.asarray(indices, np.int64) * 50,
            excerpts=excerpts(seed),
        )

    count = len(responses)
    real = RealResponses(
        response=response,
        song_ids=[song],
        responses=responses,
        song=np.zeros(count, np.int64),
        first_frame=np.arange(count) * 50,
        highest=extremes(range(count - 1, count - 1 - NUM_EXAMPLES, -1), 30),
        lowest=extremes(range(NUM_EXAMPLES), 31),
        provenance={},
    )
    settings = ResponseSettings(
        output=str(folder), response=response, top_n=NUM_EXAMPLES, **options
    )
    with start_run(folder, "collect_responses", settings) as run:
        write_responses(run.folder, real)
        run.mark_complete()
    return folder
