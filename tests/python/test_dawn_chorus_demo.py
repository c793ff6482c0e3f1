"""examples/dawn_chorus/demo.py, against a stand-in for the program: does it notice what goes wrong?"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "dawn_chorus"))

import demo

STUB = """#!{python}
import csv, json, pathlib, sys
verb = sys.argv[1]
if verb == "predict":
    recordings, scores = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
    scores.mkdir(parents=True)
    (scores / "submission.csv").write_text((recordings / "truth.csv").read_text())
    names = sorted(p for p in recordings.iterdir() if p.suffix in (".wav", ".flac", ".ogg"))
    rows = [{{"path": str(p), "state": "failed" if p.name in {bad} else "done"}} for p in names]
    (scores / "run.json").write_text(json.dumps({{"recordings": rows}}))
    sys.exit({code})
print("macro ROC-AUC 1.0000")
sys.exit({score_code})
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A stand-in for the program, to see that the demo notices what goes wrong."""
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "SECONDS", 60.0)
    monkeypatch.setattr(demo, "RECORDINGS", 2)

    def make(bad=("wrong_header.wav",), code=1, score_code=0):
        path = tmp_path / "whimbrel"
        path.write_text(STUB.format(python=sys.executable, bad=bad, code=code, score_code=score_code))
        path.chmod(0o755)
        return str(path)

    return make


def test_the_demo_shows_the_run_and_names_its_files(stub, tmp_path, capfd):
    demo.demo(stub(), tmp_path / "out" / "demo")
    shown = capfd.readouterr().out
    assert "macro ROC-AUC" in shown and "out/demo/scores/submission.csv" in shown and "wrong_header.wav" in shown
    assert "+ " in shown and len(shown.splitlines()) < 50


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"code": 0}, "predict ended with 0"),
        ({"bad": ()}, "not done: []"),
        ({"bad": ("wrong_header.wav", "dawn_2026_000.wav")}, "dawn_2026_000.wav"),
        ({"score_code": 2}, "score ended with 2"),
    ],
)
def test_the_demo_notices_what_is_not_as_it_should_be(stub, tmp_path, wrong, message):
    with pytest.raises(demo.Failed) as error:
        demo.demo(stub(**wrong), tmp_path / "out" / "demo")
    assert message in str(error.value)


@pytest.mark.parametrize("out", ["out", "examples", "../elsewhere"])
def test_the_demo_removes_nothing_outside_its_own_folder(out, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["demo.py", "--whimbrel", "README.md", "--out", out])
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    (tmp_path / "README.md").touch()
    with pytest.raises(SystemExit, match="inside out/"):
        demo.main()
