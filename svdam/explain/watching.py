"""What TensorBoard shows of an activation maximization."""

import os

import numpy as np

from svdam.audio.inversion import log_mels_to_audio
from svdam.core.summaries import Summaries
from svdam.explain.results import AMResults, RealResponses

_SHEET = 16
_SOUNDS = 4
_POINTS = 100  # Of a curve; a run of 1000 steps needs no more to be seen.


def write_summaries(folder: str | os.PathLike, results: AMResults) -> None:
    """Writes curves, examples, sounds and the hyper-parameters of every configuration.

    Each configuration has a folder of its own below ``folder``, as the HParams dashboard wants it.
    """
    is_paper_excerpt = results.examples.shape[-2:] == (80, 1)
    with Summaries(folder) as summaries:
        summaries.configuration(results.provenance)
        summaries.log_mels("examples/start", results.start_examples[:_SHEET], 0, columns=4)
        if is_paper_excerpt:
            _sounds(summaries, "examples/start", results.start_examples)
    for index, configuration in enumerate(results.configurations):
        name = (
            f"rate={configuration.learning_rate:g},lambda={configuration.prior_weight:g},"
            f"steps={configuration.num_steps}"
        )
        with Summaries(os.path.join(folder, name)) as summaries:
            summaries.hparams(
                {
                    "learning_rate": configuration.learning_rate,
                    "prior_weight": configuration.prior_weight,
                    "num_steps": configuration.num_steps,
                },
                {
                    "response_mean": float(results.responses[index].mean()),
                    "response_variance": float(results.responses[index].var(ddof=1))
                    if len(results.seeds) > 1
                    else 0.0,
                    "log_prior_mean": float(results.log_priors[index].mean()),
                },
            )
            _curves(summaries, results, index)
            step = configuration.num_steps
            sheet = results.examples[index][:_SHEET]
            summaries.log_mels(f"examples/{results.direction}", sheet, step, columns=4)
            if is_paper_excerpt and len(results.configurations) == 1:
                _sounds(summaries, f"examples/{results.direction}", results.examples[index])


def write_response_summaries(folder: str | os.PathLike, real: RealResponses) -> None:
    """Writes the distribution of the real responses and their extremes, with sounds."""
    with Summaries(folder) as summaries:
        summaries.configuration(real.provenance)
        summaries.histogram("responses/real", real.responses, 0)
        for name, extremes in (("highest", real.highest), ("lowest", real.lowest)):
            summaries.histogram(f"responses/{name}", extremes.responses, 0)
            summaries.log_mels(f"real/{name}", extremes.excerpts[:_SHEET], 0, columns=4)
            _sounds(summaries, f"real/{name}", extremes.excerpts[..., np.newaxis])


def _curves(summaries: Summaries, results: AMResults, index: int) -> None:
    history = results.history(index)
    norms = np.linalg.norm(results.latents[index], axis=1)
    for step in np.unique(np.linspace(0, len(history) - 1, _POINTS).astype(int)):
        summaries.scalars(
            {
                "response/mean": history[step].mean(),
                "response/lowest": history[step].min(),
                "response/highest": history[step].max(),
            },
            int(step),
        )
    summaries.histogram("response", results.responses[index], len(history) - 1)
    summaries.histogram("log_prior", results.log_priors[index], len(history) - 1)
    summaries.histogram("latent_norm", norms, len(history) - 1)


def _sounds(summaries: Summaries, name: str, examples: np.ndarray) -> None:
    summaries.audio(name, log_mels_to_audio(examples[:_SOUNDS, ..., 0]), 0)
