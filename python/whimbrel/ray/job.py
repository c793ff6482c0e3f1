"""The pipeline: listing -> one process a node that scores -> Parquet."""

import glob
import hashlib
import json
import os
import time
from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
import ray.data
from ray.data.checkpoint import CheckpointConfig

import whimbrel
from whimbrel import Error
from whimbrel.ray.listing import read_listing
from whimbrel.ray.output import FORMAT, Output, ledger, schema_of, write_failed
from whimbrel.ray.worker import Trials, Worker, describe

# Columns of the output that a listing cannot have; its own "date" is kept.
RESERVED = (set(schema_of(["label"], [], None, 1).names) | {"detections"}) - {"recording", "date"}


def predict(
    recordings,
    model,
    output,
    *,
    threshold=None,
    partition_by=("folder",),
    filesystem=None,
    retry_failed=False,
    actors=None,
    cpus_per_actor=None,
    recordings_per_call=None,
    bytes_per_file=16 << 20,
    **options,
):
    """Scores a listing of recordings on a Ray cluster and writes a Parquet dataset, one row a recording.

    Runs on the cluster that ray.init() connected to, else on this machine. Called again with the same output it does what is
    not there yet; a job that was killed is resumed so. A recording that cannot be read is a row with its error, never an
    exception.

    @param recordings  a folder or URI prefix (searched recursively); a listing `.txt` (one a line), `.csv` or `.parquet`
                       (with a column `recording`; others are kept); a list of paths or URIs; a pyarrow table or pandas frame
    @param model       manifest or model file, or a list of them (an ensemble): paths that every node can read
    @param output      folder or URI that every node can write: gets job.json, recordings/, failed.csv, checkpoint/
    @param threshold   None: every score of every window. A number: only detections, scores at or above it
    @param partition_by  columns of the listing, or "folder", or "date" (of the recording, where it is known)
    @param filesystem  of pyarrow.fs or fsspec, where `recordings` are paths within it; by default the URI's, else local disk
    @param retry_failed  try once more those that failed before, as another attempt
    @param actors, cpus_per_actor  processes, and cores of each; default: one on every node, with the cores of the smallest
    @param recordings_per_call  default: twice the cores of a process, so that few cores are idle while a call ends; 4 at least
    @param bytes_per_file  results are written when so many are there
    @param options     as of whimbrel.Predictor: engine, batch, hop_s, embeddings, ...
    @return            dict: recordings, done, partial, failed, windows, hours (of sound), wall_s
    @throws whimbrel.Error  before anything runs: of the listing, model or options; where output holds another job. Of Ray: what
                       ends a job, such as a full disk; called again, it goes on
    """
    begin = time.monotonic()
    if not ray.is_initialized():
        ray.init()
    storage, listing = read_listing(recordings, filesystem)
    _check_columns(listing, partition_by)
    models = _models(model)
    pool = _pool(actors, cpus_per_actor, recordings_per_call)
    folder = Output(output)
    expected = _described(models, options, threshold)
    folder.begin(_job(expected, options, threshold, partition_by))
    worker = {"models": models, "options": options, "threads": pool.cpus, "storage": storage}
    worker |= {"expected": expected, "threshold": threshold, "trials": Trials(folder)}
    rest = folder, pool, worker, partition_by, bytes_per_file
    _run(_with_ids(listing, pa.array([1] * len(listing), pa.int32())), *rest)
    if retry_failed and len(failed := _failed(folder, listing)):
        _run(failed, *rest)
    return _summary(folder, listing, time.monotonic() - begin)


@dataclass(frozen=True)
class _Pool:
    actors: int
    cpus: int
    recordings: int  # a call


def _run(listing, folder, pool, worker, partition_by, bytes_per_file):
    """Scores what the checkpoint does not have yet."""
    sink = pa.BufferOutputStream()
    pq.write_table(listing, sink)
    folder.write(sink.getvalue().to_pybytes(), "listing.parquet")
    with ray.data.DataContext.current(_context(folder)):
        # Reading and writing ask for no core: the processes that score have them all.
        calls = ray.data.read_parquet(
            folder.at("listing.parquet"),
            filesystem=folder.filesystem,
            num_cpus=0,
            override_num_blocks=-(-len(listing) // pool.recordings),
        )
        results = calls.map_batches(
            Worker,
            fn_constructor_kwargs=worker,
            batch_size=pool.recordings,
            batch_format="pyarrow",
            # A call fetches while the one before it scores, and two more wait.
            compute=ray.data.ActorPoolStrategy(
                size=pool.actors,
                max_tasks_in_flight_per_actor=4,
                max_concurrent_calls_per_actor=2,
                enable_true_multi_threading=True,
            ),
            num_cpus=pool.cpus,
        )
        results.write_parquet(
            folder.at("recordings"),
            partition_cols=list(partition_by) or None,
            filesystem=folder.filesystem,
            min_bytes_per_file=bytes_per_file,
            ray_remote_args={"num_cpus": 0},
            compression="zstd",
        )


def _context(folder):
    context = ray.data.DataContext.get_current().copy()
    context.use_datasource_v2 = False  # its listing of files would wait for a core
    context.checkpoint_config = CheckpointConfig(
        id_column="id",
        checkpoint_path=folder.at("checkpoint"),
        override_filesystem=folder.filesystem,
        delete_checkpoint_on_success=False,
    )
    return context


def _check_columns(listing, partition_by):
    taken = sorted(RESERVED & set(listing.column_names))
    if taken:
        raise Error("invalid_argument", f"listing: columns {', '.join(taken)} are the output's own; name them otherwise")
    unknown = [name for name in partition_by if name not in [*listing.column_names, "date"] or name == "recording"]
    if unknown:
        known = ", ".join([*(name for name in listing.column_names if name != "recording"), "date"])
        raise Error("invalid_argument", f"partition_by: no column {', '.join(unknown)}; there are {known}")


def _models(model):
    """Absolute, as nodes run in folders of their own; but in a working_dir that Ray brings to each of them, as they are."""
    models = [model] if isinstance(model, str | os.PathLike) else list(model)
    found = [path for name in map(os.fspath, models) for path in (sorted(glob.glob(name)) or [name])]
    brought = "working_dir" in ray.get_runtime_context().runtime_env
    return found if brought else [os.path.abspath(path) for path in found]


def _pool(actors, cpus, recordings):
    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    nodes = [cores for cores in nodes if cores >= 1]
    if not nodes and not (actors and cpus):
        raise Error("invalid_argument", "the cluster has no node with a core yet; give actors= and cpus_per_actor=")
    cpus = cpus or min(nodes)
    actors = actors or sum(cores // cpus for cores in nodes)
    if actors < 1:
        raise Error("invalid_argument", f"cpus_per_actor={cpus}, but no node has more than {max(nodes)} cores")
    return _Pool(actors, cpus, recordings or max(4, 2 * cpus))


def _described(models, options, threshold):
    try:
        return ray.get(ray.remote(describe).options(num_cpus=1).remote(models, options, threshold))
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Error | TypeError) else error) from None


def _job(expected, options, threshold, partition_by):
    job = {"format": FORMAT, "whimbrel": whimbrel.__version__, **expected}
    return json.loads(json.dumps({**job, "options": options, "threshold": threshold, "partition_by": list(partition_by)}))


def _with_ids(listing, attempts):
    """With the columns attempt and id, which tells each attempt at each recording apart in 24 characters."""
    pairs = zip(listing["recording"].to_pylist(), attempts.to_pylist(), strict=True)
    ids = [hashlib.blake2b(f"{attempt} {name}".encode(), digest_size=12).hexdigest() for name, attempt in pairs]
    return listing.append_column("attempt", attempts).append_column("id", pa.array(ids, pa.string()))


def _failed(folder, listing):
    """Of the listing those whose last attempt failed, for another one."""
    rows = ledger(folder.name)
    rows = rows.filter(pc.equal(rows["state"], "failed"))
    last = dict(zip(rows["recording"].to_pylist(), rows["attempt"].to_pylist(), strict=True))
    listing = listing.filter(pc.is_in(listing["recording"], rows["recording"]))
    return _with_ids(listing, pa.array([last[name] + 1 for name in listing["recording"].to_pylist()], pa.int32()))


def _summary(folder, listing, wall_s):
    rows = ledger(folder.name)
    write_failed(folder, rows)
    rows = rows.filter(pc.is_in(rows["recording"], listing["recording"]))
    states = dict.fromkeys(("done", "partial", "failed"), 0) | dict(Counter(rows["state"].to_pylist()))
    hours = (pc.sum(rows["decoded_s"]).as_py() or 0) / 3600
    return {
        "recordings": len(rows),
        **states,
        "windows": pc.sum(rows["windows"]).as_py() or 0,
        "hours": hours,
        "wall_s": wall_s,
    }
