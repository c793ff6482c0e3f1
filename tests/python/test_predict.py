"""The command as a user meets it: exit codes, messages, files, and the same bits for any number of workers."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

RATE = 32000


def run(whimbrel, *words, **options):
    return subprocess.run([str(whimbrel), *map(str, words)], capture_output=True, text=True, timeout=600, **options)


@pytest.fixture(scope="module")
def model(root):
    return root / "examples/dawn_chorus/model/dawn_chorus.toml"


@pytest.fixture(scope="module")
def soundscapes(root, tmp_path_factory):
    """Five synthesized recordings of several formats, with their truth."""
    folder = tmp_path_factory.mktemp("soundscapes")
    command = [sys.executable, root / "examples/dawn_chorus/synthesize.py", "--recordings", "5", "--seconds", "32"]
    subprocess.run([*command, "--seed", "7", "--formats", "wav,flac,ogg", "-o", folder], check=True, capture_output=True)
    return folder


def files_of(folder):
    """{relative name: bytes} of everything but run.json, which holds times."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "run.json"
    }


ALL_FORMATS = "kaggle,csv,raven,audacity,kaleidoscope,jsonl,npy"


def test_every_format_is_the_same_to_the_bit_for_1_2_and_7_workers(whimbrel, model, soundscapes, tmp_path):
    outputs = []
    for workers in (1, 2, 7):
        out = tmp_path / f"w{workers}"
        words = ["predict", soundscapes, "--model", model, "--out", out, "--threads", workers, "--format", ALL_FORMATS]
        result = run(whimbrel, *words, "--engine", "onnxruntime", "--batch", 4)
        assert result.returncode == 0, result.stderr
        outputs.append(files_of(out))
    assert len(outputs[0]) >= 6 + 2 * 5
    assert outputs[0] == outputs[1] == outputs[2]


def test_overlapping_windows_are_the_same_to_the_bit_too(whimbrel, model, soundscapes, tmp_path):
    outputs = []
    for workers in (1, 3):
        out = tmp_path / f"w{workers}"
        words = [
            "predict",
            soundscapes,
            "--model",
            model,
            "--out",
            out,
            "--threads",
            workers,
            "--window-hop",
            1,
            "--format",
            "npy",
        ]
        assert run(whimbrel, *words, "--engine", "openvino", "--batch", 8).returncode == 0
        outputs.append(files_of(out))
    assert outputs[0] == outputs[1]


def test_a_window_scores_the_same_at_any_hop(whimbrel, model, soundscapes, tmp_path):
    """Window 0 is the same audio whatever the hop; hop 1 reuses frames, hop 5 does not."""
    scores = {}
    for hop in (1, 5):
        out = tmp_path / f"h{hop}"
        words = ["predict", soundscapes, "--model", model, "--out", out, "--window-hop", hop, "--format", "npy"]
        assert run(whimbrel, *words, "--engine", "onnxruntime", "--batch", 4).returncode == 0
        scores[hop] = np.load(out / "scores.npy")
    assert np.array_equal(scores[1][0], scores[5][0])
    assert np.array_equal(scores[1][5], scores[5][1])


def test_the_submission_scores_well_against_the_truth(whimbrel, model, soundscapes, tmp_path):
    assert run(whimbrel, "predict", soundscapes, "--model", model, "--out", tmp_path, "--format", "kaggle").returncode == 0
    truth = trimmed_truth(soundscapes / "truth.csv", tmp_path / "submission.csv", tmp_path / "truth.csv")
    result = run(whimbrel, "score", tmp_path / "submission.csv", truth, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["macro_roc_auc"] > 0.8  # far above the 0.5 of a model that is fed the wrong thing


def trimmed_truth(truth, submission, out):
    """The truth of the rows that the submission has: a last window of less than half a window of signal is not scored."""
    rows = {row[0] for row in csv.reader(submission.open())}
    with out.open("w") as file:
        file.writelines(line for line in truth.open() if line.split(",")[0] in rows)
    return out


def test_both_engines_agree_within_1e_4(whimbrel, model, soundscapes, tmp_path):
    scores = []
    for engine in ("onnxruntime", "openvino"):
        out = tmp_path / engine
        assert (
            run(
                whimbrel, "predict", soundscapes, "--model", model, "--out", out, "--engine", engine, "--format", "npy"
            ).returncode
            == 0
        )
        scores.append(np.load(out / "scores.npy"))
    assert np.abs(scores[0] - scores[1]).max() < 1e-4


def test_an_ensemble_is_the_weighted_mean_of_its_members(whimbrel, model, soundscapes, tmp_path):
    """Two copies of one model, one of them with a third of its logits' sign turned by another activation, weights 1 and 3."""
    folder = tmp_path / "models"
    shutil.copytree(model.parent, folder)
    text = (folder / model.name).read_text()
    (folder / "other.toml").write_text(
        text.replace('name = "dawn_chorus"', 'name = "other"')
        .replace("weight = 1.0", "weight = 3.0")
        .replace("sigmoid", "softmax")
    )
    assert "softmax" in (folder / "other.toml").read_text() and "weight = 3" in (folder / "other.toml").read_text()
    scores = {}
    members = {
        "one": [folder / model.name],
        "other": [folder / "other.toml"],
        "both": [folder / model.name, folder / "other.toml"],
    }
    for name, models in members.items():
        words = [w for m in models for w in ("--model", m)]
        result = run(whimbrel, "predict", soundscapes, *words, "--out", tmp_path / name, "--format", "npy", "--batch", 4)
        assert result.returncode == 0, result.stderr
        scores[name] = np.load(tmp_path / name / "scores.npy")
    assert np.abs(scores["both"] - (scores["one"] + 3 * scores["other"]) / 4).max() < 1e-6


def test_members_with_other_labels_are_refused(whimbrel, model, soundscapes, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(model.parent, folder)
    labels = (folder / "labels.txt").read_text().splitlines()
    (folder / "labels2.txt").write_text("\n".join([labels[1], labels[0], *labels[2:]]) + "\n")
    (folder / "other.toml").write_text((folder / model.name).read_text().replace("labels.txt", "labels2.txt"))
    words = ["--model", folder / model.name, "--model", folder / "other.toml"]
    result = run(whimbrel, "predict", soundscapes, *words, "--out", tmp_path / "out")
    assert result.returncode == 2
    assert "line 1" in result.stderr and labels[0] in result.stderr
    assert not (tmp_path / "out").exists()


def test_shards_together_are_the_whole(whimbrel, model, soundscapes, tmp_path):
    base = ["predict", soundscapes, "--model", model, "--format", "kaggle", "--engine", "onnxruntime", "--batch", 4]
    assert run(whimbrel, *base, "--out", tmp_path / "all").returncode == 0
    rows = []
    for i in (1, 2):
        assert run(whimbrel, *base, "--shard", f"{i}/2", "--out", tmp_path / f"s{i}").returncode == 0
        rows += (tmp_path / f"s{i}" / "submission.csv").read_text().splitlines()[1:]
    assert sorted(rows) == sorted((tmp_path / "all" / "submission.csv").read_text().splitlines()[1:])


def test_a_sample_submission_fixes_rows_and_columns(whimbrel, model, soundscapes, tmp_path):
    base = ["predict", soundscapes, "--model", model, "--format", "kaggle"]
    assert run(whimbrel, *base, "--out", tmp_path / "plain").returncode == 0
    table = list(csv.reader((tmp_path / "plain/submission.csv").open()))
    wanted = [table[3][0], "never_recorded_5", table[1][0]]
    columns = ["row_id", *reversed(table[0][1:])]
    with (tmp_path / "sample.csv").open("w") as file:
        csv.writer(file).writerows([columns, *([row] + ["0"] * (len(columns) - 1) for row in wanted)])
    result = run(whimbrel, *base, "--out", tmp_path / "fixed", "--sample-submission", tmp_path / "sample.csv")
    assert result.returncode == 0, result.stderr
    fixed = list(csv.reader((tmp_path / "fixed/submission.csv").open()))
    assert fixed[0] == columns and [row[0] for row in fixed[1:]] == wanted
    assert fixed[1][1:] == table[3][:0:-1] and fixed[3][1:] == table[1][:0:-1]
    assert json.loads((tmp_path / "fixed/run.json").read_text())["summary"]["rows_filled"] == 1


def test_json_prints_the_run_record_and_nothing_else(whimbrel, model, soundscapes, tmp_path):
    result = run(whimbrel, "predict", soundscapes, "--model", model, "--out", tmp_path, "--json")
    record = json.loads(result.stdout)
    assert record == json.loads((tmp_path / "run.json").read_text())
    assert record["summary"]["done"] == 5 and record["models"][0]["hash_xxh3_128"]
    assert result.stderr == ""


def test_quiet_prints_nothing_when_all_is_well(whimbrel, model, soundscapes, tmp_path):
    result = run(whimbrel, "predict", soundscapes, "--model", model, "--out", tmp_path, "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.serial
def test_ctrl_c_leaves_valid_output_and_says_what_is_missing(whimbrel, model, tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "long"
    folder.mkdir()
    for i in range(4):
        soundfile.write(folder / f"r{i}.flac", (rng.standard_normal(RATE * 1200) * 0.05).astype(np.float32), RATE)
    out = tmp_path / "out"
    words = [
        str(whimbrel),
        "predict",
        str(folder),
        "--model",
        str(model),
        "--out",
        str(out),
        "--format",
        "kaggle,npy",
        "--window-hop",
        "1",
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = out / ".whimbrel-journal"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 10_000):  # scores have come
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    record = json.loads((out / "run.json").read_text())
    missing = [r["path"] for r in record["recordings"] if r["state"] == "cancelled"]
    assert record["summary"]["stopped_early"] and missing
    assert "stopped early" in stderr and missing[0] in stderr
    rows = len((out / "submission.csv").read_text().splitlines()) - 1
    assert rows == sum(r["windows"] for r in record["recordings"] if r["state"] == "done") == len(np.load(out / "scores.npy"))
    assert not list(out.rglob("*.tmp"))


# --- bad input -------------------------------------------------------------------------------------------------------


def test_odd_recordings_never_stop_the_good_ones(whimbrel, model, soundscapes, shared, tmp_path):
    odd = shared / "data/odd"
    words = ["predict", odd, soundscapes, "--model", model, "--out", tmp_path, "--format", "csv,raven"]
    result = run(whimbrel, *words)
    assert result.returncode == 1
    record = json.loads((tmp_path / "run.json").read_text())
    state = {os.path.basename(r["path"]): r for r in record["recordings"]}
    good = [p.name for p in soundscapes.iterdir() if p.suffix in (".wav", ".flac", ".ogg")]
    assert len(good) == 5 and all(state[name]["state"] == "done" for name in good)
    for name in ("empty.wav", "empty_2c.wav", "text.wav"):
        assert state[name]["state"] == "failed" and state[name]["error"], name
        assert name in result.stderr
    assert state["truncated.flac"]["state"] == "partial" and state["truncated.flac"]["windows"] > 0
    assert "truncated.flac" in result.stderr
    for name in ("silence_10s.mp3", "veryshort.wav", "audiomoth_gps.wav"):
        assert state[name]["state"] == "done" and state[name]["windows"] >= 1, name


def edited(model, folder, old, new):
    """A copy of the model's folder with one change in the manifest."""
    shutil.copytree(model.parent, folder)
    text = (folder / model.name).read_text()
    assert old in text
    (folder / model.name).write_text(text.replace(old, new, 1))
    return folder / model.name


BAD_MANIFESTS = {
    "a missing key": ("sample_rate_hz = 32000\n", "", ["sample_rate_hz"]),
    "an unknown key": ("hop_samples", "hop_sample", ["hop_sample", "did you mean", "hop_samples"]),
    "a value out of range": ("n_mels = ", "n_mels = 0 #", ["n_mels", "expected"]),
    "a weight that is no number": ("weight = 1.0", "weight = nan", ["weight"]),
    "a model outside the folder": ('file = "dawn_chorus.onnx"', 'file = "../dawn_chorus.onnx"', ["..", "folder"]),
}


@pytest.mark.parametrize("what", BAD_MANIFESTS)
def test_a_manifest_with_(whimbrel, model, soundscapes, tmp_path, what):
    old, new, expected = BAD_MANIFESTS[what]
    bad = edited(model, tmp_path / "m", old, new)
    result = run(whimbrel, "predict", soundscapes, "--model", bad, "--out", tmp_path / "out")
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    for part in expected:
        assert part in result.stderr, result.stderr
    assert not (tmp_path / "out").exists()


def test_a_label_count_that_does_not_match(whimbrel, model, soundscapes, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(model.parent, folder)
    (folder / model.name).write_text(
        "\n".join(line for line in (folder / model.name).read_text().split("[probe]")[0].splitlines()) + "\n"
    )
    with (folder / "labels.txt").open("a") as file:
        file.write("one_more\n")
    result = run(whimbrel, "predict", soundscapes, "--model", folder / model.name, "--out", tmp_path / "out", "--format", "csv")
    assert result.returncode == 2
    assert "labels" in result.stderr and "expected" in result.stderr
    assert not list((tmp_path / "out").rglob("*.csv*"))


def test_weights_that_are_nan(whimbrel, model, soundscapes, tmp_path):
    import onnx
    from onnx import numpy_helper

    folder = tmp_path / "m"
    shutil.copytree(model.parent, folder)
    net = onnx.load(folder / "dawn_chorus.onnx")
    weights = next(t for t in net.graph.initializer if len(t.dims) == 4)
    weights.CopyFrom(numpy_helper.from_array(np.full(tuple(weights.dims), np.nan, np.float32), weights.name))
    onnx.save(net, folder / "dawn_chorus.onnx")
    for engine in ("onnxruntime", "openvino"):
        result = run(
            whimbrel, "predict", soundscapes, "--model", folder / model.name, "--out", tmp_path / "out", "--engine", engine
        )
        assert result.returncode == 2, result.stderr
        assert "finite" in result.stderr
        assert not list((tmp_path / "out").rglob("*.csv*"))


def test_another_networks_weights_do_not_answer_the_probe(whimbrel, model, soundscapes, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(model.parent, folder)
    probe = np.load(folder / "dawn_chorus.probe.npy")
    np.save(folder / "dawn_chorus.probe.npy", probe + np.float32(0.1))
    result = run(whimbrel, "predict", soundscapes, "--model", folder / model.name, "--out", tmp_path / "out")
    assert result.returncode == 2, result.stderr
    assert "probe" in result.stderr


def test_an_output_folder_that_cannot_be_written(whimbrel, model, soundscapes, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run(whimbrel, "predict", soundscapes, "--model", model, "--out", tmp_path / "file" / "out")
    assert result.returncode == 2
    assert str(tmp_path / "file") in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_an_output_folder_on_a_read_only_file_system(whimbrel, model, soundscapes):
    result = run(whimbrel, "predict", soundscapes, "--model", model, "--out", "/proc/whimbrel-out")
    assert result.returncode == 2
    assert "/proc/whimbrel-out" in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_an_unknown_format(whimbrel, model, soundscapes, tmp_path):
    result = run(whimbrel, "predict", soundscapes, "--model", model, "--out", tmp_path / "out", "--format", "csv,ravenn")
    assert result.returncode == 2
    assert "ravenn" in result.stderr and "raven" in result.stderr
    assert not list((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["predict"], "INPUT"),
        (["predict", "no-such.wav", "--model", "MODEL", "--out", "OUT"], "no-such.wav"),
        (["predict", "IN", "--model", "no-such.toml", "--out", "OUT"], "no-such.toml"),
        (["predict", "IN", "--model", "MODEL", "--out", "OUT", "--engine", "onnxruntim"], "did you mean onnxruntime"),
        (["predict", "IN", "--model", "MODEL", "--out", "OUT", "--shard", "3"], "I/N"),
        (["predict", "IN", "--model", "MODEL", "--out", "OUT", "--shard", "3/2"], "3/2"),
        (["predict", "IN", "--model", "MODEL", "--out", "OUT", "--window-hop", "7"], "hop"),
        (["predict", "IN", "--model", "MODEL", "--out", "OUT", "--threads", "0"], "threads"),
        (["predikt"], "did you mean predict"),
        (["info", "no-such.onnx"], "no-such.onnx"),
        (["score", "no-such.csv", "no-such.csv"], "no-such.csv"),
    ],
)
def test_wrong_words_give_one_line_and_exit_code_2(whimbrel, model, soundscapes, tmp_path, words, expected):
    real = {"MODEL": model, "IN": soundscapes, "OUT": tmp_path / "out"}
    result = run(whimbrel, *[real.get(word, word) for word in words])
    assert result.returncode == 2, result.stderr
    assert expected in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_json_answers_failures_too(whimbrel, soundscapes, tmp_path):
    result = run(whimbrel, "predict", soundscapes, "--model", "no-such.toml", "--out", tmp_path / "out", "--json")
    answer = json.loads(result.stdout)
    assert result.returncode == answer["exit_code"] == 2
    assert answer["error"]["code"] == "not_found" and "no-such.toml" in answer["error"]["message"]


# --- info and help ---------------------------------------------------------------------------------------------------


def test_info_tells_cores_isa_and_engines(whimbrel):
    answer = json.loads(run(whimbrel, "info", "--json").stdout)
    assert answer["cpu"]["cores_allowed"] >= 1 and answer["cpu"]["precision_hint"]
    assert {e["name"]: e["available"] for e in answer["engines"]} == {
        "onnxruntime": True,
        "openvino": True,
        "torchscript": True,
    }
    one_core = run("taskset", "-c", "0", whimbrel, "info", "--json")
    assert json.loads(one_core.stdout)["cpu"]["cores_allowed"] == 1


def test_info_of_a_model_counts_parameters_as_pytorch_does(whimbrel, model, root):
    answer = json.loads(run(whimbrel, "info", model, "--json").stdout)
    assert answer["labels"] == (model.parent / "labels.txt").read_text().splitlines()
    sys.path.insert(0, str(root / "examples/dawn_chorus"))
    from model import DawnChorusNet  # the example's own definition

    weights = sum(p.numel() for p in DawnChorusNet(len(answer["labels"])).parameters())
    assert abs(answer["parameters"] - weights) / weights < 0.02  # batch norm is folded into the convolutions
    assert answer["macs"] > answer["parameters"]  # a convolution uses each weight at many places


def test_help_lists_every_verb_and_loads_no_engine(whimbrel):
    result = run(whimbrel, "--help")
    assert result.returncode == 0
    assert all(verb in result.stdout for verb in ("predict", "info", "score", "export"))
    libraries = subprocess.run(["ldd", whimbrel], capture_output=True, text=True).stdout
    assert "onnxruntime" not in libraries and "openvino" not in libraries
