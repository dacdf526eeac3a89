"""Stopping a long run politely: the work at hand is finished and saved first."""

import signal
import threading
from types import FrameType
from typing import Any


class Interruption:
    """Context in which SIGINT and SIGTERM only set `signal`; a second one acts as usual.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for other, handler in self._previous.items():
            signal.signal(other, handler)

    def raise_if_requested(self) -> None:
        """Raises KeyboardInterrupt if a signal has come."""
        if self.signal is not None:
            raise KeyboardInterrupt
