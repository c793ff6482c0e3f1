"""The documents keep their promises: links lead somewhere, and run.json has the keys that are listed."""

import json
import re
import subprocess

import pytest


def test_links_between_documents_lead_somewhere(root):
    for page in [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_run_json_has_the_keys_that_are_documented(whimbrel, root, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", [0.0] * 64000, 32000)
    model = root / "examples/dawn_chorus/model/dawn_chorus.toml"
    command = [whimbrel, "predict", tmp_path / "a.wav", "--model", model, "--out", tmp_path / "out", "--quiet"]
    command += ["--budget", "1h", "--merge", "--tta-shift", "1"]
    subprocess.run([str(word) for word in command], check=True)
    record = json.loads((tmp_path / "out/run.json").read_text())
    section = (root / "docs/formats.md").read_text().split("## run.json")[1]
    listed = set(re.findall(r"`(\w+)`", section))
    written = {*record, *record["cpu"], *record["settings"], *record["models"][1], *record["summary"]}
    written |= {*record["summary"]["stages"], *record["recordings"][0], *record["settings"]["postprocess"], *record["budget"]}
    assert written <= listed, written - listed
