"""Evaluates a classifier on labelled songs, or prediction files without any classifier.

Songs come from one of two places: from records, whose frames a classifier predicts, or from
prediction files, with labels from records, from a data set's folder or from arrays. What is scored,
written and drawn is the same for both.
"""

import dataclasses
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from svdam.core.config import FRONT_END, MEDIAN_FILTER_FRAMES
from svdam.core.files import atomic_path, write_json
from svdam.core.front_end import FrontEnd, front_end_input
from svdam.core.progress import progress
from svdam.core.runs import Run, start_run
from svdam.core.settings import (
    Settings,
    import_module_setting,
    output_setting,
    setting,
    unsafe_model_setting,
)
from svdam.core.summaries import Summaries, tensorboard_command
from svdam.core.validation import InputError, quoted_list
from svdam.datasets.labels import SING, in_words, targets_of
from svdam.evaluation import detection
from svdam.evaluation.table import markdown_table, plain_table
from svdam.report.charts import detection_chart
from svdam.results.predictions import write_predictions
from svdam.stages.front_ends import named_front_end
from svdam.stages.prediction_source import ClassifierOnRecords, PredictionFiles, Song


@dataclasses.dataclass(frozen=True)
class EvaluationSettings(Settings):
    """What `evaluate_classifier` takes."""

    output: str = setting("runs/evaluation", "Run folder to write.", path=True, identity=False)
    classifier: str = setting(
        "runs/classifier",
        "Classifier: a .keras file or a run folder of train_classifier.",
        path=True,
    )
    output_is: str = output_setting()
    records: str = setting(
        "builtin",
        "Records with labels: a run folder of prepare_data, or builtin.",
        path=True,
    )
    predictions: tuple[str, ...] = setting(
        (),
        "Prediction files (.npz) to evaluate instead of a classifier; several files are averaged.",
        path=True,
    )
    labels: str | None = setting(
        None,
        "Labels for --predictions: the folder of a data set (with filelists/ and labels/), a "
        "folder of label files, or an .npz file with one array of zeros and ones per song. The "
        "default is the labels of --records.",
        path=True,
    )
    positive_label: tuple[str, ...] = setting(
        SING.words, "Labels that are positive in the label files of --labels."
    )
    predictions_front_end: str = setting(
        "ismir2015",
        "Front end, and so the frame rate, of --predictions with --labels: the name of one, or a "
        ".json file. With --records, it is that of the records.",
        path=True,
    )
    labels_per_second: float = setting(
        FRONT_END.frames_per_second,
        "Number of entries per second of the arrays in --labels=*.npz.",
        above=0,
    )
    split: str = setting("test", "Split to evaluate.", choices=("train", "valid", "test"))
    threshold: float | None = setting(
        None,
        "Probability above which a frame counts as positive. The default is the threshold with "
        "the best accuracy on the songs of the split 'valid'.",
        minimum=0,
        maximum=1,
    )
    median_frames: int | None = setting(
        None,
        "Length of the median filter in frames; 0 for none. The default is 0.8 s, which is "
        f"{MEDIAN_FILTER_FRAMES} frames of the paper's front end.",
        minimum=0,
    )
    pitch_shifts: tuple[float, ...] = setting(
        (0.0,),
        "Pitch shifts at test time, in percent; the predictions are averaged. Values other "
        "than 0 require --audio.",
        minimum=-90,
        maximum=900,
    )
    audio: str | None = setting(
        None,
        "Folder of the data set from which --records were made, for --pitch_shifts.",
        path=True,
    )
    excerpt_by_excerpt: bool = setting(
        False,
        "Apply the classifier to one excerpt per frame: the same result, about 30 times slower.",
        identity=False,
    )
    num_charts: int = setting(
        20,
        "Number of songs to plot: spectrogram, prediction and ground truth.",
        minimum=0,
        identity=False,
    )
    import_module: str | None = import_module_setting()
    allow_unsafe_model: bool = unsafe_model_setting()

    def validate(self) -> None:
        """Refuses settings that would do nothing."""
        if self.labels and not self.predictions:
            raise InputError(
                "--labels: requires --predictions; a classifier is evaluated with --records"
            )
        if self.positive_label != SING.words and not self.labels:
            raise InputError(
                "--positive_label: requires --labels; records have labels of their own"
            )
        if self.predictions_front_end != "ismir2015" and not self.labels:
            raise InputError("--predictions_front_end: requires --labels")
        if not self.pitch_shifts:
            raise InputError("--pitch_shifts: is empty, expected percentages, e.g. 0,10,-10")
        if any(self.pitch_shifts):
            if self.predictions:
                raise InputError("--pitch_shifts: needs a classifier, not --predictions")
            if not self.audio:
                raise InputError("--pitch_shifts: needs --audio, the folder with the songs' audio")


def evaluate_classifier(settings: EvaluationSettings) -> dict[str, Any]:
    """Predicts, scores, and writes ``evaluation.json``, ``predictions.npz`` and summaries.

    Returns:
        Contents of ``evaluation.json``: what `score_songs` gives; with several labels, ``labels``
        with that of each.

    Raises:
        InputError: If an input is missing or does not fit.
    """
    source = _open_source(settings)
    needed = [settings.split]
    if settings.threshold is None and "valid" not in needed:
        needed.insert(0, "valid")
    for split in needed:
        source.require_labels(split, for_threshold=split != settings.split)
    front_end = source.front_end
    settings = dataclasses.replace(settings, median_frames=_median_frames(settings, front_end))
    inputs = {**front_end_input(front_end), **source.inputs}
    with start_run(settings.output, "evaluate_classifier", settings, inputs) as run:
        with progress(
            total=source.num_frames(needed), description="predicting", unit="frame"
        ) as bar:
            songs = {split: source.songs(split, bar.update) for split in needed}
        reports = {
            name: score_songs(
                {split: [song.of(index) for song in found] for split, found in songs.items()},
                settings,
                name,
            )
            for index, name in enumerate(source.label_names)
        }
        scores = {name: report["scores"] for name, report in reports.items()}
        first = next(iter(reports.values()))
        report = first if len(reports) == 1 else {"labels": reports}
        predictions = {song.name: song.prediction for split in needed for song in songs[split]}
        write_predictions(run.folder / "predictions.npz", predictions)
        write_json(run.folder / "evaluation.json", report)
        _write_summaries(run, reports, songs[settings.split], settings, front_end)
        run.mark_complete(first["scores"] if len(reports) == 1 else scores)
    chosen = first["threshold_chosen_on"]
    print("\n\n".join(_table(one, plain_table) for one in reports.values()))
    print("Threshold: " + (f"chosen on split '{chosen}'" if chosen else "as given"))
    print(f"Written to {run.folder}; charts: {tensorboard_command(run.folder)}")
    return report


def _open_source(settings: EvaluationSettings) -> ClassifierOnRecords | PredictionFiles:
    if settings.predictions:
        return PredictionFiles(
            settings.predictions,
            settings.labels,
            settings.labels_per_second,
            settings.records,
            named_front_end(settings.predictions_front_end, "predictions_front_end"),
            targets_of(settings.positive_label)[0],
        )
    return ClassifierOnRecords(
        settings.classifier,
        settings.records,
        output_is=settings.output_is,
        pitch_shifts=settings.pitch_shifts,
        audio=settings.audio,
        excerpt_by_excerpt=settings.excerpt_by_excerpt,
        allow_unsafe_model=settings.allow_unsafe_model,
        import_module=settings.import_module,
    )


def _median_frames(settings: EvaluationSettings, front_end: FrontEnd = FRONT_END) -> int:
    """Frames of the median filter, by default those of the 0.8 s of the paper's front end."""
    if settings.median_frames is not None:
        return settings.median_frames
    secs = MEDIAN_FILTER_FRAMES / FRONT_END.frames_per_second
    return round(secs * front_end.frames_per_second)


def score_songs(
    songs: dict[str, list[Song]], settings: EvaluationSettings, label: str = SING.name
) -> dict[str, Any]:
    """Chooses the threshold and scores the songs, pooled and one by one.

    Args:
        songs: Songs by split, with a single label; those without labels are not scored.
        settings: Split, threshold and median filter.
        label: Name of the label.

    Returns:
        A JSON-ready report: ``scores`` of the pooled songs, ``validation`` (those of the validation
        songs, if the threshold was chosen on them), ``songs`` (one by one), the settings, and the
        ``label`` if it is not ``sing``.
    """
    scored = [song for song in songs[settings.split] if song.label is not None]
    threshold, validation = settings.threshold, None
    if threshold is None:
        validation = _evaluate(songs["valid"], settings, label=label)
        threshold = validation["threshold"]
    return {
        **({} if label == SING.name else {"label": label}),
        "split": settings.split,
        "threshold_chosen_on": "valid" if validation else None,
        "median_frames": _median_frames(settings),
        "pitch_shifts_percent": list(settings.pitch_shifts),
        "scores": _evaluate(scored, settings, threshold, label),
        "validation": validation,
        "songs": _scores_of_single_songs(scored, settings, threshold),
        "songs_without_labels": [song.name for song in songs[settings.split] if song.label is None],
    }


def _evaluate(
    songs: Sequence[Song],
    settings: EvaluationSettings,
    threshold: float | None = None,
    label: str = SING.name,
) -> dict[str, Any]:
    labelled = [(song.prediction, song.label) for song in songs if song.label is not None]
    return detection.evaluate(
        [prediction for prediction, _ in labelled],
        [label for _, label in labelled],
        threshold,
        median_frames=_median_frames(settings),
        label=in_words(label),
    )


def _scores_of_single_songs(
    songs: Sequence[Song], settings: EvaluationSettings, threshold: float
) -> list[dict[str, Any]]:
    """Scores of each song, with one warning for all whose AUROC is undefined."""
    rows = []
    for song in songs:
        if song.label is None or not len(song.label):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = _evaluate([song], settings, threshold)
        rows.append({"song": song.name, "frames": len(song.label), **scores})
    undefined = [row["song"] for row in rows if row["auroc"] is None]
    if undefined:
        warnings.warn(
            f"AUROC is undefined for {len(undefined)} of {len(rows)} songs, whose labels contain "
            f"only one class: {quoted_list(undefined, 5)}",
            stacklevel=2,
        )
    return rows


def _table(report: dict[str, Any], form: Callable) -> str:
    rows = [(row["song"], row) for row in report["songs"]]
    pooled = f"all {len(rows)} songs, frames pooled"
    heading = f"Split '{report['split']}'" if report["split"] else "Song"
    heading += f", {report['label']}" if "label" in report else ""
    return form([*rows, (pooled, report["scores"])], heading)


def _write_summaries(
    run: Run,
    reports: dict[str, dict[str, Any]],
    songs: Sequence[Song],
    settings: EvaluationSettings,
    front_end: FrontEnd,
) -> None:
    """Writes tables, scores and charts; of several labels, each under its name."""
    with Summaries(run.tensorboard, replace=True) as summaries:
        summaries.configuration(run.config)
        for index, (name, report) in enumerate(reports.items()):
            suffix = f"/{name}" if len(reports) > 1 else ""
            summaries.text(f"table{suffix}", _table(report, markdown_table))
            found = {score: value for score, value in report["scores"].items() if value is not None}
            summaries.scalars({f"evaluation{suffix}/{s}": v for s, v in found.items()}, step=0)
            rows = {row["song"]: row for row in report["songs"]}
            charted = [song.of(index) for song in songs if song.name in rows]
            charted = charted[: settings.num_charts]
            for number, song in enumerate(progress(charted, description="charts", unit="song"), 1):
                chart = _chart(song, rows[song.name], report.get("label"), settings, front_end)
                summaries.images(f"songs/{song.name}{suffix}", chart[np.newaxis], step=0)
                file_name = f"{number:03d}_{_plain(song.name + suffix)}.png"
                _write_png(run.folder / "charts" / file_name, chart)


def _chart(
    song: Song,
    scores: dict[str, Any],
    label: str | None,
    settings: EvaluationSettings,
    front_end: FrontEnd,
) -> np.ndarray:
    assert song.label is not None  # Or it had no scores.
    title = f"{song.name}, {label}" if label else song.name
    area = "undefined" if scores["auroc"] is None else f"{scores['auroc']:.3f}"
    return detection_chart(
        song.prediction,
        song.label,
        scores["threshold"],
        f"{title}: error {100 * scores['error']:.1f} %, F1 {scores['f1']:.3f}, AUROC {area}",
        smoothed=detection.smooth_predictions(song.prediction, _median_frames(settings)),
        log_mel=song.load_log_mel() if song.load_log_mel else None,
        front_end=front_end,
    )


def _write_png(path: Path, picture: np.ndarray) -> None:
    from matplotlib.image import imsave

    with atomic_path(path) as temporary:
        imsave(temporary, picture)


def _plain(name: str) -> str:
    """A song's name as a part of a file name."""
    return re.sub(r"[^\w.-]+", "_", name)[:80]
