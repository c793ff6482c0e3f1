"""What a job leaves in its output folder: job.json, recordings/ (Parquet) and failed.csv."""

import json
import os

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as pads
import pyarrow.fs as pafs

from whimbrel import Error
from whimbrel.ray.listing import open_filesystem

FORMAT = 1
LEDGER = ["recording", "attempt", "state", "error", "windows", "decoded_s", "sample_rate_hz", "channels", "codec", "node"]
DETECTION = pa.struct(
    [("start_s", pa.float64()), ("end_s", pa.float64()), ("label", pa.string()), ("confidence", pa.float32())]
)


class Output:
    """An output folder, on any filesystem that Arrow or fsspec opens."""

    def __init__(self, name):
        self.name = str(name).rstrip("/")
        self.filesystem, prefix = open_filesystem(self.name)
        self.path = self.name.removeprefix(prefix).partition("?")[0] if prefix else self.name
        if isinstance(self.filesystem, pafs.LocalFileSystem):
            self.path = os.path.abspath(self.path)

    def at(self, *names):
        return "/".join([self.path, *names])

    def exists(self, *names):
        return self.filesystem.get_file_info(self.at(*names)).type != pafs.FileType.NotFound

    def write(self, data, *names):
        """Bytes to a file, which is there as a whole or not at all (object stores see to that themselves)."""
        self.filesystem.create_dir(self.path, recursive=True)
        partial = self.at(*names) + ".partial" if isinstance(self.filesystem, pafs.LocalFileSystem) else self.at(*names)
        with self.filesystem.open_output_stream(partial) as file:
            file.write(data)
        if partial != self.at(*names):
            self.filesystem.move(partial, self.at(*names))

    def begin(self, job):
        """Keeps what the job is; of one that was begun before it must be the same.

        @throws Error{invalid_argument} where it is another job's folder, with what differs
        """
        if not self.exists("job.json"):
            if self.exists("recordings"):
                raise Error("invalid_argument", f"{self.name}: has recordings/ but no job.json; give an empty folder")
            self.write(json.dumps(job, indent=1).encode() + b"\n", "job.json")
            return
        with self.filesystem.open_input_stream(self.at("job.json")) as file:
            begun = json.loads(file.read())
        differ = [key for key in dict.fromkeys([*begun, *job]) if begun.get(key) != job.get(key)]
        if differ:
            told = "; ".join(f"{key} was {_short(begun.get(key))}, now {_short(job.get(key))}" for key in differ)
            raise Error("invalid_argument", f"{self.name}: begun with other settings: {told}; give another folder")

    def dataset(self):
        """None before anything was written."""
        if not self.exists("recordings"):
            return None
        return pads.dataset(self.at("recordings"), filesystem=self.filesystem, format="parquet", partitioning="hive")


def ledger(output):
    """What became of each recording of a job that has ended: its last attempt.

    @param output  as of predict()
    @return        table with the columns recording, attempt, state ("done", "partial" or "failed"), error (null when done),
                   windows, decoded_s, sample_rate_hz, channels, codec and node; no order
    @throws Error{not_found} where there is no such output
    """
    dataset = Output(output).dataset()
    if dataset is None:
        raise Error("not_found", f"{output}: no recordings/ here, expected the output folder of whimbrel.ray.predict")
    table = dataset.to_table(columns=LEDGER)
    last = table.group_by("recording").aggregate([("attempt", "max")])
    if len(last) == len(table):
        return table
    return table.join(last, ["recording", "attempt"], ["recording", "attempt_max"], "inner")


def write_failed(output, ledger):
    """failed.csv: recording, state, error of all that are not done, in byte order."""
    rows = ledger.filter(pc.not_equal(ledger["state"], "done")).select(["recording", "state", "error"]).sort_by("recording")
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(rows, sink)
    output.write(sink.getvalue().to_pybytes(), "failed.csv")


def schema_of(labels, listing, threshold, embedding_size):
    """Of recordings/: one row a recording, its windows in lists. Labels are in the metadata, as JSON."""
    fields = [pa.field("id", pa.string()), *listing, pa.field("attempt", pa.int32()), pa.field("state", pa.string())]
    fields += [pa.field("error", pa.string()), pa.field("windows", pa.int32())]
    if threshold is None:
        fields += [pa.field(name, pa.list_(pa.float64())) for name in ("start_s", "end_s")]
        fields += [pa.field("scores", pa.list_(pa.list_(pa.float32(), len(labels))))]
    else:
        fields += [pa.field("detections", pa.list_(DETECTION))]
    if embedding_size:
        fields += [pa.field("embeddings", pa.list_(pa.list_(pa.float32(), embedding_size)))]
    fields += [pa.field("decoded_s", pa.float64()), pa.field("sample_rate_hz", pa.int32()), pa.field("channels", pa.int32())]
    fields += [pa.field("codec", pa.string()), pa.field("recorded_at", pa.string()), pa.field("node", pa.string())]
    if "date" not in [field.name for field in listing]:
        fields += [pa.field("date", pa.string())]
    return pa.schema(fields, {"whimbrel.labels": json.dumps(labels)})


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
