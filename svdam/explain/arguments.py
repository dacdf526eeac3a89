"""Arguments of a search that are scalars or have one value per latent, checked and spread."""

from collections.abc import Sequence

import numpy as np

from svdam.core.validation import InputError, require_finite


def per_latent(
    name: str, value, batch: int, minimum: float | None = None, above: float | None = None
) -> np.ndarray:
    """Numbers, one per latent.

    Returns:
        (batch,) float64.

    Raises:
        InputError: If the shape is another, or a value is not finite or out of range.
    """
    values = np.asarray(value, np.float64)
    if values.shape not in ((), (batch,)):
        raise InputError(f"{name}: found shape {values.shape}, expected a scalar or ({batch},)")
    require_finite(values, name)
    if (minimum is not None and (values < minimum).any()) or (
        above is not None and (values <= above).any()
    ):
        expected = f"at least {minimum}" if above is None else f"more than {above}"
        raise InputError(f"{name}: found {values.min():g}, expected {expected}")
    return np.broadcast_to(values, (batch,)).copy()


def signs_per_latent(direction: str | Sequence[str], batch: int) -> np.ndarray:
    """1 where the response is maximized, -1 where it is minimized.

    Returns:
        (batch,) float64.

    Raises:
        InputError: If a direction is neither ``max`` nor ``min``, or their number is another.
    """
    directions = [direction] * batch if isinstance(direction, str) else list(direction)
    for one in directions:
        require_choice("direction", one, ("max", "min"))
    if len(directions) != batch:
        raise InputError(f"direction: found {len(directions)}, expected one, or one per latent")
    return np.array([1.0 if one == "max" else -1.0 for one in directions])


def places_per_latent(
    places: Sequence[int] | np.ndarray | None, num_responses: int, batch: int
) -> np.ndarray:
    """Which of several responses each latent drives.

    Args:
        places: Positions in the list of responses; None where there is one response only.
        num_responses: Length of that list.
        batch: Number of latents.

    Returns:
        (batch,) int32.

    Raises:
        InputError: If positions are missing, or out of range.
    """
    if places is None and num_responses == 1:
        return np.zeros(batch, np.int32)
    if places is None:
        raise InputError(
            f"places: found none, but there are {num_responses} responses; expected for each "
            "latent the position of the one that it drives"
        )
    found = np.asarray(places)
    if found.shape != (batch,) or found.dtype.kind not in "iu":
        raise InputError(
            f"response: found {found.size} for {batch} latents, expected one, or one per latent"
        )
    if found.min() < 0 or found.max() >= num_responses:
        raise InputError(
            f"places: found {found.min()} to {found.max()}, expected 0 to {num_responses - 1}"
        )
    return found.astype(np.int32)


def validate_steps(num_steps: int, snapshot_steps: Sequence[int]) -> list[int]:
    """The steps to stop at, in order: those of the snapshots, and the last.

    Raises:
        InputError: If one is out of range.
    """
    if num_steps < 0 or any(not 0 <= step <= num_steps for step in snapshot_steps):
        raise InputError(
            f"num_steps: found {num_steps} with snapshots at {list(snapshot_steps)}, expected "
            "steps from 0 to num_steps"
        )
    return sorted({*snapshot_steps, num_steps})


def require_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises InputError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise InputError(f"--{flag}: found {value!r}, expected one of {', '.join(choices)}")
