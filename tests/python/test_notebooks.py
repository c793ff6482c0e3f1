"""The notebooks of examples/ run from top to bottom; the reference job in its short version."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def run_notebook(name, out, **variables):
    """Its cells' printed text and results, one string a code cell."""
    command = [sys.executable, EXAMPLES / "run_notebook.py", EXAMPLES / name, "-o", out]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads(out.read_text())["cells"]
    return [json.dumps(cell["outputs"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_reference_job(tmp_path, whimbrel):
    outputs = run_notebook(
        "reference_job.ipynb", tmp_path / "ran.ipynb", WHIMBREL_QUICK="1", WHIMBREL_WORK=str(tmp_path / "work")
    )
    work = tmp_path / "work"
    assert (work / "submission.csv").read_text().startswith("row_id,")
    assert (work / "plan.toml").exists() and (work / "report.html").stat().st_size > 1_000_000
    assert any("macro ROC-AUC" in text for text in outputs)


def test_birdnet(tmp_path, whimbrel):
    if not (EXAMPLES / "birdnet/birdnet_v2.4.tflite").exists():
        pytest.skip("no BirdNET model: run examples/birdnet/get_model.py")
    outputs = run_notebook("birdnet.ipynb", tmp_path / "ran.ipynb")
    assert any("times real time" in text for text in outputs)


@pytest.mark.parametrize("name", ["reference_job.ipynb", "birdnet.ipynb"])
def test_the_notebooks_are_here_as_they_ran(name):
    cells = [c for c in json.loads((EXAMPLES / name).read_text())["cells"] if c["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
