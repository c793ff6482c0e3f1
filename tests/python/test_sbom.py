"""`make sbom`: valid CycloneDX that names what is pinned, what is linked, and how they depend on each other."""

import json
import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def bill(root, build, whimbrel, tmp_path_factory):
    """The bill as text and as JSON; `whimbrel` is asked for because its libraries are listed."""
    out = tmp_path_factory.mktemp("sbom") / "whimbrel.cdx.json"
    subprocess.run([sys.executable, root / "scripts/sbom.py", "--build", build, "-o", out], check=True)
    text = out.read_text()
    return text, json.loads(text)


def components(bill):
    return {found["bom-ref"]: found for found in bill[1]["components"]}


def test_is_valid_against_the_schema_of_cyclonedx(bill):
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib is not installed")
    from cyclonedx.schema import SchemaVersion

    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(bill[0]) is None
    assert validator.validate_str(bill[0].replace('"library"', '"libary"')) is not None  # it does look


def test_names_every_pinned_python_package_with_the_hashes_of_its_lock(root, bill):
    found = components(bill)
    for profile in ("runtime", "dev"):
        lock = (root / f"requirements/{profile}.lock").read_text()
        for entry in re.split(r"\n(?=\S)", lock.strip()):
            name, version = re.match(r"(\S+)==(\S+)", entry).groups()
            hashes = {told["content"] for told in found[f"pkg:pypi/{name}@{version}"]["hashes"]}
            assert hashes == set(re.findall("sha256:([0-9a-f]{64})", entry)) != set(), name
    assert found["pkg:pypi/torch@2.13.0"]["scope"] == "optional"


def test_tells_what_runs_from_what_builds(bill):
    scopes = {found["name"]: found.get("scope") for found in bill[1]["components"]}
    assert [scopes[name] for name in ("numpy", "onnxruntime", "openvino")] == ["required"] * 3
    assert scopes["plotly"] == "optional"
    assert scopes["pytest"] == scopes["nanobind"] == "excluded"


def test_names_the_debian_packages_that_are_linked(bill):
    found = components(bill)
    for package in ("libc6", "libsndfile1", "libsoxr0", "libxxhash0", "nlohmann-json3-dev"):
        version = subprocess.run(
            ["dpkg-query", "-W", "-f=${Version}\n", package], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        assert [c["version"] for c in found.values() if c["name"] == package] == [version]
        assert [ref for ref in found if ref.startswith(f"pkg:deb/debian/{package}@")], package


def test_relations_join_what_is_listed(bill):
    known = {*components(bill), bill[1]["metadata"]["component"]["bom-ref"]}
    relations = {relation["ref"]: relation["dependsOn"] for relation in bill[1]["dependencies"]}
    assert len(relations) == len(bill[1]["dependencies"])
    assert set(relations) == known
    assert {to for all_of_one in relations.values() for to in all_of_one} <= known
    names = {ref: re.match(r"pkg:\w+/(?:debian/)?([^@]+)@", ref)[1] for ref in known if ref.startswith("pkg:")}
    direct = {names[ref] for ref in relations[bill[1]["metadata"]["component"]["bom-ref"]]}
    assert {"numpy", "onnxruntime", "openvino", "libsndfile1", "libprotobuf-dev"} <= direct
    sndfile = next(ref for ref, name in names.items() if name == "libsndfile1")
    assert "libvorbis0a" in {names[ref] for ref in relations[sndfile]}
    assert any(names[ref] == "numpy" for ref in relations[next(ref for ref in names if ref.startswith("pkg:pypi/librosa@"))])


def test_holds_nothing_of_this_machine(root, bill):
    assert str(root) not in bill[0]
    assert not re.search(r"/(home|root|tmp|work)/", bill[0])
