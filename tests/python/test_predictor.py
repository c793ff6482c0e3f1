"""whimbrel.Predictor, Result, Mel, read_audio and the verbs as functions, against the command and librosa."""

import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import librosa
import numpy as np
import pytest
import soundfile
import whimbrel

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples/dawn_chorus/model/dawn_chorus.toml"
RATE = 32000


def chirps(seconds, seed, rate=RATE):
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (1500 + 400 * seed + 900 * np.sin(3 * t)) * t)
    return (tone + 0.02 * random.standard_normal(len(t))).astype(np.float32)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "site 1").mkdir()
    soundfile.write(folder / "a.wav", chirps(23, 1), RATE, subtype="PCM_16")
    soundfile.write(folder / "site 1" / "b.flac", chirps(31, 2, 44100), 44100)
    soundfile.write(folder / "site 1" / "c.ogg", np.stack([chirps(7, 3), chirps(7, 4)], 1), RATE)
    return folder


@pytest.fixture(scope="module")
def predictor():
    return whimbrel.Predictor(MODEL, engine="onnxruntime", batch=2, threshold=0.01)


@pytest.fixture(scope="module")
def by_command(whimbrel_run, recordings, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    words = ["--engine", "onnxruntime", "--batch", "2", "--threshold", "0.01", "--format", "npy,kaggle,csv,raven,jsonl"]
    whimbrel_run("predict", recordings, "--model", MODEL, "--out", out, *words, "--quiet")
    return out


@pytest.fixture(scope="module")
def whimbrel_run(whimbrel):
    def run(*words):
        subprocess.run([str(whimbrel), *map(str, words)], check=True)

    return run


def test_scores_are_those_of_the_command_to_the_bit(predictor, recordings, by_command):
    result = predictor.predict(recordings)
    assert result.scores.dtype == np.float32
    assert np.array_equal(result.scores, np.load(by_command / "scores.npy"))
    assert result.scores.shape == (len(result), len(predictor.labels))
    assert result.labels == predictor.labels == json.loads((by_command / "run.json").read_text())["labels"]
    assert [pathlib.Path(r["path"]).name for r in result.recordings] == ["a.wav", "b.flac", "c.ogg"]
    assert list(result.start_s[:2]) == [0, 5] and list(result.end_s[:2]) == [5, 10]
    assert not result.filled.any() and result.failures == {}
    assert result.record["summary"]["windows"] == len(result)


def test_files_are_those_of_the_command_to_the_byte(predictor, recordings, by_command, tmp_path):
    result = predictor.predict([recordings])
    result.write(["npy", "csv", "jsonl", "kaggle", "raven"], tmp_path)
    for path in by_command.rglob("*"):
        if path.is_file() and path.name != "run.json":
            assert (tmp_path / path.relative_to(by_command)).read_bytes() == path.read_bytes(), path.name
    assert result.to_submission(tmp_path / "mine.csv") == str(tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_bytes() == (by_command / "submission.csv").read_bytes()
    assert pathlib.Path(result.to_csv(tmp_path / "d.csv")).read_bytes() == (by_command / "detections.csv").read_bytes()
    assert (pathlib.Path(result.to_raven(tmp_path / "r")) / "a.wav.selections.txt").exists()
    assert not list(tmp_path.glob(".whimbrel-*"))


def test_absolute_times(predictor, recordings, whimbrel_run, tmp_path):
    named = tmp_path / "SITE_20230501_050000.wav"
    named.write_bytes((recordings / "a.wav").read_bytes())
    words = [
        "--engine",
        "onnxruntime",
        "--batch",
        "2",
        "--threshold",
        "0.01",
        "--format",
        "csv,raven",
        "--absolute-time",
        "--quiet",
    ]
    whimbrel_run("predict", named, "--model", MODEL, "--out", tmp_path / "out", *words)
    result = predictor.predict(named)
    result.to_csv(tmp_path / "d.csv", absolute_time=True)
    assert (tmp_path / "d.csv").read_bytes() == (tmp_path / "out/detections.csv").read_bytes()
    assert "2023-05-01T05:00:0" in (tmp_path / "d.csv").read_text()
    assert result.recordings[0]["recorded_at"].startswith("2023-05-01T05:00:00")


def test_tables(predictor, recordings, by_command, tmp_path):
    pandas = pytest.importorskip("pandas")
    result = predictor.predict(recordings)
    lines = [json.loads(line) for line in (by_command / "detections.jsonl").read_text().splitlines()]
    table = result.to_pandas()
    assert len(table) == len(lines) == len(result.detections) > 0
    for key in ("file", "start_s", "end_s", "label", "scientific_name", "common_name"):
        assert list(table[key]) == [line[key] for line in lines], key
    assert np.allclose(table["confidence"], [line["confidence"] for line in lines], atol=1e-7)
    wide = pandas.read_parquet(result.to_parquet(tmp_path / "scores.parquet"))
    assert np.array_equal(wide[result.labels].to_numpy(np.float32), result.scores)
    assert list(wide["file"]) == list(result.scores_to_pandas()["file"])


def test_arrays_are_heard_as_files_are(predictor, recordings):
    of_file = predictor.predict(recordings / "a.wav")
    samples, rate = soundfile.read(recordings / "a.wav", dtype="int16")
    assert np.array_equal(predictor.predict_array(samples, rate).scores, of_file.scores)
    assert np.array_equal(predictor.predict_array(samples / 32768.0, rate).scores, of_file.scores)
    stereo, rate = soundfile.read(recordings / "site 1" / "c.ogg", dtype="float64")
    mine = predictor.predict_array(stereo.T, rate, name="c")
    assert np.allclose(mine.scores, predictor.predict(recordings / "site 1" / "c.ogg").scores, atol=1e-3)
    assert mine.recordings[0]["path"] == "c"


def test_a_bad_recording_is_a_row(predictor, recordings, tmp_path, caplog):
    bad = tmp_path / "b\udcff.wav"
    pathlib.Path(os.fsencode(bad).decode(errors="surrogateescape")).write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING, "whimbrel"):
        result = predictor.predict([recordings / "a.wav", bad, tmp_path])
    assert [r["state"] for r in result.recordings] == ["done", "failed"]
    assert list(result.failures) == [str(bad)]
    assert any("expected wav" in record.message for record in caplog.records)


def test_one_predictor_serves_threads(predictor, recordings):
    results = {}

    def work(i):
        results[i] = predictor.predict(recordings).scores

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(results[0], results[i]) for i in range(3))


def test_progress_speaks_tqdms_protocol(predictor, recordings):
    said = []

    class Bar:
        def __init__(self, total, unit):
            self.n = 0
            said.append(("made", total, unit))

        def update(self, n):
            self.n += n

        def close(self):
            said.append(("closed", self.n))

    told = []
    predictor.predict(recordings, told.append, progress=Bar)
    assert said == [("made", 3, "recording"), ("closed", 3)]
    assert all(p.recordings_total == 3 and p.recordings_done <= 3 for p in told) and told


def test_what_a_callback_raises_ends_the_run(predictor, recordings):
    def stop(_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        predictor.predict([recordings], stop)
    assert len(predictor.predict(recordings / "a.wav")) == 5  # and it goes on serving


def test_ctrl_c_ends_a_run(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.tile(chirps(60, 1), 60), RATE, subtype="PCM_16")
    code = (
        "import sys, whimbrel\n"
        f"p = whimbrel.Predictor({str(MODEL)!r}, engine='onnxruntime')\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    while True: p.predict(sys.argv[1])\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "long.wav")], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    told, _ = child.communicate(timeout=60)
    assert told == "stopped\n"
    assert child.returncode == 0


def test_a_budget_gives_every_row(predictor, recordings):
    result = predictor.predict(recordings, budget_s=60)
    assert not result.filled.any()
    assert result.record["budget"]["budget_s"] == 60


def test_embeddings_and_plans(tmp_path, recordings, predictor):
    with pytest.raises(whimbrel.Error, match="embedding") as refused:
        whimbrel.Predictor(MODEL, embeddings=True)
    assert refused.value.code == "invalid_argument"
    both = whimbrel.Predictor([MODEL, MODEL], engine="onnxruntime", batch=2)
    assert np.allclose(both.predict(recordings / "a.wav").scores, predictor.predict(recordings / "a.wav").scores, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (lambda: whimbrel.Predictor("nowhere.toml"), "not_found", "nowhere.toml"),
        (lambda: whimbrel.Predictor(MODEL, engine="tensorflow"), "invalid_argument", "tensorflow"),
        (lambda: whimbrel.Predictor(MODEL, threads=0), "invalid_argument", "threads=0"),
        (lambda: whimbrel.Predictor(MODEL, threshold=float("nan")), "invalid_argument", "threshold=nan"),
        (lambda: whimbrel.Predictor(MODEL, mean="harmonic"), "invalid_argument", "harmonic"),
        (lambda: whimbrel.Predictor(MODEL).predict("nowhere"), "not_found", "nowhere"),
        (lambda: whimbrel.Predictor(MODEL).predict([]), "invalid_argument", "no recording"),
        (lambda: whimbrel.Predictor(MODEL).predict("x", budget_s=-1), "invalid_argument", "budget_s=-1"),
        (lambda: whimbrel.Predictor(MODEL).predict_array(np.zeros((2, 2, 2)), 32000), "invalid_argument", "(2, 2, 2)"),
        (lambda: whimbrel.Mel(sample_rate_hz=32000, n_mel=64), "invalid_argument", "n_mel"),
        (lambda: whimbrel.Mel(sample_rate_hz=32000, n_mels=0), "bad_manifest", "n_mels"),
        (lambda: whimbrel.Mel(n_mels=64), "invalid_argument", "sample_rate_hz"),
        (lambda: whimbrel.Mel(sample_rate_hz=32000, scale="bark"), "invalid_argument", "bark"),
        (lambda: whimbrel.read_audio("nowhere.wav"), "not_found", "nowhere.wav"),
        (lambda: whimbrel.score("nowhere.csv", "nowhere.csv"), "not_found", "nowhere.csv"),
        (lambda: whimbrel.bench("nowhere.toml"), "not_found", "nowhere.toml"),
    ],
)
def test_errors_have_a_code_and_say_what(call, code, words):
    with pytest.raises(whimbrel.Error) as refused:
        call()
    assert refused.value.code == code
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("n_fft,hop,n_mels,top_db", [(2048, 512, 128, 80.0), (1024, 320, 64, None), (800, 200, 40, 80.0)])
def test_mel_is_librosas(n_fft, hop, n_mels, top_db):
    y = chirps(7.3, 5)
    theirs = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=n_fft, hop_length=hop, n_mels=n_mels, pad_mode="reflect")
    mel = whimbrel.Mel(sample_rate_hz=RATE, n_fft=n_fft, hop_samples=hop, n_mels=n_mels, top_db=top_db)
    mine = mel(y)
    assert mine.dtype == np.float32
    expected = librosa.power_to_db(theirs, top_db=top_db)
    assert mine.shape == expected.shape
    near = expected > expected.max() - 60
    assert np.abs(mine - expected)[near].max() < 1e-3
    assert np.allclose(mel.filter_bank(), librosa.filters.mel(sr=RATE, n_fft=n_fft, n_mels=n_mels), atol=1e-7)
    both = mel(np.stack([y, y[::-1]]))
    assert np.array_equal(both[0], mine) and np.array_equal(mel(y), mine)
    assert mel(y[:RATE]).shape == (n_mels, 1 + RATE // hop)


def test_mel_of_a_manifest_is_its_front_end():
    mel = whimbrel.Mel(MODEL)
    assert mel(chirps(5, 1)).shape == (64, 251)


def test_read_audio_reads_parts_at_any_rate(recordings):
    whole, rate = whimbrel.read_audio(recordings / "a.wav")
    theirs, their_rate = soundfile.read(recordings / "a.wav", dtype="float32")
    assert rate == their_rate == RATE and np.array_equal(whole, theirs)
    part, _ = whimbrel.read_audio(recordings / "a.wav", start_s=3.5, duration_s=2)
    assert np.array_equal(part, theirs[round(3.5 * RATE) : round(5.5 * RATE)])
    at_end, _ = whimbrel.read_audio(recordings / "a.wav", start_s=22.5, duration_s=2)
    assert len(at_end) == RATE // 2
    beyond, _ = whimbrel.read_audio(recordings / "a.wav", start_s=99)
    assert len(beyond) == 0
    low, rate = whimbrel.read_audio(recordings / "a.wav", 16000)
    assert rate == 16000 and len(low) == 23 * 16000
    low_part, _ = whimbrel.read_audio(recordings / "a.wav", 16000, start_s=2, duration_s=1)
    assert np.array_equal(low_part, low[32000:48000])


def test_verbs_answer_with_the_commands_objects(predictor, recordings, tmp_path):
    result = predictor.predict(recordings / "a.wav")
    truth = tmp_path / "truth.csv"
    rows = [f"a_{5 * (i + 1)}," + ",".join(str((i + c) % 2) for c in range(12)) for i in range(5)]
    truth.write_text("row_id," + ",".join(result.labels) + "\n" + "\n".join(rows) + "\n")
    scores = whimbrel.score(result, truth)
    assert 0 <= scores["macro_roc_auc"] <= 1
    lines = []
    rows = whimbrel.bench(MODEL, batch=[1], engine=["onnxruntime"], threads=[1], seconds=0.2, callback=lines.append)
    assert rows["models"][0]["rows"][0]["windows_per_s"] > 0
    assert lines


def test_importing_is_cheap():
    code = "import sys, whimbrel; print([m for m in ('numpy', 'torch', 'onnxruntime', 'whimbrel._core') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
