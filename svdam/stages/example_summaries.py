"""What TensorBoard shows of synthesized examples and of real responses."""

import os
from collections.abc import Mapping

import numpy as np

from svdam.audio.inversion import log_mels_to_audio
from svdam.core.front_end import FrontEnd
from svdam.core.summaries import Summaries
from svdam.results.examples import AMResults
from svdam.results.responses import RealResponses

_SHEET = 16
_SOUNDS = 4
_CURVE_POINTS = 100  # Of a curve; a run of 1000 steps needs no more to be seen.
_HISTOGRAMS = 20
_HISTORIES = {
    "response": "responses",
    "log_prior": "log_priors",
    "gradient_norm": "gradient_norms",
    "latent_norm": "latent_norms",
}


class LiveSummaries:
    """What TensorBoard shows of latents while they are searched; a context manager.

    Curves and distributions over the latents. `write_summaries` replaces them by those of each
    configuration, once all are found.
    """

    def __init__(self, folder: str | os.PathLike, num_steps: int):
        """``num_steps``: length of the search, which decides how often something is written."""
        self._summaries = Summaries(folder, replace=True)  # Of an attempt that was stopped.
        self._step = 0
        self._wanted = _spread(num_steps, _CURVE_POINTS)

    def __enter__(self) -> "LiveSummaries":
        return self

    def __exit__(self, *exception) -> None:
        self._summaries.__exit__(*exception)

    def add(self, history: Mapping[str, np.ndarray]) -> None:
        """The next steps: ``NAME_history`` of each of the curves, (steps, latents)."""
        count = len(history["response_history"])
        for step in self._wanted:
            if self._step <= step < self._step + count:
                row = step - self._step
                _response_curves(self._summaries, history["response_history"][row], step)
                for name in _HISTORIES:
                    self._summaries.histogram(name, history[f"{name}_history"][row], step)
        self._step += count


def write_summaries(folder: str | os.PathLike, results: AMResults) -> None:
    """Writes curves, distributions, examples, sounds and the hyper-parameters.

    Each configuration has a folder of its own below ``folder``, as the HParams dashboard wants it.
    What an earlier run and `LiveSummaries` left there is removed first: it would be shown twice.
    """
    with Summaries(folder, replace=True) as summaries:
        summaries.configuration(results.provenance)
        start = results.start_examples
        _examples(summaries, "examples/start", start, 0, _SOUNDS, results.front_end)
    for index, configuration in enumerate(results.configurations):
        with Summaries(os.path.join(folder, configuration.folder_name)) as summaries:
            summaries.hparams(vars(configuration), _metrics(results, index))
            _way(summaries, results, index)
            sounds = _SOUNDS if len(results.configurations) == 1 else 1
            _examples(
                summaries,
                f"examples/{results.direction}",
                results.examples[index],
                configuration.num_steps,
                sounds,
                results.front_end,
            )


def write_response_summaries(folder: str | os.PathLike, real: RealResponses) -> None:
    """Writes the distribution of the real responses and their extremes, with sounds.

    What an earlier run left there is removed first.
    """
    with Summaries(folder, replace=True) as summaries:
        summaries.configuration(real.provenance)
        summaries.histogram("responses/real", real.responses, 0)
        for name, extremes in (("highest", real.highest), ("lowest", real.lowest)):
            summaries.histogram(f"responses/{name}", extremes.responses, 0)
            excerpts = extremes.excerpts[..., np.newaxis]
            _examples(summaries, f"real/{name}", excerpts, 0, _SOUNDS, real.front_end)


def _metrics(results: AMResults, index: int) -> dict[str, float]:
    responses = results.responses[index]
    return {
        "response_mean": float(responses.mean()),
        "response_variance": float(responses.var(ddof=1)) if len(responses) > 1 else 0.0,
        "log_prior_mean": float(results.log_priors[index].mean()),
    }


def _way(summaries: Summaries, results: AMResults, index: int) -> None:
    """How a configuration's examples got where they are: curves, and distributions over them."""
    history = results.history(index)
    for step in _spread(len(history), _CURVE_POINTS):
        _response_curves(summaries, history[step], step)
    for name, which in _HISTORIES.items():
        values = results.history(index, which)
        for step in _spread(len(values), _HISTOGRAMS):
            summaries.histogram(name, values[step], step)


def _response_curves(summaries: Summaries, responses: np.ndarray, step: int) -> None:
    summaries.scalars(
        {
            "response/mean": responses.mean(),
            "response/lowest": responses.min(),
            "response/highest": responses.max(),
        },
        step,
    )


def _spread(count: int, points: int) -> list[int]:
    """At most ``points`` of the numbers below ``count``, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, points).round().astype(int)).tolist()


def _examples(
    summaries: Summaries,
    name: str,
    examples: np.ndarray,
    step: int,
    sounds: int,
    front_end: FrontEnd | None,
) -> None:
    """Pictures of what is a spectrogram, (batch, frames, mels, 1), and sounds of log-mel."""
    if examples.ndim != 4 or examples.shape[-1] != 1:
        return
    summaries.log_mels(name, examples[:_SHEET], step, columns=4)
    if front_end is not None and examples.shape[2] == front_end.num_mels:
        samples = log_mels_to_audio(examples[:sounds, ..., 0], front_end=front_end)
        # A name of its own: TensorBoard shows one kind of thing under each.
        summaries.audio(f"sounds/{name}", samples, step, front_end.sample_rate)
