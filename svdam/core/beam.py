"""Work on independent elements that leaves its results in files: here, or by Apache Beam.

A `Stage` does the work. It is given its elements in this process or, with the name of a Beam
runner, by Beam's workers; nothing comes back through Beam, so any runner whose workers reach the
files can do the work. Importing this module does not load Beam.
"""

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from svdam.core.validation import InputError, one_line

DIRECT_RUNNER = "DirectRunner"
_POLL_SECS = 0.2
_POLL_SHARE = 100  # Watching takes at most one part in this number of the time.


Advance = Callable[[int], object]
"""What a stage calls with the number of things that it has done, to move a progress bar."""


def ignore(count: int) -> None:
    """An `Advance` that nobody watches."""


class Stage:
    """What is done with elements. Picklable for Beam, each of whose threads has its own."""

    def process(self, element: Any, advance: Advance = ignore) -> None:
        """Does the work for one element."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends what `process` started, as other processes."""


def run_stage(
    elements: Iterable[Any],
    stage: Stage,
    runner: str | None = None,
    options: Iterable[str] = (),
    advance: Advance = ignore,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Runs ``stage.process`` on every element and waits for the end.

    Args:
        elements: Picklable for Beam.
        stage: What to do.
        runner: Name of a Beam runner; None for this process, without Beam.
        options: Of the runner, as ``--name=value``.
        advance: Handed to the stage in this process.
        watch: With Beam, called some times a second while the work goes on, less often if it takes
            its time: to move a progress bar.

    Raises:
        InputError: What a stage raised, or the runner's failure in one line.
    """
    if runner is None:
        try:
            for element in elements:
                with _way_out():
                    stage.process(element, advance)
        finally:
            stage.close()
        return
    elements = list(elements)
    if not elements:
        return
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _run_pipeline(elements, stage, runner, options)
        except BaseException as error:  # Handed on to the waiting thread.
            failures.append(error)

    thread = threading.Thread(target=run, name="beam", daemon=True)
    thread.start()
    _wait_for(thread, watch)
    if failures:
        raise _in_one_line(failures[0], runner) from failures[0]


@contextlib.contextmanager
def _way_out() -> Iterator[None]:
    """Tells errors, as of a full disk, that every other element would meet, too."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        reason = (error.strerror or one_line(error)).lower()
        raise InputError(
            f"{place}{reason}; fix this and run the same command again; finished work is kept"
        ) from error


def _wait_for(thread: threading.Thread, watch: Callable[[], None]) -> None:
    wait_secs = _POLL_SECS
    while thread.is_alive():
        thread.join(wait_secs)
        start = time.monotonic()
        watch()
        wait_secs = max(_POLL_SECS, _POLL_SHARE * (time.monotonic() - start))


def _in_one_line(error: BaseException, runner: str) -> InputError:
    if isinstance(error, InputError):  # A stage's own; Beam adds the name of its step.
        return InputError(re.sub(r" \[while running '[^']*'\]", "", str(error)))
    return InputError(f"--beam_runner={runner}: {one_line(error)}")


def _run_pipeline(elements: list[Any], stage: Stage, runner: str, options: Iterable[str]) -> None:
    with _quiet_logging():
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

    class Apply(beam.DoFn):
        """Calls a stage, which knows nothing of Beam."""

        def __init__(self, stage: Stage):
            self._stage = stage

        def process(self, element: Any) -> None:
            with _way_out():
                self._stage.process(element)

        def teardown(self) -> None:
            self._stage.close()

    local = runner == DIRECT_RUNNER
    with _quiet_logging() if local else contextlib.nullcontext():
        if local:
            # Beam's DirectRunner would first download a server, Prism, and try to run that; and its
            # multi-processing would start slowly, and lose the job with a worker.
            from apache_beam.runners.portability.fn_api_runner import FnApiRunner

            arguments = ["--direct_running_mode=in_memory", "--direct_num_workers=1", *options]
            pipeline = beam.Pipeline(FnApiRunner(), PipelineOptions(arguments))
        else:
            pipeline = beam.Pipeline(options=PipelineOptions([f"--runner={runner}", *options]))
        _ = pipeline | beam.Create(elements) | beam.Reshuffle() | beam.ParDo(Apply(stage))
        pipeline.run().wait_until_finish()


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Keeps Beam's notes on missing extras, and its copies of exceptions, off the screen."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(previous)
