"""One song's spectrogram, prediction and truth in one picture."""

import numpy as np

from svdam.core.config import FRONT_END, FrontEnd

_SHOWN_RANGE = 12.0  # Natural logarithms below the loudest cell; digital silence is far below.
_MAX_COLUMNS = 1400  # Of the picture's spectrogram; longer songs are thinned by their maxima.


def detection_chart(
    prediction: np.ndarray,
    label: np.ndarray,
    threshold: float,
    title: str,
    *,
    smoothed: np.ndarray | None = None,
    log_mel: np.ndarray | None = None,
    front_end: FrontEnd = FRONT_END,
) -> np.ndarray:
    """Draws the chart.

    Args:
        prediction: (frames,) probability of singing.
        label: (frames,) bool.
        threshold: Drawn as a line.
        title: Name of the song and its scores.
        smoothed: (frames,) median-filtered prediction; the prediction is then drawn paler.
        log_mel: (frames, num_mels) spectrogram above them; None for none.
        front_end: Front-end settings.

    Returns:
        (height, width, 3) uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from svdam.report.style import printable

    rows = 2 if log_mel is not None and len(log_mel) else 1
    figure = Figure(figsize=(12, 2 + 2 * rows), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    duration_secs = len(prediction) / front_end.frames_per_second
    if log_mel is not None and rows == 2:
        _draw_spectrogram(axes[0], log_mel, duration_secs, front_end)
    _draw_curves(axes[-1], prediction, smoothed, label, threshold, front_end)
    axes[-1].set_xlim(0, max(duration_secs, 1e-3))
    axes[-1].set_xlabel("Time (s)")
    axes[0].set_title(printable(title), fontsize=10)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_spectrogram(axis, log_mel: np.ndarray, duration_secs: float, front_end: FrontEnd) -> None:
    from svdam.core.front_end import hz_to_mel

    stride = -(-len(log_mel) // _MAX_COLUMNS)
    starts = np.arange(0, len(log_mel), stride)
    shown = np.maximum.reduceat(np.asarray(log_mel, np.float32), starts, axis=0)
    low, high = hz_to_mel(front_end.min_hz), hz_to_mel(front_end.max_hz)
    axis.imshow(
        shown.T,
        origin="lower",
        aspect="auto",
        vmin=max(shown.min(), shown.max() - _SHOWN_RANGE),
        cmap="jet",
        extent=(0, duration_secs, low, high),
        interpolation="nearest",
    )
    ticks_hz = [hz for hz in (100, 500, 1000, 2000, 4000, 8000) if hz <= front_end.max_hz]
    axis.set_yticks([hz_to_mel(hz) for hz in ticks_hz], [str(hz) for hz in ticks_hz])
    axis.set_ylabel("Frequency (Hz)")


def _draw_curves(axis, prediction, smoothed, label, threshold, front_end: FrontEnd) -> None:
    times_secs = np.arange(len(prediction)) / front_end.frames_per_second
    axis.fill_between(
        times_secs, 0, label.astype(float), step="post", color="0.85", lw=0, label="singing (truth)"
    )
    pale = smoothed is not None
    axis.plot(
        times_secs, prediction, lw=0.6, color="C0", alpha=0.4 if pale else 1, label="prediction"
    )
    if pale:
        axis.plot(times_secs, smoothed, lw=1.2, color="C3", label="smoothed")
    axis.axhline(threshold, ls="--", lw=0.8, color="k", label=f"threshold {threshold:.2f}")
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("Probability of singing")
    axis.legend(loc="upper right", ncols=4, fontsize=8)
