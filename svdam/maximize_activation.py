"""Synthesises sounds that drive a neuron up or down (eq. 2), for one configuration or a grid.

    python -m svdam.maximize_activation --flagfile=flags/grid.cfg    the paper's 27 configurations
    python -m svdam.maximize_activation --flagfile=flags/am.cfg      one configuration

Stopped and started again with the same command, it goes on where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.explain.settings import SearchSettings

define_flags(SearchSettings)


def main() -> None:
    """Reads the flags and searches."""
    settings = settings_from_flags(SearchSettings)

    from svdam.core.files import checksum
    from svdam.core.runs import start_run
    from svdam.explain.grid import remove_chunks, search
    from svdam.explain.results import write_results
    from svdam.explain.watching import write_summaries
    from svdam.models.loading import load_model, model_path

    generator = load_model(settings.generator, "generator")
    classifier = load_model(settings.classifier, "classifier")
    models = {
        "generator_sha256": checksum(model_path(settings.generator, "generator")),
        "classifier_sha256": checksum(model_path(settings.classifier, "classifier")),
    }
    with start_run(settings.output, "maximize_activation", settings, models) as run:
        results = search(settings, generator, classifier, run)
        write_results(run.folder, results)
        write_summaries(run.folder, results)
        before, after = results.start_responses.mean(), results.responses.mean(axis=1)
        run.mark_complete({"configurations": len(after), "examples": len(results.seeds)})
        remove_chunks(run)
    print(f"{settings.response} of {len(results.seeds)} latents: mean {before:.3f} at the start")
    for configuration, mean in zip(results.configurations, after, strict=True):
        print(f"  {mean:10.3f}  after {configuration}")
    print(f"results: {run.folder}")


if __name__ == "__main__":
    run_command(main)
