"""Shards of a run join into the whole run: the recipes of docs/scale.md, as they stand there."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from small_networks import write_recording

FORMATS = {"csv": ["detections.csv"], "kaggle": ["submission.csv"], "npy": ["scores.npy", "scores.index.csv"]}


@pytest.fixture(scope="module")
def runs(whimbrel, root, tmp_path_factory):
    """A folder with the run over seven recordings, and the same in scores/shard-1 to shard-3. One recording is bad."""
    folder = tmp_path_factory.mktemp("scale")
    field = folder / "field"
    field.mkdir()
    for i, name in enumerate(["a", "b, with a comma", 'c "quoted"', "d", "e", "f"]):
        write_recording(field / f"{name}.wav", 4 + 7 * i, i)
    (field / "bad.wav").write_bytes(b"nothing")

    def run(out, *words):
        command = [whimbrel, "predict", "field", "--model", root / "examples/dawn_chorus/model/dawn_chorus.toml", "--out", out]
        command += ["--format", ",".join(FORMATS), "--engine", "onnxruntime", "--batch", 1, "--quiet", *words]
        done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr

    run("whole")
    for i in (1, 2, 3):
        run(f"scores/shard-{i}", "--shard", f"{i}/3")
    return folder


def recipe(root, language):
    section = (root / "docs/scale.md").read_text().split("### Joining shards")[1]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL).group(1)


@pytest.mark.parametrize("kind", FORMATS)
def test_shards_join_into_the_files_of_the_whole_run_to_the_byte(root, runs, kind, tmp_path):
    pytest.importorskip("pandas")
    for shard in (runs / "scores").iterdir():
        for name in [*FORMATS[kind], "run.json"]:
            (tmp_path / "scores" / shard.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(shard / name, tmp_path / "scores" / shard.name)
    subprocess.run([sys.executable, "-c", recipe(root, "python")], cwd=tmp_path, check=True)
    for name in FORMATS[kind]:
        assert (tmp_path / name).read_bytes() == (runs / "whole" / name).read_bytes()
    assert len((tmp_path / FORMATS[kind][-1]).read_text().splitlines()) > 1


def test_awk_joins_shards_in_another_order(root, runs):
    subprocess.run(["sh", "-c", recipe(root, "bash")], cwd=runs, check=True)
    joined, whole = [(runs / name).read_text().splitlines() for name in ("detections.csv", "whole/detections.csv")]
    assert joined[0] == whole[0] and sorted(joined) == sorted(whole) and len(whole) > 1


def test_a_shard_beyond_the_last_recording_writes_headers_only(whimbrel, root, runs):
    command = [whimbrel, "predict", "field", "--model", root / "examples/dawn_chorus/model/dawn_chorus.toml", "--out", "beyond"]
    done = subprocess.run(list(map(str, [*command, "--shard", "9/9", "--quiet"])), cwd=runs)
    assert done.returncode == 0
    assert len((runs / "beyond/detections.csv").read_text().splitlines()) == 1
