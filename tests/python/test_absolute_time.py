"""Recordings that say when they began, in header or name, and detections with date and time."""

import csv
import json
import struct
import subprocess

import numpy as np
import pytest

RATE = 32000


@pytest.fixture(scope="module")
def model(root):
    return root / "examples/dawn_chorus/model/dawn_chorus.toml"


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def write_wav(path, seconds, *chunks):
    """A chirp, and these chunks behind it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(int(seconds * RATE)) / RATE
    samples = (8000 * np.sin(2 * np.pi * (1500 + 200 * (t % 5)) * t)).astype("<i2").tobytes()
    body = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)) + chunk(b"data", samples)
    path.write_bytes(chunk(b"RIFF", body + b"".join(chunks)))


def guano(timestamp):
    return chunk(b"guan", f"GUANO|Version: 1.0\nTimestamp: {timestamp}\n".encode())


def audiomoth(text):
    return chunk(b"LIST", b"INFO" + chunk(b"ICMT", text.encode() + b"\0"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_wav(folder / "a/dawn.wav", 12, guano("2023-05-01T05:00:00.25+02:00"))
    write_wav(folder / "a/SITE_20230501_235955.wav", 10)
    write_wav(folder / "b/5CE44ECA.WAV", 5)
    write_wav(folder / "b/moth.wav", 5, audiomoth("Recorded at 19:17:30 21/05/2019 (UTC-2:30) by AudioMoth 243B."))
    write_wav(folder / "b/nothing.wav", 5)
    return folder


def predict(whimbrel, inputs, model, out, *words):
    command = [whimbrel, "predict", *inputs, "--model", model, "--out", out, "--threshold", "0"]
    command += ["--engine", "onnxruntime", "--batch", "2", "--top-k", "1", "--quiet", *words]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    record = json.loads((out / "run.json").read_text())
    return record, result.stderr


def rows_of(path, delimiter=","):
    return list(csv.DictReader(path.read_text().splitlines(), delimiter=delimiter))


FORMATS = "kaggle,csv,raven,audacity,kaleidoscope,jsonl,npy"


@pytest.fixture(scope="module")
def absolute(whimbrel, recordings, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("absolute")
    return out, *predict(whimbrel, [recordings], model, out, "--format", FORMATS, "--absolute-time", "--threads", 2)


def test_run_json_says_when_each_recording_began_and_who_said_so(absolute):
    _, record, _ = absolute
    began = {r["path"].split("/")[-1]: (r.get("recorded_at"), r.get("recorded_at_from")) for r in record["recordings"]}
    assert began == {
        "dawn.wav": ("2023-05-01T05:00:00.250+02:00", "guano"),
        "SITE_20230501_235955.wav": ("2023-05-01T23:59:55.000", "file name"),
        "5CE44ECA.WAV": ("2019-05-21T19:17:30.000Z", "file name"),
        "moth.wav": ("2019-05-21T19:17:30.000-02:30", "audiomoth"),
        "nothing.wav": (None, None),
    }
    assert record["settings"]["absolute_time"] is True


def test_csv_and_jsonl_have_start_and_end(absolute):
    out, _, _ = absolute
    times = {}
    for row in rows_of(out / "detections.csv"):
        times.setdefault(row["File"].split("/")[-1], []).append((row["Start time"], row["End time"]))
    assert times["dawn.wav"][:2] == [
        ("2023-05-01T05:00:00.250+02:00", "2023-05-01T05:00:05.250+02:00"),
        ("2023-05-01T05:00:05.250+02:00", "2023-05-01T05:00:10.250+02:00"),
    ]
    assert times["SITE_20230501_235955.wav"] == [
        ("2023-05-01T23:59:55.000", "2023-05-02T00:00:00.000"),
        ("2023-05-02T00:00:00.000", "2023-05-02T00:00:05.000"),
    ]
    assert times["nothing.wav"] == [("", "")]
    lines = [json.loads(line) for line in (out / "detections.jsonl").read_text().splitlines()]
    in_json = [(line["start_time"] or "", line["end_time"] or "") for line in lines]
    assert in_json == [(r["Start time"], r["End time"]) for r in rows_of(out / "detections.csv")]
    assert lines[-1]["start_time"] is None


def test_raven_and_kaleidoscope_have_the_recorders_clock(absolute):
    out, _, _ = absolute
    raven = rows_of(out / "a/dawn.wav.selections.txt", "\t")
    assert [row["Begin Date Time"] for row in raven[:2]] == ["2023/05/01 05:00:00.250", "2023/05/01 05:00:05.250"]
    assert rows_of(out / "b/nothing.wav.selections.txt", "\t")[0]["Begin Date Time"] == ""
    rows = rows_of(out / "kaleidoscope.csv")
    clock = {row["IN FILE"]: (row["DATE"], row["TIME"], row["HOUR"]) for row in rows}  # of the last one
    assert clock["SITE_20230501_235955.wav"] == ("2023-05-02", "00:00:00", "0")
    assert clock["moth.wav"] == ("2019-05-21", "19:17:30", "19")
    assert clock["nothing.wav"] == ("", "", "")


def test_the_index_of_scores_has_a_time_for_every_window(absolute):
    out, _, _ = absolute
    index = rows_of(out / "scores.index.csv")
    assert len(index) == len(np.load(out / "scores.npy"))
    assert index[0]["start_time"] == "2023-05-01T23:59:55.000"  # in byte order of the names
    assert index[-1]["start_time"] == index[-1]["end_time"] == ""


def test_recordings_that_do_not_say_are_one_warning(absolute):
    _, _, messages = absolute
    assert messages.count("1 of 5 recordings have no start time in header or name") == 1
    assert "nothing.wav" in messages


def test_files_are_the_same_to_the_byte_without_the_option(whimbrel, recordings, model, absolute, tmp_path):
    out, _, _ = absolute
    _, messages = predict(whimbrel, [recordings], model, tmp_path, "--format", FORMATS)
    assert "start time" not in messages
    for name in ("submission.csv", "scores.npy", "a/dawn.wav.txt"):  # without a place for it
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()
    added = {"detections.csv": (",", 2), "scores.index.csv": (",", 2), "kaleidoscope.csv": (",", 3)}
    for name, (delimiter, columns) in {**added, "a/dawn.wav.selections.txt": ("\t", 1)}.items():
        longer = (out / name).read_text().splitlines()
        assert [line.rsplit(delimiter, columns)[0] for line in longer] == (tmp_path / name).read_text().splitlines()
    longer = (out / "detections.jsonl").read_text().splitlines()
    assert [line.split(',"start_time"')[0] + "}" for line in longer] == (tmp_path / "detections.jsonl").read_text().splitlines()


def test_merged_detections_have_their_own_end(whimbrel, recordings, model, tmp_path):
    inputs = [recordings / "a/dawn.wav"]
    predict(whimbrel, inputs, model, tmp_path, "--absolute-time", "--merge")
    for row in rows_of(tmp_path / "detections.csv"):
        seconds = float(row["End time"][17:23]) - float(row["Start time"][17:23])
        assert seconds == pytest.approx(float(row["End (s)"]) - float(row["Start (s)"]))


def test_a_recording_that_fails_still_has_its_names_time(whimbrel, recordings, model, tmp_path):
    bad = tmp_path / "20230501_050000.wav"
    bad.write_text("no sound")
    command = [whimbrel, "predict", bad, "--model", model, "--out", tmp_path / "out", "--absolute-time"]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    assert result.returncode == 1
    assert "start time" not in result.stderr
    (row,) = json.loads((tmp_path / "out/run.json").read_text())["recordings"]
    assert (row["state"], row["recorded_at"]) == ("failed", "2023-05-01T05:00:00.000")


def test_real_recordings_of_audiomoths(whimbrel, shared, model, tmp_path):
    inputs = [shared / "data/odd/audiomoth_gps.wav", shared / "data/odd/metadata.wav"]
    record, messages = predict(whimbrel, inputs, model, tmp_path, "--absolute-time")
    assert "start time" not in messages
    began = [(r["recorded_at"], r["recorded_at_from"]) for r in record["recordings"]]
    assert began == [("2024-05-28T10:00:00.000Z", "opensoundscape"), ("2020-04-04T10:25:00.000Z", "audiomoth")]
    starts = {row["File"].split("/")[-1]: row["Start time"] for row in reversed(rows_of(tmp_path / "detections.csv"))}
    assert starts == {"audiomoth_gps.wav": "2024-05-28T10:00:00.000Z", "metadata.wav": "2020-04-04T10:25:00.000Z"}
