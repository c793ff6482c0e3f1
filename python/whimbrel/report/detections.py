"""What a run detected, from whichever of its output files is there."""

import contextlib
import csv
import dataclasses
import json
import pathlib
import re

import numpy as np

from .errors import ReportError

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclasses.dataclass
class Detections:
    """Columns of one length: recordings as in run.json, by start, those of one start by score from high to low."""

    source: str  # the file, "" where a run has none
    labels: list[str]
    recording: np.ndarray  # [n] int, index in run.json
    start_s: np.ndarray  # [n] from the recording's start
    end_s: np.ndarray  # [n]
    label: np.ndarray  # [n] int, index in labels
    score: np.ndarray  # [n]
    from_scores: bool = False  # made here, of all scores, with a threshold

    def __len__(self):
        return len(self.score)

    def take(self, which):
        columns = {name: getattr(self, name)[which] for name in ("recording", "start_s", "end_s", "label", "score")}
        return dataclasses.replace(self, **columns)


class Builder:
    """Detections that come row by row."""

    def __init__(self, record):
        self.index = {}
        for i, recording in enumerate(record["recordings"]):
            self.index.setdefault(recording["path"], i)
            self.index.setdefault(CONTROL.sub(" ", recording["path"]), i)  # as tab-separated files have it
        self.labels = {}
        self.rows = []

    def add(self, where, path, start_s, end_s, label, score):
        if path not in self.index:
            raise ReportError("invalid_argument", f'{where}: "{path}" is no recording of run.json; are both of one run?')
        try:
            numbers = float(start_s), float(end_s), float(score)
        except (TypeError, ValueError):
            raise ReportError(
                "invalid_argument", f"{where}: {start_s}, {end_s}, {score}: expected start, end and score"
            ) from None
        if not all(np.isfinite(numbers)):
            raise ReportError("invalid_argument", f"{where}: {start_s}, {end_s}, {score}: expected finite numbers")
        self.rows.append((self.index[path], *numbers, self.labels.setdefault(label, len(self.labels))))

    def finish(self, source):
        table = np.array(self.rows, np.float64).reshape(-1, 5)
        return Detections(
            source, list(self.labels), table[:, 0].astype(int), table[:, 1], table[:, 2], table[:, 4].astype(int), table[:, 3]
        )


def read_jsonl(folder, record, threshold):
    builder = Builder(record)
    with open_text(folder / "detections.jsonl") as file:
        for number, line in enumerate(file, 1):
            where = f"{folder / 'detections.jsonl'}:{number}"
            try:
                row = json.loads(line)
                builder.add(where, row["file"], row["start_s"], row["end_s"], row["label"], row["confidence"])
            except (ValueError, KeyError, TypeError) as error:
                raise ReportError(
                    "invalid_argument", f"{where}: no detection ({error!r}), expected a line of docs/formats.md"
                ) from error
    return builder.finish("detections.jsonl")


def read_csv(folder, record, threshold):
    builder = Builder(record)
    for where, row in table_rows(folder / "detections.csv", ",", ("Start (s)", "End (s)", "Confidence", "File")):
        scientific, common = row.get("Scientific name") or "", row.get("Common name") or ""
        label = scientific if scientific == common else f"{scientific}_{common}"
        builder.add(where, row["File"], row["Start (s)"], row["End (s)"], label, row["Confidence"])
    return builder.finish("detections.csv")


def read_raven(folder, record, threshold):
    builder = Builder(record)
    columns = ("Begin Time (s)", "End Time (s)", "Common Name", "Confidence", "Begin Path")
    for path in sorted(folder.rglob("*.selections.txt")):
        for where, row in table_rows(path, "\t", columns):
            label = row.get("Species Code") or row["Common Name"]
            builder.add(where, row["Begin Path"], row["Begin Time (s)"], row["End Time (s)"], label, row["Confidence"])
    return builder.finish("*.selections.txt")


def read_npy(folder, record, threshold):
    try:
        scores = np.load(folder / "scores.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ReportError(
            "invalid_argument", f"{folder / 'scores.npy'}: {error}; expected what predict --format npy writes"
        ) from error
    builder = Builder(record)
    for where, row in table_rows(folder / "scores.index.csv", ",", ("row", "file", "start_s", "end_s")):
        builder.add(where, row["file"], row["start_s"], row["end_s"], "", 0)
    if scores.ndim != 2 or len(scores) != len(builder.rows):
        found = f"scores.npy is {list(scores.shape)}, scores.index.csv has {len(builder.rows)} rows"
        raise ReportError("invalid_argument", f"{folder}: {found}; expected as many")
    windows = np.array(builder.rows, np.float64).reshape(-1, 5)
    labels = record.get("labels")
    if not isinstance(labels, list) or len(labels) != scores.shape[1]:
        labels = [f"class {i}" for i in range(scores.shape[1])]
    return of_scores("scores.npy", labels, windows[:, 0], windows[:, 1], windows[:, 2], scores, threshold)


def read_kaggle(folder, record, threshold):
    path = folder / "submission.csv"
    stems = {pathlib.PurePosixPath(r["path"]).stem: i for i, r in enumerate(record["recordings"])}
    stems = {CONTROL.sub(" ", stem): i for stem, i in stems.items()}
    rows, ends, scores = [], [], []
    with open_text(path) as file:
        reader = csv.reader(file)
        labels = next(reader, [])[1:]
        for cells in reader:
            stem, _, end = cells[0].rpartition("_")
            if stem not in stems:
                continue  # rows of a sample submission that no recording gave are filled, not heard
            try:
                scores.append(np.array(cells[1:], np.float32))
                ends.append(float(end))
            except ValueError:
                raise ReportError(
                    "invalid_argument", f"{path}:{reader.line_num}: no row of scores, expected row_id and numbers"
                ) from None
            if len(scores[-1]) != len(labels):
                found = f"{len(cells)} cells, expected {len(labels) + 1} as in the first line"
                raise ReportError("invalid_argument", f"{path}:{reader.line_num}: {found}")
            rows.append(stems[stem])
    if not rows:
        return Builder(record).finish("submission.csv")
    ends = np.array(ends)
    window_s = ends.min()  # a recording's first window begins at 0
    return of_scores("submission.csv", labels, np.array(rows), ends - window_s, ends, np.stack(scores), threshold)


# In this order: what names detections before what holds scores, what is exact before what is rounded.
READERS = {
    "detections.jsonl": read_jsonl,
    "detections.csv": read_csv,
    "*.selections.txt": read_raven,
    "scores.npy": read_npy,
    "submission.csv": read_kaggle,
}


def read_detections(folder, record, threshold=None):
    """Those of a run's folder at or above a threshold, by default the run's; source is "" where no file has any."""
    if threshold is None:
        threshold = float(record["settings"].get("threshold") or 0)
    for pattern, reader in READERS.items():
        if any(folder.rglob(pattern)):
            found = reader(folder, record, threshold)
            found = found.take(found.score.astype(np.float32) >= np.float32(threshold))
            return found.take(np.lexsort((found.label, -found.score, found.start_s, found.recording)))
    return Builder(record).finish("")


def of_scores(source, labels, recording, start_s, end_s, scores, threshold):
    """Detections of all scores [windows, classes]."""
    window, label = np.nonzero(scores >= np.float32(threshold))
    score = np.asarray(scores[window, label], np.float64)
    found = recording.astype(int)[window], start_s[window], end_s[window], label, score
    return Detections(source, list(labels), *found, from_scores=True)


@contextlib.contextmanager
def open_text(path):
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            yield file
    except OSError as error:
        raise ReportError("io", f"{path}: {error.strerror}") from error


def table_rows(path, delimiter, needed):
    """(place, {column: cell}) for each line of a table with a header that has the needed columns."""
    with open_text(path) as file:
        quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
        reader = csv.DictReader(file, delimiter=delimiter, quoting=quoting)
        missing = [column for column in needed if column not in (reader.fieldnames or [])]
        if missing:
            raise ReportError("invalid_argument", f'{path}: no column "{missing[0]}", expected what docs/formats.md says')
        for row in reader:
            if any(row[column] is None for column in needed):
                raise ReportError(
                    "invalid_argument", f"{path}:{reader.line_num}: too few cells, expected {len(reader.fieldnames)}"
                )
            yield f"{path}:{reader.line_num}", row
