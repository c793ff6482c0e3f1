"""What a run gave: scores and detections in memory."""

import json
import os
import pathlib
import tempfile
from functools import cached_property

import numpy as np

from ._files import replacing
from .errors import Error


class Result:
    """Scores of every window and what was detected, recordings in input order, windows in time order.

    @ivar scores      float32 [windows, classes], probabilities after post-processing
    @ivar embeddings  float32 [windows, d]; None where not asked for
    @ivar labels      classes, as in the model's labels file
    @ivar recording   uint32 [windows]: index into `recordings`
    @ivar start_s     float64 [windows], seconds from the start of the recording; `end_s` likewise
    @ivar filled      bool [windows]: not scored in the time budget, holds the mean of each class
    @ivar recordings  the ledger, a dict a recording as in run.json: path, state ("done", "partial", "failed", "cancelled"),
                      windows, error, ...
    @ivar record      all that run.json would hold

    The to_...() methods write the files of `whimbrel predict`, byte for byte (docs/formats.md), and return their path.
    """

    def __init__(self, found):
        self._found = found
        self.scores = found.scores
        self.embeddings = found.embeddings
        self.labels = [line for line, _, _ in found.labels]
        self.recording = found.recording
        self.start_s = found.start_s
        self.end_s = found.end_s
        self.filled = found.filled.astype(bool)
        self.record = json.loads(found.record)
        self.recordings = self.record["recordings"]
        for row, path in zip(self.recordings, found.paths, strict=True):
            row["path"] = path  # JSON has no way to hold bytes that are not UTF-8

    def __repr__(self):
        done = sum(row["state"] == "done" for row in self.recordings)
        windows, classes = self.scores.shape
        return f"<whimbrel.Result: {done} of {len(self.recordings)} recordings, {windows} windows, {classes} classes>"

    def __len__(self):
        """Windows."""
        return len(self.scores)

    @cached_property
    def failures(self) -> dict:
        """Path -> reason of the recordings that are not whole in the result."""
        return {row["path"]: row.get("error", row["state"]) for row in self.recordings if row["state"] != "done"}

    @cached_property
    def detections(self) -> np.ndarray:
        """Structured array in the order of the files: recording and label (indices), start_s, end_s, confidence."""
        kinds = [("recording", "u4"), ("label", "u4"), ("start_s", "f8"), ("end_s", "f8"), ("confidence", "f4")]
        columns = self._found.detections
        found = np.empty(len(columns[0]), kinds)
        for (name, _), column in zip(kinds, columns, strict=True):
            found[name] = column
        return found

    def to_pandas(self):
        """DataFrame of detections: file, start_s, end_s, label, scientific_name, common_name, confidence."""
        pandas = needs("pandas", "parquet")
        found = self.detections
        names = np.array(self._found.labels, dtype=object).reshape(-1, 3)[found["label"]]
        paths = np.array([row["path"] for row in self.recordings], dtype=object)
        return pandas.DataFrame(
            {
                "file": paths[found["recording"]],
                "start_s": found["start_s"],
                "end_s": found["end_s"],
                "label": names[:, 0],
                "scientific_name": names[:, 1],
                "common_name": names[:, 2],
                "confidence": found["confidence"],
            }
        )

    def scores_to_pandas(self):
        """DataFrame of all scores: file, start_s, end_s, and a column a class."""
        pandas = needs("pandas", "parquet")
        paths = np.array([row["path"] for row in self.recordings], dtype=object)
        where = pandas.DataFrame({"file": paths[self.recording], "start_s": self.start_s, "end_s": self.end_s})
        return pandas.concat([where, pandas.DataFrame(self.scores, columns=self.labels)], axis=1)

    def to_submission(self, path, sample_submission=None) -> str:
        """Writes a submission: row_id and a column a class. @throws Error as `predict --format kaggle`"""
        return self._one_file("kaggle", "submission.csv", path, sample_submission)

    def to_csv(self, path, *, absolute_time: bool = False) -> str:
        """Writes detections for a spreadsheet; with absolute_time also when they were."""
        return self._one_file("csv", "detections.csv", path, absolute_time=absolute_time)

    def to_raven(self, folder, *, absolute_time: bool = False) -> str:
        """Writes a selection table a recording, in a mirror of the recordings' folders. Returns the folder."""
        self._found.write(["raven"], folder, absolute_time=absolute_time)
        return os.fspath(folder)

    def to_parquet(self, path) -> str:
        """Writes all scores: file, start_s, end_s and a float32 column a class. Needs pyarrow: whimbrel[parquet]."""
        from .parquet import write_scores

        return write_scores(path, self)

    def write(self, formats, folder, *, absolute_time: bool = False) -> list[str]:
        """Writes formats of `predict --format` into a folder, with run.json. Returns the paths.

        @param formats        of "kaggle", "csv", "raven", "audacity", "kaleidoscope", "jsonl", "npy"
        @param absolute_time  say when detections were, where recordings say when they began (--absolute-time)
        """
        files = self._found.write(list(formats), folder, absolute_time=absolute_time)
        record = pathlib.Path(folder) / "run.json"
        with replacing(record) as partial:
            pathlib.Path(partial).write_text(self._found.record, "utf-8")
        return [*files, os.fspath(record)]

    def _one_file(self, name, file, path, sample_submission=None, absolute_time=False):
        path = pathlib.Path(path)
        if not path.parent.is_dir():
            raise Error("not_found", f"{path}: its folder is not there; make it first")
        with tempfile.TemporaryDirectory(prefix=".whimbrel-", dir=path.parent) as folder:
            self._found.write([name], folder, sample_submission, absolute_time)
            os.replace(os.path.join(folder, file), path)
        return os.fspath(path)


def needs(module, extra):
    """The module, or an Error that says how to get it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Error("unsupported", f"{error}; pip install 'whimbrel[{extra}]'") from error
