"""Measures a response on every excerpt of real recordings, and keeps the most extreme.

python -m svdam.collect_responses --flagfile=flags/responses.cfg
"""

from svdam.core.commands import run_command
from svdam.core.settings import define_flags, settings_from_flags
from svdam.explain.settings import ResponseSettings

define_flags(ResponseSettings)


def main() -> None:
    """Reads the flags and measures."""
    settings = settings_from_flags(ResponseSettings)

    from svdam.core.files import checksum
    from svdam.core.progress import progress
    from svdam.core.runs import start_run
    from svdam.data.builtin import resolve_records
    from svdam.data.excerpts import num_spaced_excerpts, spaced_excerpts
    from svdam.data.records import open_records
    from svdam.explain.collection import collect_responses
    from svdam.explain.results import write_responses
    from svdam.explain.watching import write_response_summaries
    from svdam.models.loading import load_model, model_path

    records = open_records(resolve_records(settings.records))
    excerpt_shape = (records.front_end.excerpt_frames, records.front_end.num_mels, 1)
    classifier = load_model(settings.classifier, "classifier", excerpt_shape)
    inputs = {
        "records_fingerprint": records.fingerprint,
        "classifier_sha256": checksum(model_path(settings.classifier, "classifier")),
    }
    options = {"spacing": settings.excerpt_spacing, "split": settings.split}
    with start_run(settings.output, "collect_responses", settings, inputs) as run:
        batches = progress(
            spaced_excerpts(records, batch_size=settings.batch_size, **options),
            total=-(-num_spaced_excerpts(records, **options) // settings.batch_size),
            description="real responses",
            unit="batch",
        )
        real = collect_responses(
            batches,
            classifier,
            [song.id for song in records.songs(settings.split)],
            settings.response,
            settings.top_n,
            run.config,
        )
        write_responses(run.folder, real)
        write_response_summaries(run.folder, real)
        run.mark_complete({"excerpts": len(real.responses), "songs": len(real.song_ids)})
    for name, extremes in (("highest", real.highest), ("lowest", real.lowest)):
        values = extremes.responses
        print(
            f"{name} {len(values)} responses of {settings.response}: "
            f"mean {values.mean():.3f}, variance {values.var(ddof=1):.3f}"
        )
    print(f"results: {run.folder}")


if __name__ == "__main__":
    run_command(main)
