"""The networks with the best score so far, kept beside the last ones: a GAN's score swings."""

from collections.abc import Callable
from pathlib import Path

from svdam.core.files import read_json, write_json

_RECORD = "score.json"


class BestNetworks:
    """Keeps networks in a folder, with their score in ``score.json``, while none is better."""

    def __init__(self, folder: Path, export: Callable[[Path], None]):
        """Goes on from what the folder holds.

        Args:
            folder: Where they are kept; made when the first score comes.
            export: Writes the networks as they are now into a folder.

        Raises:
            InputError: If the record of the score is damaged.
        """
        self._folder, self._export = folder, export
        kept = read_json(folder / _RECORD) if (folder / _RECORD).exists() else {}
        self._distance = kept.get("frechet_distance", float("inf"))

    def offer(self, iteration: int, distance: float) -> None:
        """Keeps the networks as they are now if their distance is smaller than all before."""
        if distance >= self._distance:
            return
        self._folder.mkdir(exist_ok=True)
        self._export(self._folder)
        # Last: whoever is killed before comes by this iteration again, and writes all again.
        write_json(self._folder / _RECORD, {"iteration": iteration, "frechet_distance": distance})
        self._distance = distance
