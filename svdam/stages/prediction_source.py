"""Where the songs of an evaluation come from: a classifier on records, or prediction files."""

import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from svdam.core.config import FRONT_END
from svdam.core.files import checksum
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError, quoted_list
from svdam.data.records import Records
from svdam.data.song_entry import SongEntry
from svdam.datasets.label_files import LABEL_SUFFIXES
from svdam.datasets.labels import SING, Target, frame_labels, in_words, parse_labels
from svdam.datasets.sources import AUDIO_SUFFIXES, SPLITS, read_list
from svdam.results.predictions import read_predictions, read_truth, truth_of_frames
from svdam.stages.front_ends import require_same_front_end
from svdam.stages.inputs import input_records


@dataclasses.dataclass(frozen=True)
class Song:
    """A song with its prediction.

    Attributes:
        name: Its id in the records, or its name in the prediction files.
        prediction: (frames, labels) probabilities; (frames,) of a single label.
        label: (frames, labels) bool, or (frames,) likewise; None if the song has no labels.
        load_log_mel: Gives the (frames, num_mels) spectrogram; None if there is none.
    """

    name: str
    prediction: np.ndarray
    label: np.ndarray | None
    load_log_mel: Callable[[], np.ndarray] | None = None

    def of(self, index: int) -> "Song":
        """The song with one of its labels."""
        label = None if self.label is None else _columns(self.label)[:, index]
        prediction = _columns(self.prediction)[:, index]
        return dataclasses.replace(self, prediction=prediction, label=label)


class ClassifierOnRecords:
    """Songs of records, predicted by a classifier.

    Attributes:
        inputs: Fingerprints of what is read, for the run's configuration.
        front_end: Front end of the records.
        label_names: What is predicted: the labels of the records.
        has_splits: Whether there are splits: always.
    """

    has_splits = True

    def __init__(
        self,
        classifier: str,
        records: str,
        *,
        output_is: str = "auto",
        pitch_shifts: Sequence[float] = (0.0,),
        audio: str | None = None,
        excerpt_by_excerpt: bool = False,
        allow_unsafe_model: bool = False,
        import_module: str | None = None,
    ):
        """Opens both.

        Args:
            classifier: A .keras file or a run folder of train_classifier.
            records: A folder of prepare_data, or ``builtin``.
            output_is: See `svdam.models.probabilities.kind_of_output`.
            pitch_shifts: In percent; predictions of all of them are averaged.
            audio: Folder of the data set that the records were made from; for shifts other than 0.
            excerpt_by_excerpt: Whether the classifier is applied to every frame's excerpt, slowly.
            allow_unsafe_model: See `svdam.models.loading.load_model`.
            import_module: Likewise.

        Raises:
            InputError: If one is missing, or they do not fit together.
        """
        from svdam.explain.named_outputs import load_classifier, output_by_card
        from svdam.models.fully_convolutional import FramePredictor
        from svdam.models.loading import model_path
        from svdam.models.probabilities import kind_of_output

        path = model_path(classifier, "classifier")
        self._records = input_records(records)
        self._pitch_shifts = pitch_shifts
        self._audio = audio
        require_same_front_end(self._records, classifier=path)
        front_end = self.front_end = self._records.front_end
        expected_input = (front_end.excerpt_frames, front_end.num_mels, 1)
        model = load_classifier(path, expected_input, allow_unsafe_model, import_module)
        output_is = output_by_card(model.model_card, output_is)
        self._kind = kind_of_output(model, output_is, f"--classifier={path}")
        self.label_names = self._records.label_names
        if len(self.label_names) > 1 and (output_is, self._kind) == ("auto", "logits"):
            self._kind = "multilabel_logits"  # Labels that may apply at the same time.
        self._predictor = FramePredictor(model, front_end, excerpt_by_excerpt=excerpt_by_excerpt)
        names = model.model_card.output_names if model.model_card else ()
        self._outputs = outputs_of_labels(
            self.label_names, names, self._predictor.num_outputs, f"--classifier: {path}"
        )
        self.inputs: dict[str, Any] = {
            "records_fingerprint": self._records.fingerprint,
            "classifier_sha256": checksum(path),
        }

    def require_labels(self, split: str, for_threshold: bool) -> None:
        """Refuses a split without labelled songs."""
        if not any(song.has_labels for song in self._records.songs(split)):
            raise _no_labels(split, for_threshold, f"--records: {self._records.folder}")

    def num_frames(self, splits: Sequence[str]) -> int:
        """Frames to predict, counting each pitch shift."""
        frames = sum(song.num_frames for split in splits for song in self._records.songs(split))
        return frames * len(self._pitch_shifts)

    def songs(self, split: str, on_frames: Callable[[int], object]) -> list[Song]:
        """Predicts the songs of a split; ``on_frames`` is told the number of frames done."""
        from svdam.models.probabilities import probabilities_of

        predicted = []
        for song in self._records.songs(split):
            predictions = [
                probabilities_of(self._predictor.predict(log_mel, on_frames), self._kind)
                for log_mel in self._shifted_log_mels(song)
            ]
            predicted.append(
                Song(
                    song.id,
                    np.mean(predictions, axis=0, dtype=np.float32)[:, self._outputs],
                    self._records.labels(song) if song.has_labels else None,
                    functools.partial(self._records.log_mel, song),
                )
            )
        return predicted

    def _shifted_log_mels(self, song: SongEntry) -> Iterator[np.ndarray]:
        """Yields the song's spectrogram at each pitch shift."""
        from svdam.audio.pitch_shift import pitch_shifted_log_mel
        from svdam.data.mixing import load_song

        log_mel = self._records.log_mel(song)
        samples = None
        for percent in self._pitch_shifts:
            if not percent:
                yield log_mel
                continue
            if samples is None:
                samples = load_song(song, str(self._audio), self._records.front_end.sample_rate)
            shifted = pitch_shifted_log_mel(samples, percent, self._records.front_end)
            if len(shifted) != len(log_mel):
                raise InputError(
                    f"--audio: {song.source} has {len(shifted)} frames, the records "
                    f"{len(log_mel)}: it is a different recording"
                )
            yield shifted


def outputs_of_labels(
    label_names: Sequence[str], output_names: Sequence[str], num_outputs: int, where: str
) -> list[int]:
    """Which output of a classifier predicts each label.

    Those of the labels' names, if the model card names them all. Otherwise the outputs are those of
    the labels, in order; for a single label, two outputs are the negative and the positive class.

    Args:
        label_names: Labels of the records.
        output_names: What the model card names; empty if nothing does.
        num_outputs: Number of outputs.
        where: The classifier, for messages.

    Raises:
        InputError: If there is another number of outputs.
    """
    words, count = [in_words(name) for name in label_names], len(label_names)
    for wanted in (label_names, words):
        if set(wanted) <= set(output_names):
            return [list(output_names).index(name) for name in wanted]
    if num_outputs == count:
        return list(range(count))
    if count == 1 and num_outputs == 2:
        return [1]
    expected = (
        f"1 ({words[0]}) or 2 (no {words[0]}, and {words[0]})"
        if count == 1
        else f"{count}, one for each label of the records ({quoted_list(label_names)}), or a model "
        "card that names them"
    )
    raise InputError(f"{where} has {num_outputs} outputs, expected {expected}")


class PredictionFiles:
    """Songs of prediction files, with labels from elsewhere.

    Attributes:
        inputs: Fingerprints of what was read, for the run's configuration.
        front_end: What the frames of the predictions are those of.
        label_names: What is predicted.
        has_splits: Whether the labels say which songs are for testing.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: str | None,
        labels_per_second: float,
        records: str,
        front_end: FrontEnd = FRONT_END,
        target: Target = SING,
    ):
        """Reads the predictions and finds their labels.

        Args:
            paths: Prediction files, whose predictions are averaged.
            labels: A data set's folder, a folder of label files, or an .npz file of truth; None for
                the labels of ``records``.
            labels_per_second: Entries a second of the arrays in an .npz file.
            records: A folder of prepare_data, or ``builtin``.
            front_end: Front end of predictions whose labels are not those of records.
            target: What is predicted, if the labels are not those of records.

        Raises:
            InputError: If something is missing or does not fit.
        """
        opened = None if labels is not None else input_records(records)
        self.label_names = (target.name,) if opened is None else opened.label_names
        self._target = target
        self._predictions = read_predictions(paths, len(self.label_names))
        self._stems = {_stem(name): name for name in self._predictions}
        self.inputs: dict[str, Any] = {"predictions_sha256": [checksum(p) for p in paths]}
        self._place, self.front_end = f"--labels: {labels}", front_end
        place = Path(labels or "")
        if opened is not None:
            self._splits: dict[str | None, dict] = self._labels_of_records(opened)
        elif (place / "filelists").is_dir():
            self._splits = self._labels_of_data_set(place)
        elif place.is_dir():
            self._splits = {None: self._labels_of_folder(place)}
        else:
            self._splits = {None: self._labels_of_arrays(str(place), labels_per_second)}
            self.inputs["labels_sha256"] = checksum(place)
        self.has_splits = None not in self._splits

    def require_labels(self, split: str, for_threshold: bool) -> None:
        """Refuses a split without labelled songs."""
        if for_threshold and not self.has_splits:
            raise InputError(
                f"{self._place} does not say which songs are for validation, so no threshold can "
                "be chosen on them; specify one, e.g. --threshold=0.5"
            )
        if not any(label is not None for label in self._labels(split).values()):
            raise _no_labels(split, for_threshold, self._place)

    def num_frames(self, splits: Sequence[str]) -> int:
        """Frames still to predict: none."""
        return 0

    def songs(self, split: str, on_frames: Callable[[int], object]) -> list[Song]:
        """The songs of a split; ``on_frames`` is told the number of frames."""
        songs = [
            Song(name, self._predictions[name], label)
            for name, label in self._labels(split).items()
        ]
        on_frames(sum(len(song.prediction) for song in songs))
        return songs

    def _labels(self, split: str) -> dict[str, np.ndarray | None]:
        return self._splits.get(split if self.has_splits else None, {})

    def _labels_of_records(self, records: Records) -> dict[str | None, dict]:
        self.inputs["records_fingerprint"] = records.fingerprint
        self.front_end = records.front_end
        self._place = f"--records: {records.folder}"
        splits: dict[str | None, dict] = {}
        for song in records.songs():
            name = self._named(song.id)
            if name is None:
                continue
            label = records.labels(song) if song.has_labels else None
            if label is not None and len(label) != len(self._predictions[name]):
                raise InputError(
                    f"--predictions: {name!r} has {len(self._predictions[name])} frames, but "
                    f"{len(label)} in the records"
                )
            splits.setdefault(song.split, {})[name] = label
        self._warn_of_unlabelled(name for songs in splits.values() for name in songs)
        return splits

    def _labels_of_data_set(self, folder: Path) -> dict[str | None, dict]:
        splits: dict[str | None, dict] = {}
        for split in SPLITS:
            path = folder / "filelists" / split
            listed = [name for _, name in read_list(str(path))] if path.exists() else []
            missing = [name for name in listed if self._named(name) is None]
            # The original predicts validation and test songs only.
            if missing and split != "train":
                raise InputError(
                    f"--predictions: do not contain {quoted_list(missing, 3)}, which {path} lists"
                )
            names = [name for name in map(self._named, listed) if name is not None]
            splits[split] = {name: self._read_labels(folder / "labels", name) for name in names}
        return splits

    def _labels_of_folder(self, folder: Path) -> dict[str, np.ndarray]:
        found = {name: self._read_labels(folder, name, True) for name in self._predictions}
        labels = {name: label for name, label in found.items() if label is not None}
        self._warn_of_unlabelled(labels)
        return labels

    def _labels_of_arrays(self, path: str, labels_per_second: float) -> dict[str, np.ndarray]:
        labels = {}
        for song, entries in read_truth(path).items():
            name = self._named(song)
            if name is None:
                raise InputError(f"--predictions: hold no {song!r}, which is in {path}")
            labels[name] = truth_of_frames(
                entries, len(self._predictions[name]), labels_per_second, name, self.front_end
            )
        self._warn_of_unlabelled(labels)
        return labels

    def _read_labels(self, folder: Path, name: str, optional: bool = False) -> np.ndarray | None:
        paths = [folder / f"{_stem(name)}{suffix}" for suffix in LABEL_SUFFIXES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            if optional:
                return None
            raise InputError(f"{paths[0]}: no such file; it should contain the labels of {name!r}")
        segments = parse_labels(path.read_bytes(), str(path), self._target)
        return frame_labels(segments, len(self._predictions[name]), self.front_end)

    def _named(self, song: str) -> str | None:
        """The name in the prediction files of a song that may be named with a suffix or without."""
        if song in self._predictions:
            return song
        return self._stems.get(_stem(song))

    def _warn_of_unlabelled(self, labelled: Iterable[str]) -> None:
        left = sorted(self._predictions.keys() - set(labelled))
        if left:
            warnings.warn(
                f"{len(left)} of {len(self._predictions)} predicted songs have no labels and are "
                f"left out: {quoted_list(left, 3)}",
                stacklevel=3,
            )


def _columns(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _no_labels(split: str, for_threshold: bool, place: str) -> InputError:
    way_out = "specify one, e.g. --threshold=0.5" if for_threshold else "choose another --split"
    purpose = "to choose the threshold on" if for_threshold else "to score"
    return InputError(f"{place} has no song with labels in split {split!r} {purpose}; {way_out}")


def _stem(name: str) -> str:
    """A file's name without its suffix, if it has one that audio has."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in AUDIO_SUFFIXES else name
