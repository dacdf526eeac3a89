"""Measures a response on every excerpt of real recordings, and keeps the most extreme.

    python -m svdam.collect_responses --flagfile=flags/responses.cfg

Writes responses.h5 (all responses; the highest and lowest with song, time, probability and
excerpt), extremes.csv (the highest and lowest without their excerpts) and index.html, a page of
them with their sounds, into --output. Stopped and started again with the same command, it goes on
where it was.
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.explain.settings import ResponseSettings

define_flags(ResponseSettings)


def main() -> None:
    """Reads the flags and measures."""
    import functools

    from svdam.core.files import checksum
    from svdam.core.runs import start_run
    from svdam.data.records import open_records
    from svdam.models.loading import model_path
    from svdam.results.files import write_responses
    from svdam.stages.builtin_records import resolve_records

    settings = settings_from_flags(ResponseSettings)
    classifier = model_path(settings.classifier, "classifier")
    folder = str(resolve_records(settings.records))
    records = open_records(folder)
    records.songs(settings.split)  # A wrong split is told before TensorFlow is loaded.
    excerpt_shape = (records.front_end.excerpt_frames, records.front_end.num_mels, 1)
    inputs = {
        "records_fingerprint": records.fingerprint,
        "classifier_sha256": checksum(classifier),
    }

    from svdam.explain.named_outputs import load_classifier
    from svdam.explain.responses import named_layers
    from svdam.stages.collect_responses import collect_responses, remove_parts
    from svdam.stages.make_report import write_responses_page
    from svdam.stages.watching import write_response_summaries

    with start_run(settings.output, "collect_responses", settings, inputs) as run:
        real = collect_responses(
            functools.partial(open_records, folder),
            functools.partial(
                load_classifier,
                str(classifier),
                excerpt_shape,
                settings.allow_unsafe_model,
                named_layers(settings.response),
            ),
            settings,
            run,
        )
        write_responses(run.folder, real)
        page = write_responses_page(run.folder, real)
        write_response_summaries(run.folder / "tensorboard", real)
        run.mark_complete({"excerpts": len(real.responses), "songs": len(real.song_ids)})
        remove_parts(run)
    for name, extremes in (("highest", real.highest), ("lowest", real.lowest)):
        values = extremes.responses
        print(
            f"{name} {len(values)} responses of {settings.response}: "
            f"mean {values.mean():.3f}, variance {values.var(ddof=1):.3f}"
        )
    print(f"listen to them: {page.resolve()}")
    print(f"results: {run.folder}")


if __name__ == "__main__":
    run_command(main)
