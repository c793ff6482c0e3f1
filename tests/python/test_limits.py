"""The ends of what is allowed: descriptors, a hundred thousand recordings, a day in one file, files past 4 GB."""

import csv
import os
import pathlib
import resource
import shutil
import struct
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from faults import ledger, nothing_temporary, predict, record_of, wav
from small_networks import Network, write_recording

GB = 1 << 30
LOUD = 0.25  # of the last samples; all before them are 0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Network(1).write(tmp_path_factory.mktemp("model"), "net")


def mean_model(folder, rate, window_s):
    """Class 0 has the sigmoid of the window's mean, class 1 of its negative."""
    folder.mkdir()
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["samples"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("MatMul", ["mean", "signs"], ["clip"]),
        ],
        "mean",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", rate * window_s])],
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.array([[1, -1]], np.float32), "signs")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "mean.onnx")
    (folder / "labels.txt").write_text("up\ndown\n")
    (folder / "mean.toml").write_text(
        f'[model]\nname = "mean"\nfile = "mean.onnx"\nlabels = "labels.txt"\n[input]\nkind = "waveform"\n'
        f'sample_rate_hz = {rate}\nwindow_s = {window_s}\nhop_s = {window_s}\n[output]\nclip = "clip"\n'
    )
    return folder / "mean.toml"


def sparse_file(path, header, data_bytes, tail):
    """`header` and `data_bytes` of zeros that take no room, but for `tail` at their end. Skips where files cannot be sparse."""
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + data_bytes - len(tail))
        file.seek(0, os.SEEK_END)
        file.write(tail)
    if path.stat().st_blocks * 512 > data_bytes // 4 and data_bytes > 100_000_000:
        path.unlink()
        pytest.skip(f"{path.parent} has no sparse files, and this test needs {data_bytes / 1e9:.1f} GB")
    if shutil.disk_usage(path.parent).free < 2 * GB:
        path.unlink()
        pytest.skip(f"{path.parent} has less than 2 GB free")
    return path


def last_window(out):
    """(start, end, scores) of the last row."""
    with (out / "scores.index.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    return float(row["start_s"]), float(row["end_s"]), np.load(out / "scores.npy")[-1]


def test_200_recordings_with_40_descriptors_and_4_workers(whimbrel, model, tmp_path):
    field = tmp_path / "field"
    field.mkdir()
    write_recording(field / "r000.wav", 3.2, 1)
    for i in range(1, 200):
        os.link(field / "r000.wav", field / f"r{i:03}.wav")
    words = ["--threads", 4, "--embeddings"]
    done = predict(
        whimbrel,
        model,
        field,
        tmp_path / "out",
        *words,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)),
    )
    assert done.returncode == 0, done.stderr
    assert record_of(tmp_path / "out")["summary"]["done"] == 200
    scores = np.load(tmp_path / "out/scores.npy").reshape(200, 3, -1)
    assert (scores == scores[0]).all()
    assert len(list((tmp_path / "out").glob("*.selections.txt"))) == 200 and nothing_temporary(tmp_path / "out")


@pytest.mark.slow
def test_100000_recordings_in_one_folder(whimbrel, model, tmp_path):
    count = 100_000
    field = tmp_path / "field"
    field.mkdir()
    for i in range(count):
        path = field / f"r{i:06}.wav"
        if i % 50_000 == 0:  # a file has so many names at most
            write_recording(path, 0.05, 1)
            first = path
        else:
            os.link(first, path)
    (field / "r050000.wav").write_bytes(b"not a recording")  # and with it its other names
    done = predict(whimbrel, model, field, tmp_path / "out", formats="npy,kaggle,csv,jsonl")
    shutil.rmtree(field)
    assert done.returncode == 1
    record = record_of(tmp_path / "out")
    names = [os.path.basename(r["path"]) for r in record["recordings"]]
    assert names == [f"r{i:06}.wav" for i in range(count)]
    assert [r["state"] for r in record["recordings"]] == ["done"] * 50_000 + ["failed"] * 50_000
    assert len(np.load(tmp_path / "out/scores.npy", mmap_mode="r")) == 50_000
    with (tmp_path / "out/submission.csv").open() as file:
        assert sum(1 for _ in file) == 50_001
    # 1 kB of names, ledger and JSON for each; what does not grow is 70 MB
    assert record["summary"]["peak_rss_bytes"] < 400e6


def test_a_recording_of_24_hours_takes_no_more_memory_than_one_of_a_minute(whimbrel, tmp_path):
    rate, day_s = 1000, 24 * 3600
    model = mean_model(tmp_path / "model", rate, 60)
    memory = {}
    for name, seconds in (("minute", 60), ("day", day_s)):
        size = 2 * rate * seconds
        tail = np.full(rate * 60, LOUD * 32768, "<i2").tobytes()
        path = sparse_file(tmp_path / f"{name}.wav", wav(b"", rate=rate, size=size, riff=size + 36), size, tail)
        done = predict(whimbrel, model, path, tmp_path / name, formats="npy,kaggle,raven")
        assert done.returncode == 0, done.stderr
        memory[name] = record_of(tmp_path / name)["summary"]["peak_rss_bytes"]
        start, end, scores = last_window(tmp_path / name)
        assert (start, end) == (seconds - 60, seconds)
        np.testing.assert_allclose(scores, 1 / (1 + np.exp([-LOUD, LOUD])), rtol=1e-5)
    assert len(np.load(tmp_path / "day/scores.npy")) == 1440
    assert memory["day"] < memory["minute"] + 32e6  # batches in flight: a few windows of 240 kB for each worker


def w64(data_bytes, form):
    """Sony's 64-bit WAVE: chunk names of 16 bytes, sizes that count their own 24."""
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    riff = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
    chunks = b"wave" + tail + b"fmt " + tail + struct.pack("<Q", 24 + len(form)) + form
    chunks += b"data" + tail + struct.pack("<Q", 24 + data_bytes)
    return riff + struct.pack("<Q", 24 + len(chunks) + data_bytes) + chunks


def rf64(data_bytes, form):
    body = b"ds64" + struct.pack("<IQQQI", 28, 60 + len(form) + data_bytes, data_bytes, data_bytes // 8, 0)
    body += b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 0xFFFFFFFF)
    return b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + body


RATE = 48000
WINDOW_S = 120
FORM = struct.pack("<HHIIHH", 3, 1, RATE, 8 * RATE, 8, 64)  # float64: many bytes and few windows


def riff(size, riff_size):
    return wav(b"", form=b"fmt " + struct.pack("<I", 16) + FORM, size=size, riff=riff_size)


UNDER, OVER = 4 * GB - 1024, 4 * GB + 600 * 1024 * 1024
LARGE = {
    "just under 4 GB": (UNDER, riff(UNDER, UNDER + 36)),
    "past 4 GB with a size that wrapped around": (OVER, riff(OVER % 2**32, (OVER + 36) % 2**32)),
    "RF64 past 4 GB": (OVER, rf64(OVER, FORM)),
    "W64 past 4 GB": (OVER, w64(OVER, FORM)),
}


@pytest.fixture(scope="module")
def large_model(tmp_path_factory):
    return mean_model(tmp_path_factory.mktemp("large") / "model", RATE, WINDOW_S)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGE)
def test_a_wav_(whimbrel, large_model, tmp_path, kind):
    data_bytes, header = LARGE[kind]
    seconds = data_bytes // 8 / RATE
    full = int(seconds // WINDOW_S)
    covered = seconds - full * WINDOW_S  # of the last window
    windows = full + (covered >= WINDOW_S / 2)
    tail = np.full(RATE * WINDOW_S * 2, LOUD, "<f8").tobytes()
    path = sparse_file(tmp_path / "large.wav", header, data_bytes, tail)
    done = predict(
        whimbrel, large_model, path, tmp_path / "out", formats="npy", engine=("--engine", "onnxruntime", "--batch", "1")
    )
    path.unlink()
    assert done.returncode == 0, done.stderr
    entry = ledger(tmp_path / "out")["large.wav"]
    assert (entry["state"], entry["windows"]) == ("done", windows) and abs(entry["decoded_s"] - seconds) < 0.001
    start, end, scores = last_window(tmp_path / "out")
    assert (start, end) == ((windows - 1) * WINDOW_S, windows * WINDOW_S)
    mean = LOUD * (1 if windows == full else covered / WINDOW_S)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp([-mean, mean])), rtol=1e-4)
    assert record_of(tmp_path / "out")["summary"]["peak_rss_bytes"] < 600e6
