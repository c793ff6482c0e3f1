"""Which recordings there are, and how one of them becomes a local file."""

import os
import shutil
from dataclasses import dataclass

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from whimbrel import Error
from whimbrel._native import _core

EXTENSIONS = frozenset(_core.recording_extensions())  # what a folder is searched for
COPY_BYTES = 1 << 20


def open_filesystem(name, filesystem=None):
    """(pyarrow filesystem, prefix): what holds `name`, and what stands in names before the path within it.

    A name without "://" is a path of `filesystem`, by default of the local disk.
    """
    if filesystem is not None:
        return _as_pyarrow(filesystem), ""
    scheme, separator, rest = str(name).partition("://")
    if not separator:
        return pafs.LocalFileSystem(), ""
    place, _, query = rest.partition("?")
    # Only as much as names the filesystem: Arrow takes no URI with a space in it.
    head = f"{scheme}://{place.partition('/')[0]}"
    try:
        found, path = pafs.FileSystem.from_uri(f"{head}{'/' * (scheme in ('file', 'hdfs'))}{'?' * bool(query)}{query}")
        return found, head.removesuffix(path.rstrip("/"))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass  # a scheme that Arrow does not speak
    try:
        found = fsspec.filesystem(scheme)
    except (ValueError, ImportError) as error:
        raise Error("invalid_argument", f"{name}: no filesystem for {scheme}://: {error}; give one as filesystem=") from None
    return _as_pyarrow(found), f"{scheme}://"


def _as_pyarrow(filesystem):
    if isinstance(filesystem, pafs.FileSystem):
        return filesystem
    if isinstance(filesystem, fsspec.AbstractFileSystem):
        return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem))
    raise Error("invalid_argument", f"filesystem: a {type(filesystem).__name__}, expected one of pyarrow.fs or fsspec")


@dataclass(frozen=True)
class Storage:
    """Where recordings are. Travels to the workers."""

    filesystem: pafs.FileSystem
    prefix: str
    root: str  # what relative paths of the local disk are relative to

    @classmethod
    def of(cls, name, filesystem=None):
        return cls(*open_filesystem(name, filesystem), os.getcwd())

    def path(self, name):
        """Of a recording, within the filesystem."""
        if not name.startswith(self.prefix):
            raise Error("invalid_argument", f"{name} does not begin with {self.prefix}; one listing is on one filesystem")
        path = name.removeprefix(self.prefix).partition("?")[0] if self.prefix else name
        return os.path.join(self.root, path) if self.is_local else path

    @property
    def is_local(self):
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def fetch(self, name, folder, number):
        """The local file of a recording: itself where it is one, else a copy in `folder`.

        @throws OSError where it cannot be read
        """
        path = self.path(name)
        info = self.filesystem.get_file_info(path)
        if info.type != pafs.FileType.File:
            what = "is a folder, expected a recording" if info.type == pafs.FileType.Directory else "no such recording"
            raise FileNotFoundError(f"{name}: {what}")
        if self.is_local:
            return path
        os.mkdir(os.path.join(folder, f"{number:04}"))
        copy = os.path.join(folder, f"{number:04}", os.path.basename(path))  # the name may say when it was recorded
        with self.filesystem.open_input_stream(path) as source, open(copy, "wb") as target:
            shutil.copyfileobj(source, target, COPY_BYTES)
        return copy


def read_listing(recordings, filesystem=None):
    """(Storage, table) of the recordings that a user named, each once, in the order given.

    @param recordings  a folder or a URI prefix (searched recursively); a recording; a listing `.txt` (one a line), `.csv` or
                       `.parquet` (column `recording`); a list of recordings; a pyarrow table or a pandas frame
    @return            table: `recording` (string), `folder` (the first folder below the one they all are in, "." for none;
                       unless the listing has such a column), and whatever else the listing has
    @throws Error{not_found, invalid_argument}
    """
    if isinstance(recordings, str | os.PathLike):
        storage, table = _listing_of(os.fspath(recordings), filesystem)
    else:
        table = _table_of(recordings)
        storage = Storage.of(table["recording"][0].as_py() if len(table) else "", filesystem)
    if not len(table):
        raise Error("not_found", f"no recordings in {recordings if isinstance(recordings, str) else 'the listing'}")
    names = table["recording"]
    if names.null_count:
        raise Error("invalid_argument", f"listing: {names.null_count} rows without a recording")
    first = pc.index_in(pc.unique(names), names)
    table = table.take(first) if len(first) < len(table) else table
    for name in table["recording"].to_pylist():
        storage.path(name)
    if "folder" not in table.column_names:
        table = table.append_column("folder", pa.array(_folders(table["recording"].to_pylist()), pa.string()))
    return storage, table


def _listing_of(name, filesystem):
    storage = Storage.of(name, filesystem)
    path = storage.path(name)
    info = storage.filesystem.get_file_info(path)
    if info.type == pafs.FileType.NotFound:
        raise Error("not_found", f"{name}: no such folder, recording or listing")
    if info.type == pafs.FileType.Directory:
        return storage, _search(storage, name, path)
    ending = os.path.splitext(path)[1].lower()
    if ending in EXTENSIONS:
        return storage, pa.table({"recording": [name]})
    with storage.filesystem.open_input_file(path) as file:
        if ending == ".txt":
            lines = file.read().decode("utf-8", "surrogateescape").splitlines()
            table = pa.table({"recording": [line for line in lines if line]})
        elif ending == ".csv":
            text = pyarrow.csv.ConvertOptions(column_types={"recording": pa.string()})  # not a number, even if it looks so
            table = pyarrow.csv.read_csv(file, convert_options=text)
        elif ending == ".parquet":
            table = pq.read_table(file)
        else:
            raise Error("invalid_argument", f"{name}: expected a folder, a recording, or a listing .txt, .csv or .parquet")
    table = _table_of(table, name)
    # A listing on the local disk may name what is in an object store.
    return (Storage.of(table["recording"][0].as_py(), filesystem) if len(table) else storage), table


def _search(storage, name, path):
    found = storage.filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
    files = sorted(f.path for f in found if f.type == pafs.FileType.File and os.path.splitext(f.path)[1].lower() in EXTENSIONS)
    base, question, query = name.partition("?") if storage.prefix else (name, "", "")
    # Below the folder as the user wrote it, whatever the filesystem makes of its name.
    below = [os.path.relpath("/" + file.lstrip("/"), "/" + path.lstrip("/")) for file in files]
    return pa.table({"recording": pa.array([f"{base.rstrip('/')}/{b}{question}{query}" for b in below], pa.string())})


def _table_of(listing, name="listing"):
    if isinstance(listing, pa.Table):
        table = listing
    elif hasattr(listing, "columns"):
        table = pa.Table.from_pandas(listing, preserve_index=False)
    else:
        return pa.table({"recording": pa.array([os.fspath(recording) for recording in listing], pa.string())})
    if "recording" not in table.column_names:
        raise Error("invalid_argument", f"{name}: columns {', '.join(table.column_names)}, expected one named recording")
    at = table.column_names.index("recording")
    return table.set_column(at, "recording", table["recording"].cast(pa.string()))


def _folders(names):
    parents = [name.split("/")[:-1] for name in names]
    differ = (depth for depth, folders in enumerate(zip(*parents, strict=False)) if len(set(folders)) > 1)
    depth = next(differ, min(map(len, parents)))
    return ["".join(parent[depth : depth + 1]) or "." for parent in parents]
