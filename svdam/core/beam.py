"""Apache Beam, for work on independent elements that leaves its results in files.

Elements are handed to a stage, on whatever Beam runner; nothing comes back through Beam, so any
runner whose workers reach the files can do the work. Importing this module does not load Beam.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from svdam.core.validation import InputError, one_line

_POLL_SECS = 0.2


class Stage(Protocol):
    """What a Beam worker does with each element. It must be picklable."""

    def process(self, element: Any) -> None:
        """Does the work for one element."""


def run_stage(
    elements: Iterable[Any],
    stage: Stage,
    runner: str,
    options: Iterable[str] = (),
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Runs ``stage.process`` on every element and waits for the end.

    Args:
        elements: Picklable.
        stage: What to do.
        runner: Name of a Beam runner; ``DirectRunner`` is this process.
        options: Of the runner, as ``--name=value``.
        watch: Called some times a second while the work goes on, to move a progress bar.

    Raises:
        InputError: What a stage of a DirectRunner raised, or the runner's failure in one line.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _run_pipeline(list(elements), stage, runner, options)
        except BaseException as error:  # Handed on to the waiting thread.
            failures.append(error)

    thread = threading.Thread(target=run, name="beam", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_SECS)
        watch()
    if failures:
        error = failures[0]
        if isinstance(error, InputError):
            raise error
        raise InputError(f"--beam_runner={runner}: {one_line(error)}") from error


def _run_pipeline(elements: list[Any], stage: Stage, runner: str, options: Iterable[str]) -> None:
    with _quiet_logging():
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

    class Apply(beam.DoFn):
        """Calls the stage, which knows nothing of Beam."""

        def process(self, element: Any) -> None:
            stage.process(element)

    arguments = [f"--runner={runner}", *options]
    local = runner == "DirectRunner"
    if local:
        # Beam's own multi-processing would start slowly, and lose the job with a worker.
        arguments[1:1] = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
    with _quiet_logging() if local else contextlib.nullcontext():
        pipeline = beam.Pipeline(options=PipelineOptions(arguments))
        _ = pipeline | beam.Create(elements) | beam.Reshuffle() | beam.ParDo(Apply())
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
