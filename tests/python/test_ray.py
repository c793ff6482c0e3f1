"""whimbrel.ray: on a cluster of raylets on this machine, some of which die."""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

import whimbrel as package
from small_networks import write_recording

ray = pytest.importorskip("ray", reason="ray is not installed: scripts/setup --dev")
fsspec = pytest.importorskip("fsspec")
pa = pytest.importorskip("pyarrow")
pads = pytest.importorskip("pyarrow.dataset")
pq = pytest.importorskip("pyarrow.parquet")
Cluster = pytest.importorskip("ray.cluster_utils").Cluster
SlowFiles = pytest.importorskip("slow_files").SlowFiles
whimbrel_ray = pytest.importorskip("whimbrel.ray")
read_listing = pytest.importorskip("whimbrel.ray.listing").read_listing

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"  # the processes of the cluster import slow_files from it too
STORE = 100 << 20  # bytes of the object store of a raylet
SMALL = {"recordings_per_call": 2, "bytes_per_file": 1}  # a file a call


@pytest.fixture(scope="module")
def cluster():
    """A raylet with one core; tests add and kill others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.environ["PYTHONPATH"] + os.pathsep + str(DATA))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE}
        started = Cluster(initialize_head=True, head_node_args=head)
        try:
            ray.init(address=started.address, logging_level="warning", log_to_driver=False)
            ray.data.DataContext.get_current().enable_progress_bars = False
            yield started
        finally:
            ray.shutdown()
            started.shutdown()


@pytest.fixture(scope="module")
def model(root):
    return root / "examples/dawn_chorus/model/dawn_chorus.toml"


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Twenty recordings of two sites, from 3 to 22 s."""
    folder = tmp_path_factory.mktemp("ray") / "field"
    for i in range(20):
        site = folder / f"site {i % 2}" / "2026"
        site.mkdir(parents=True, exist_ok=True)
        write_recording(site / f"r{i:02}.wav", 3 + i, i)
    return folder


def predict(recordings, model, output, **options):
    return whimbrel_ray.predict(recordings, model, output, engine="onnxruntime", batch=1, **options)


def rows_of(output):
    """{recording: row}, each once."""
    rows = pads.dataset(output / "recordings", format="parquet", partitioning="hive").to_table().to_pylist()
    assert len({row["recording"] for row in rows}) == len(rows)
    return {row["recording"]: row for row in rows}


def names_of(field):
    return sorted(str(path) for path in field.rglob("*.wav"))


@pytest.fixture(scope="module")
def expected(whimbrel, field, model, tmp_path_factory):
    """{recording: its scores [windows, classes]} by the command."""
    out = tmp_path_factory.mktemp("expected")
    command = [whimbrel, "predict", field, "--model", model, "--out", out, "--format", "npy", "--quiet"]
    subprocess.run(list(map(str, [*command, "--engine", "onnxruntime", "--batch", 1])), check=True)
    scores = np.load(out / "scores.npy")
    windows = [row["windows"] for row in json.loads((out / "run.json").read_text())["recordings"]]
    parts = np.split(scores, np.cumsum(windows)[:-1])
    return dict(zip(names_of(field), parts, strict=True))


def assert_complete(output, expected):
    """Every recording once, with the scores of the command to the bit."""
    rows = rows_of(output)
    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        assert np.array_equal(np.array(row["scores"], np.float32), expected[name])
        assert row["windows"] == len(expected[name])
        assert row["start_s"] == [5.0 * i for i in range(row["windows"])]


def node_of(log):
    return Counter(line.split()[0] for line in log.read_text().splitlines()) if log.exists() else Counter()


def when(condition, act):
    """Does `act` in a thread as soon as `condition` holds, which may take minutes on a busy machine: Ray is polite."""

    def wait():
        for _ in range(30_000):
            if condition():
                act()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


# --- whole jobs


def test_scores_are_those_of_the_command_to_the_bit_and_a_second_call_does_nothing(cluster, field, model, expected, tmp_path):
    summary = predict(field, model, tmp_path)
    assert_complete(tmp_path, expected)
    assert [summary[key] for key in ("recordings", "done", "partial", "failed")] == [20, 20, 0, 0]
    assert summary["windows"] == sum(map(len, expected.values())) and summary["hours"] == pytest.approx(250 / 3600)
    assert {row["folder"] for row in rows_of(tmp_path).values()} == {"site 0", "site 1"}
    assert len(list((tmp_path / "recordings").iterdir())) == 2
    files = sorted((tmp_path / "recordings").rglob("*.parquet"))
    labels = (model.parent / "labels.txt").read_text().splitlines()
    assert json.loads(pq.read_schema(files[0]).metadata[b"whimbrel.labels"]) == labels
    assert json.loads((tmp_path / "job.json").read_text())["labels"] == labels
    assert (tmp_path / "failed.csv").read_text().splitlines() == ['"recording","state","error"']
    again = predict(field, model, tmp_path)
    assert again | {"wall_s": 0} == summary | {"wall_s": 0}
    assert sorted((tmp_path / "recordings").rglob("*.parquet")) == files


def test_a_node_that_dies_loses_no_recording_and_doubles_none(cluster, field, model, expected, tmp_path):
    log = tmp_path / "log"
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    alive = {n["NodeID"] for n in ray.nodes() if n["Alive"]}
    files = SlowFiles(str(log), delay_s=0.3)
    kill = when(
        lambda: len(node_of(log)) == 2 and min(node_of(log).values()) >= 2,
        lambda: cluster.remove_node(node, allow_graceful=False),
    )
    summary = predict(names_of(field), model, tmp_path / "out", filesystem=files, **SMALL)
    kill.join()
    assert node_of(log).keys() <= alive and len(node_of(log)) == 2
    assert summary["done"] == 20
    assert_complete(tmp_path / "out", expected)


DRIVER = """
import sys
import ray, whimbrel.ray
from slow_files import SlowFiles
address, field, model, output, log = sys.argv[1:]
ray.init(address=address)
whimbrel.ray.predict(field, model, output, filesystem=SlowFiles(log, delay_s=0.3), engine="onnxruntime", batch=1,
                     recordings_per_call=2, bytes_per_file=1)
"""


def test_a_job_that_was_killed_is_resumed(cluster, field, model, expected, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    words = [cluster.address, field, model, out, log]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *map(str, words)], stderr=subprocess.DEVNULL)
    noted = lambda: [path for path in (out / "checkpoint").glob("*.parquet") if ".pending" not in path.name]  # noqa: E731
    kill = when(lambda: len(noted()) >= 3 or driver.poll() is not None, driver.kill)
    kill.join()
    assert driver.wait() == -9
    read_before = log.read_text().splitlines()
    assert 0 < len(list((out / "recordings").rglob("*.parquet"))) < 20
    # Whatever the write in its hands left: half a file, which Ray Data noted before it began.
    (out / "recordings/folder=half").mkdir()
    (out / "recordings/folder=half/torn_000000-0.parquet").write_bytes(b"PAR1half")
    pq.write_table(pa.table({"id": ["x"]}), out / "checkpoint/torn_000000.pending.parquet")
    summary = predict(str(field), model, out, filesystem=SlowFiles(str(log)), **SMALL)
    assert summary["done"] == 20
    assert len(log.read_text().splitlines()) - len(read_before) < 20
    assert_complete(out, expected)


def test_another_model_or_other_settings_are_refused(cluster, field, model, root, tmp_path):
    names = names_of(field)[:1]
    predict(names, model, tmp_path / "out")
    other = tmp_path / "model"
    other.mkdir()
    for file in model.parent.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    text = (other / "dawn_chorus.toml").read_text()
    (other / "dawn_chorus.toml").write_text(text.replace('name = "', 'name = "other '))
    for words, told in (
        ((other / "dawn_chorus.toml", {}), "models was"),
        ((model, {"threshold": 0.5}), "threshold was null, now 0.5"),
    ):
        with pytest.raises(package.Error, match=told) as error:
            predict(names, words[0], tmp_path / "out", **words[1])
        assert error.value.code == "invalid_argument" and len(str(error.value).splitlines()) == 1


def test_bad_recordings_are_rows_with_their_error_and_can_be_retried(cluster, field, model, expected, tmp_path):
    good, bad, missing = names_of(field)[3], tmp_path / "bad.wav", tmp_path / "missing.wav"
    bad.write_bytes(b"nothing that is sound")
    out = tmp_path / "out"
    summary = predict([good, str(bad), str(missing)], model, out)
    assert [summary[k] for k in ("recordings", "done", "failed")] == [3, 1, 2]
    rows = rows_of(out)
    assert "Format not recognised" in rows[str(bad)]["error"] and "no such recording" in rows[str(missing)]["error"]
    assert rows[str(good)]["error"] is None and rows[str(bad)]["scores"] == []
    failed = (out / "failed.csv").read_text()
    assert str(bad) in failed and str(missing) in failed and good not in failed
    bad.write_bytes(pathlib.Path(good).read_bytes())
    assert predict([good, str(bad), str(missing)], model, out)["failed"] == 2
    assert predict([good, str(bad), str(missing)], model, out, retry_failed=True)["failed"] == 1
    ledger = {row["recording"]: row for row in whimbrel_ray.ledger(out).to_pylist()}
    assert [(ledger[n]["state"], ledger[n]["attempt"]) for n in (good, str(bad), str(missing))] == [
        ("done", 1),
        ("done", 2),
        ("failed", 2),
    ]
    table = pads.dataset(out / "recordings", format="parquet", partitioning="hive").to_table().to_pylist()
    scored = [row["recording"] for row in table if row["scores"]]
    assert sorted(scored) == sorted([good, str(bad)])


def test_a_recording_that_ends_its_process_fails_alone(cluster, field, model, tmp_path):
    killer = tmp_path / "killer.wav"
    killer.write_bytes(b"")
    names = [*names_of(field)[:3], str(killer)]
    summary = predict(names, model, tmp_path / "out", filesystem=SlowFiles(str(tmp_path / "log")), recordings_per_call=4)
    assert summary["done"] == 3 and summary["failed"] == 1
    rows = rows_of(tmp_path / "out")
    assert {rows[name]["state"] for name in names[:3]} == {"done"}
    assert "died 3 times" in rows[str(killer)]["error"]


def test_detections_alone_of_an_archive_with_the_columns_of_the_listing(cluster, field, model, expected, tmp_path):
    names = names_of(field)[:4]
    with zipfile.ZipFile(tmp_path / "field.zip", "w") as archive:
        for name in names:
            archive.write(name, pathlib.Path(name).name)
    listing = pa.table({"recording": [pathlib.Path(n).name for n in names], "site": ["a", "a", "b", "b"], "date": ["d"] * 4})
    archive = fsspec.filesystem("zip", fo=str(tmp_path / "field.zip"))
    predict(listing, model, tmp_path / "out", filesystem=archive, threshold=0.2, partition_by=["site", "date"])
    labels = (model.parent / "labels.txt").read_text().splitlines()
    rows = rows_of(tmp_path / "out")
    some = 0
    for name, site in zip(names, ["a", "a", "b", "b"], strict=True):
        row = rows[pathlib.Path(name).name]
        assert row["site"] == site and "scores" not in row
        found = {(d["start_s"], d["end_s"], d["label"], np.float32(d["confidence"])) for d in row["detections"]}
        window, label = np.nonzero(expected[name] >= np.float32(0.2))
        which = zip(window.tolist(), label.tolist(), expected[name][window, label], strict=True)
        assert found == {(5.0 * w, 5.0 * w + 5, labels[i], c) for w, i, c in which} and len(found) == len(row["detections"])
        some += len(found)
    assert some > 0
    assert sorted(
        str(p.parent.relative_to(tmp_path / "out/recordings")) for p in tmp_path.glob("out/recordings/**/*.parquet")
    ) == [
        "site=a/date=d",
        "site=b/date=d",
    ]


def test_a_model_that_cannot_be_opened_is_told_before_anything_is_written(cluster, field, tmp_path):
    with pytest.raises(package.Error, match="nowhere.toml"):
        predict(field, tmp_path / "nowhere.toml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_example_runs_on_the_cluster_of_the_environment(cluster, field, model, root, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join([*names_of(field)[:2], str(tmp_path / "missing.wav")]))
    command = [sys.executable, root / "examples/ray_job.py", tmp_path / "list.txt", "--model", model, "--out", tmp_path / "out"]
    words = [*command, "--engine", "onnxruntime", "--threshold", "0.5"]
    done = subprocess.run(
        list(map(str, words)), env={**os.environ, "RAY_ADDRESS": cluster.address}, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert (summary["done"], summary["failed"]) == (2, 1)
    assert len(rows_of(tmp_path / "out")) == 3


# --- listings


def test_every_form_of_a_listing_names_the_same_recordings(field, tmp_path):
    names = names_of(field)
    (tmp_path / "list.txt").write_text("\n".join([*names, ""]))
    (tmp_path / "list.csv").write_text("recording,site\n" + "".join(f"{name},s\n" for name in names))
    pq.write_table(pa.table({"recording": names}), tmp_path / "list.parquet")
    forms = [field, str(field), names, [pathlib.Path(n) for n in names], names + names[:2], pa.table({"recording": names})]
    forms += [
        tmp_path / "list.txt",
        tmp_path / "list.csv",
        tmp_path / "list.parquet",
        pa.table({"recording": names}).to_pandas(),
    ]
    for form in forms:
        storage, table = read_listing(form)
        assert table["recording"].to_pylist() == names
        assert table["folder"].to_pylist() == ["site 0"] * 10 + ["site 1"] * 10
        assert [storage.path(name) for name in names] == names
    assert read_listing(tmp_path / "list.csv")[1]["site"].to_pylist() == ["s"] * 20
    assert read_listing(names[0])[1]["folder"].to_pylist() == ["."]


def test_uris_of_a_filesystem_are_paths_within_it(field, tmp_path):
    storage, table = read_listing(f"file://{field}")
    names = [f"file://{name}" for name in names_of(field)]
    assert table["recording"].to_pylist() == names
    assert [storage.path(name) for name in names] == names_of(field)
    memory = fsspec.filesystem("memory")
    memory.pipe("/tank/site/a b.wav", b"x")
    storage, table = read_listing("memory://tank")
    assert table["recording"].to_pylist() == ["memory://tank/site/a b.wav"]
    assert storage.fetch("memory://tank/site/a b.wav", str(tmp_path), 0) == f"{tmp_path}/0000/a b.wav"
    assert (tmp_path / "0000/a b.wav").read_bytes() == b"x"


def test_listings_that_cannot_be_used_are_told_in_one_line(field, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("path\na.wav\n")
    (tmp_path / "list.doc").write_text("a.wav\n")
    for listing, told in [
        (tmp_path / "nowhere", "nowhere: no such folder, recording or listing"),
        (tmp_path / "empty", "no recordings in"),
        ([], "no recordings in the listing"),
        (tmp_path / "list.csv", "columns path, expected one named recording"),
        (tmp_path / "list.doc", "expected a folder, a recording, or a listing"),
        (pa.table({"recording": ["a.wav", None]}), "1 rows without a recording"),
        (["memory://a.wav", "b.wav"], "b.wav does not begin with memory://"),
        (["nothing://a.wav"], "no filesystem for nothing://"),
    ]:
        with pytest.raises(package.Error, match=told) as error:
            read_listing(listing)
        assert len(str(error.value).splitlines()) == 1
    with pytest.raises(package.Error, match="expected one of pyarrow.fs or fsspec"):
        read_listing(["a.wav"], filesystem="s3")


def test_columns_that_are_the_outputs_own_and_unknown_partitions_are_refused(cluster, model, tmp_path):
    for listing, partition, told in [
        ({"recording": ["a.wav"], "state": ["x"]}, (), "columns state are the output's own"),
        ({"recording": ["a.wav"], "site": ["x"]}, ["size"], "no column size; there are site, folder, date"),
    ]:
        with pytest.raises(package.Error, match=told):
            predict(pa.table(listing), model, tmp_path / "out", partition_by=partition)
