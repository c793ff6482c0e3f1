"""All scores of a run as one Parquet file: file, start_s, end_s and a float32 column a class."""

import csv
import json
import os
import pathlib
import sys

import numpy as np

from ._command import main_of, parser_of
from ._files import replacing
from .errors import Error
from .result import needs


def write_scores(path, result) -> str:
    """Writes the scores of a Result. @throws Error "unsupported" without pyarrow, "io" """
    paths = [row["path"] for row in result.recordings]
    return write_table(path, [paths[r] for r in result.recording], result.start_s, result.end_s, result.labels, result.scores)


def convert(folder) -> str:
    """Writes scores.parquet into the folder of a run with `--format npy`, and returns its path.

    @throws Error "not_found" where scores.npy, its index or run.json is not there
    """
    folder = pathlib.Path(folder)
    for name in ("scores.npy", "scores.index.csv", "run.json"):
        if not (folder / name).is_file():
            raise Error("not_found", f"{folder / name}: no such file; run whimbrel predict with --format npy")
    with (folder / "scores.index.csv").open(newline="", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    scores = np.load(folder / "scores.npy", mmap_mode="r")
    labels = json.loads((folder / "run.json").read_text())["labels"]
    times = [np.array([float(row[key]) for row in rows]) for key in ("start_s", "end_s")]
    return write_table(folder / "scores.parquet", [row["file"] for row in rows], *times, labels, scores)


def write_table(path, files, start_s, end_s, labels, scores):
    pyarrow = needs("pyarrow", "parquet")
    parquet = needs("pyarrow.parquet", "parquet")
    names = [name.encode(errors="surrogateescape").decode(errors="replace") for name in files]
    columns = [pyarrow.array(names).dictionary_encode(), pyarrow.array(start_s), pyarrow.array(end_s)]
    columns += [pyarrow.array(np.ascontiguousarray(scores[:, c])) for c in range(scores.shape[1])]
    table = pyarrow.table(columns, names=["file", "start_s", "end_s", *labels])
    try:
        with replacing(path) as partial:
            parquet.write_table(table, partial, compression="zstd")
    except OSError as error:
        raise Error("io", f"{path}: {error}") from error
    return os.fspath(path)


def main(argv=None):
    parser = parser_of("parquet", __doc__)
    parser.add_argument("run", metavar="RUN_DIR", help="folder of a run with --format npy")
    written = lambda done, arguments: None if arguments.quiet else done["file"]  # noqa: E731
    return main_of(parser, lambda arguments: {"file": convert(arguments.run)}, written, argv)


if __name__ == "__main__":
    sys.exit(main())
