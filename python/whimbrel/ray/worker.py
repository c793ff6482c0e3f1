"""What runs on the nodes: one process that keeps the models open and scores some recordings a call."""

import contextlib
import hashlib
import os
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs

import whimbrel
from whimbrel import Error
from whimbrel.ray.output import schema_of

ROW = ("state", "error", "decoded_s", "sample_rate_hz", "channels", "codec", "recorded_at")  # as in run.json
NUMBERS = ("start_s", "end_s", "scores", "detections", "embeddings")
TRIALS = 3  # of a batch before its recordings are tried alone, and of each of these
FETCHES = 4  # at once; one rarely fills the line to an object store


def open_models(models, options, threshold, threads=1):
    """A single one may be a plan."""
    options = options if threshold is None else {**options, "threshold": threshold}
    return whimbrel.Predictor(models[0] if len(models) == 1 else models, threads=threads, **options)


def describe(models, options, threshold):
    """What these models are on the node where this runs: labels, hashes, and the length of an embedding (0: none asked for)."""
    return _description(open_models(models, options, threshold))


def _description(predictor):
    result = predictor.predict_array(np.zeros(32000, np.float32), 32000)
    members = [{"name": m["name"], "hash_xxh3_128": m["hash_xxh3_128"]} for m in result.record["models"]]
    size = 0 if result.embeddings is None else int(result.embeddings.shape[1])
    return {"labels": list(result.labels), "models": members, "embedding_size": size}


class Trials:
    """How often recordings were begun and not ended, because the process or its node died with them.

    Ray repeats what died for as long as it takes, so a recording that crashes a decoder would end one process after the other.
    Kept as empty files beside the output, one while a call is at work.
    """

    def __init__(self, output):
        self.output = output

    @contextlib.contextmanager
    def of(self, what, ids):
        """Gives how often this was begun before, which is forgotten when it comes back from the block."""
        name = hashlib.blake2b(" ".join([what, *ids]).encode(), digest_size=12).hexdigest()
        folder, filesystem = self.output.at("trials", name), self.output.filesystem
        begun = len(filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True)))
        filesystem.create_dir(folder, recursive=True)
        filesystem.open_output_stream(f"{folder}/{begun}").close()
        yield begun
        filesystem.delete_dir(folder)


class Worker:
    """Scores a batch of a listing. Ray Data makes one on each node and calls it from several threads.

    While one call scores, the next one fetches; so at most twice the recordings of a call lie on the disk.
    """

    def __init__(self, models, options, threads, storage, expected, threshold, trials):
        self.storage = storage
        self.threshold = threshold
        self.expected = expected
        self.trials = trials
        self.predictor = open_models(models, options, threshold, threads)
        self.scoring = threading.RLock()
        self.node = socket.gethostname()
        found = _description(self.predictor)
        if found != expected:  # a copy that is another one must not go on unnoticed
            what = f"{self.node}: models {found['models']}, expected {expected['models']}"
            raise Error("bad_manifest", f"{what}; put the same files on every node")

    def __call__(self, batch):
        with self.trials.of("call", batch["id"].to_pylist()) as begun:
            if begun < TRIALS:
                yield self._score(batch)
            else:
                for i in range(len(batch)):
                    yield self._score_alone(batch.slice(i, 1))

    def _score_alone(self, row):
        """One of the call it was that ended the process, or of the other call in it: so nothing else is scored meanwhile."""
        with self.scoring, self.trials.of("alone", row["id"].to_pylist()) as begun:
            if begun < TRIALS:
                return self._score(row)
            error = f"the process that scored it died {begun} times; Ray's log of the job says how"
            return self._table(row, [(None, error)], None)

    def _score(self, batch):
        names = batch["recording"].to_pylist()
        with tempfile.TemporaryDirectory(prefix="whimbrel-") as folder:
            with ThreadPoolExecutor(FETCHES) as fetches:
                fetched = list(fetches.map(lambda job: self._fetch(job[1], folder, job[0]), enumerate(names)))
            local = [path for path, error in fetched if not error]
            result = None
            if local:
                with self.scoring:
                    result = self.predictor.predict(local)
        return self._table(batch, fetched, result)

    def _fetch(self, name, folder, number):
        """(local path, "") or (None, why not)."""
        try:
            path = self.storage.fetch(name, folder, number)
            return os.path.normpath(path), ""
        except (OSError, ValueError, KeyError) as error:  # what filesystems raise for one file
            return None, f"cannot read it: {error}"

    def _table(self, batch, fetched, result):
        rows = {}  # by local path: its row of the ledger, and which windows are its
        if result is not None:
            ends = np.searchsorted(result.recording, np.arange(len(result.recordings)), side="right")
            begins = [0, *ends[:-1]]
            rows = {row["path"]: (row, np.arange(b, e)) for row, b, e in zip(result.recordings, begins, ends, strict=True)}
        none = np.arange(0)
        found = [rows[path] if path else ({"state": "failed", "error": error}, none) for path, error in fetched]
        columns = {name: batch[name] for name in batch.column_names}
        columns |= {name: [row.get(name) for row, _ in found] for name in ROW}
        columns["windows"] = [len(windows) for _, windows in found]
        columns.setdefault("date", [(row.get("recorded_at") or "")[:10] or None for row, _ in found])
        columns["node"] = [self.node] * len(found)
        columns |= self._numbers(result, [windows for _, windows in found])
        listing = [field for field in batch.schema if field.name not in ("id", "attempt")]
        schema = schema_of(self.expected["labels"], listing, self.threshold, self.expected["embedding_size"])
        return pa.table([_column(columns[field.name], field.type) for field in schema], schema)

    def _numbers(self, result, windows):
        """Of each recording's windows, as columns of lists."""
        if result is None:
            return {name: [[] for _ in windows] for name in NUMBERS}
        order = np.concatenate(windows).astype(np.int64)
        offsets = pa.array(np.cumsum([0, *map(len, windows)]), pa.int32())
        columns = {}
        if self.threshold is None:
            columns = {name: pa.ListArray.from_arrays(offsets, getattr(result, name)[order]) for name in ("start_s", "end_s")}
            columns["scores"] = _lists(offsets, result.scores[order])
        else:
            columns["detections"] = _detections(result, windows)
        if self.expected["embedding_size"]:
            columns["embeddings"] = _lists(offsets, result.embeddings[order])
        return columns


def _detections(result, windows):
    """Of each recording, whose windows are given, what was detected in it."""
    found = result.detections
    fields = ("start_s", "end_s", "label", "confidence")
    rows = [[] for _ in result.recordings]
    for recording, start, end, label, confidence in zip(*(found[f].tolist() for f in ("recording", *fields)), strict=True):
        values = (start, end, result.labels[label], confidence)
        rows[recording].append(dict(zip(fields, values, strict=True)))
    return [rows[result.recording[of[0]]] if len(of) else [] for of in windows]


def _lists(offsets, rows):
    """[windows, n] as a column of lists of lists of n."""
    values = pa.array(np.ascontiguousarray(rows, np.float32).ravel())
    return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(values, rows.shape[1]))


def _column(values, kind):
    return values.cast(kind) if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
