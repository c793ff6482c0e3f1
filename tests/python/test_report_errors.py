"""`whimbrel report` when something is wrong: one line that says what was found, a code, and no page."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))
pytest.importorskip("plotly")
pytest.importorskip("PIL")
pytest.importorskip("soundfile")

import report_inputs as inputs
from whimbrel.report import ReportError, report
from whimbrel.report.__main__ import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return inputs.write_run(tmp_path_factory.mktemp("run"), ["a.wav"])


@pytest.fixture
def one(tmp_path):
    return inputs.write_empty_run(tmp_path)


def refused(source, tmp_path, *messages, code="invalid_argument", **options):
    with pytest.raises(ReportError) as caught:
        report(source, tmp_path / "page.html", **options)
    text = str(caught.value)
    assert "\n" not in text and all(message in text for message in messages), text
    assert caught.value.code == code
    assert not (tmp_path / "page.html").exists()


def test_a_size_that_not_even_the_scripts_fit_is_refused(run, tmp_path):
    refused(run, tmp_path, "--max-mb", "expected at most 2", code="invalid_argument", max_mb=2)


def test_what_is_no_report_says_what_was_found(run, tmp_path):
    refused(tmp_path / "nothing", tmp_path, "no such file", "bench.json", code="not_found")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "without run.json", code="not_found")
    refused(run / "run.json", tmp_path, "expected its folder", str(run), code="invalid_argument")
    cases = {
        "a.json": ("{", "no JSON"),
        "b.json": ("[1]", "other JSON"),
        "c.json": ('{"colour": 1}', "JSON with colour"),
        "d.json": ('{"error": {}, "exit_code": 3}', "report of a failure"),
        "e.json": ('{"models": [{"name": "a"}], "rounds": 9, "cpu": {}}', "models[0] forms is missing, expected a list"),
        "f.toml": ("[plan", "no TOML"),
        "g.toml": ("[plan]\n[[member]]\nname = 3", "member[0] name is 3, expected a text"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        refused(tmp_path / name, tmp_path, name, message)


def test_detections_that_are_not_of_the_run_are_refused(one, tmp_path):
    folder, _, _ = one
    good = inputs.jsonl([("field/a.wav", 0.0, 5.0, "x", 0.5)])
    for bad, message in (
        ("no json\n", "detections.jsonl:2: no detection"),
        ('{"file": "field/a.wav"}\n', "start_s"),
        (inputs.jsonl([("other.wav", 0.0, 5.0, "x", 0.5)]), '"other.wav" is no recording of run.json'),
        (inputs.jsonl([("field/a.wav", "soon", 5.0, "x", 0.5)]), "expected start, end and score"),
        (inputs.jsonl([("field/a.wav", float("nan"), 5.0, "x", 0.5)]), "finite"),
    ):
        (folder / "detections.jsonl").write_text(good + bad)
        refused(folder, tmp_path, message)
    (folder / "detections.jsonl").unlink()
    (folder / "detections.csv").write_text("File,Confidence\n")
    refused(folder, tmp_path, 'no column "Start (s)"')
    (folder / "detections.csv").unlink()
    np.save(folder / "scores.npy", np.zeros((3, 2), np.float32))
    (folder / "scores.index.csv").write_text("row,file,start_s,end_s\n0,field/a.wav,0,5\n")
    refused(folder, tmp_path, "scores.npy is [3, 2]", "1 rows")


def test_a_run_without_detections_has_a_page_that_says_so(one):
    folder, _, _ = one
    written = report(folder, folder / "page.html")
    assert written["clips"] == 0 and inputs.Page(folder / "page.html").data["source"] == ""


def test_a_recording_that_cannot_be_read_costs_only_its_own_picture(one, monkeypatch):
    folder, _, rows = one
    (folder / "detections.jsonl").write_text(inputs.jsonl(rows))
    (folder / "field").mkdir()
    (folder / "field/a.wav").write_text("no audio")
    monkeypatch.chdir(folder)
    report(folder, folder / "page.html")
    data = inputs.Page(folder / "page.html").data
    assert data["unreadable"][0][0] == 0 and data["not_found"] == 0 and "size" not in data["shown"][0]


def test_options_are_checked(run, tmp_path):
    refused(run, tmp_path, "--audio", code="not_found", audio=tmp_path / "none")
    refused(run, tmp_path, "--recordings -1", code="invalid_argument", recordings=-1)
    refused(run, tmp_path, "--threshold 2", code="invalid_argument", threshold=2)
    refused(run, tmp_path, "--max-mb 0", code="invalid_argument", max_mb=0)


def test_numbers_that_json_does_not_know_do_not_break_the_page(tmp_path):
    (tmp_path / "plan.toml").write_text(inputs.PLAN.replace("score_high = 0.93", "score_high = nan"))
    report(tmp_path / "plan.toml", tmp_path / "page.html")
    assert inputs.Page(tmp_path / "page.html").data["data"]["plan"]["score_high"] is None


def test_the_command_ends_with_one_line_and_a_code(tmp_path, capsys):
    (tmp_path / "plan.toml").write_text(inputs.PLAN)
    out = str(tmp_path / "p.html")
    assert main([str(tmp_path / "plan.toml"), "-o", out, "-q"]) == 0
    assert capsys.readouterr().out.strip() == out
    assert main([str(tmp_path / "plan.toml"), "-o", out, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "plan"
    assert main([str(tmp_path / "none"), "-o", out, "--json"]) == 2
    streams = capsys.readouterr()
    assert json.loads(streams.out)["error"]["code"] == "not_found"
    assert streams.err.startswith("whimbrel: ") and len(streams.err.splitlines()) == 1
    assert main(["--colour"]) == 2
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "plan.toml"), "-o", str(tmp_path / "file/p.html"), "-q"]) == 3


def test_the_program_hands_the_verb_over(whimbrel, tmp_path):
    (tmp_path / "plan.toml").write_text(inputs.PLAN)
    done = subprocess.run([whimbrel, "report", tmp_path / "plan.toml", "-o", tmp_path / "p.html", "-q"], capture_output=True)
    assert done.returncode == 0 and (tmp_path / "p.html").exists()


def test_a_missing_package_is_named_with_its_remedy(tmp_path):
    code = (
        "import sys; sys.modules['plotly'] = None; from whimbrel.report.__main__ import main; sys.exit(main(['a', '-o', 'b']))"
    )
    python = pathlib.Path(__file__).resolve().parents[2] / "python"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(python)})
    assert done.returncode == 2 and "pip install 'whimbrel[report]'" in done.stderr
