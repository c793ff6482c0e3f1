"""A software bill of materials in CycloneDX 1.6: sbom.py [--build FOLDER] [--inside-wheel] [-o FILE]

Lists whimbrel; the Python packages of requirements/*.lock, with the hashes of all their files; the Debian packages whose
libraries the program and its modules load, or whose code is compiled into them; and, where dist holds a wheel, the libraries
inside it. The same bytes for the same build, so it has no time and no serial number.
"""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import tomllib
import urllib.parse
import zipfile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What is compiled in and therefore is no library that readelf could name.
COMPILED_IN = ["libcli11-dev", "libspdlog-dev", "libtomlplusplus-dev", "nlohmann-json3-dev", "libprotobuf-dev"]
LOCKED = re.compile(r"^(\S+)==([^ ;\\\n]+)((?:.*\\\n)?(?:    --hash=sha256:.*\n?)*)", re.MULTILINE)


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True).stdout


def component(kind, name, version, purl, licenses=(), **more):
    found = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licenses:
        found["licenses"] = [{"license": {"name": name}} for name in licenses]
    return found | more


def license_of(package):
    """As a list of at most one name; nothing where the package tells it in a text only."""
    told = package.metadata.get("License-Expression") or package.metadata.get("License") or ""
    return [told] if told and len(told) < 80 and "\n" not in told else []


def installed(name):
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None  # of another platform


def python_components(project):
    """(name -> component, name -> names it asks for) of all that requirements/ pins."""
    pins = {}
    for file in ("runtime.lock", "dev.lock", "torch.txt"):
        for name, version, rest in LOCKED.findall((ROOT / "requirements" / file).read_text()):
            hashes = re.findall(r"sha256:([0-9a-f]{64})", rest)
            pins[canonicalize_name(name)] = (version, hashes)
    asks = {}
    for name in pins:
        wanted = [Requirement(line) for line in (installed(name).requires if installed(name) else None) or []]
        asks[name] = {canonicalize_name(r.name) for r in wanted if not r.marker or r.marker.evaluate({"extra": ""})} & set(pins)
    required = closure(project["dependencies"], asks)
    optional = closure([line for lines in project["optional-dependencies"].values() for line in lines], asks)
    components = {}
    for name, (version, hashes) in pins.items():
        scope = "required" if name in required else "optional" if name in optional else "excluded"
        made = component("library", name, version, f"pkg:pypi/{name}@{version}", scope=scope)
        if hashes:
            made["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in hashes]
        if installed(name) and license_of(installed(name)):
            made["licenses"] = [{"license": {"name": license_of(installed(name))[0]}}]
        components[name] = made
    return components, asks


def closure(requirements, asks):
    todo, seen = [canonicalize_name(Requirement(line).name) for line in requirements], set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += asks.get(name, ())
    return seen


def packages_of(files):
    """file -> name of the Debian package that owns it."""
    # Debian 12 keeps /lib as a link to /usr/lib and knows some files by this name, some by that.
    names = {str(file): file for file in files}
    names |= {name.removeprefix("/usr"): file for name, file in names.items()}
    owners = {}
    for line in run("dpkg-query", "-S", *names).splitlines():
        package, _, file = line.partition(": ")
        if file in names:
            owners[names[file]] = package.split(":")[0].split(",")[0]
    return owners


def debian_component(package):
    version, arch = run("dpkg-query", "-W", "-f=${Version} ${Architecture}\n", package).splitlines()[0].split()
    copyright_file = pathlib.Path("/usr/share/doc", package, "copyright")
    text = copyright_file.read_text(errors="replace") if copyright_file.exists() else ""
    licenses = sorted({found.strip() for found in re.findall(r"^License: *(\S.*)$", text, re.MULTILINE) if len(found) < 80})
    quoted = urllib.parse.quote(version, safe="")
    return component("library", package, version, f"pkg:deb/debian/{package}@{quoted}?arch={arch}", licenses)


def libraries_of(file):
    """(paths that `file` names itself, name -> path of all that is loaded with it)."""
    paths = {}
    for line in run("ldd", file).splitlines():
        found = re.match(r"\s*(\S+) => (/\S+)", line)
        if found:
            paths[found[1]] = pathlib.Path(found[2]).resolve()
    return paths


def needs_of(file, paths):
    return [paths[name] for name in re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", file)) if name in paths]


def linked(build, inside_wheel):
    """(names of Debian packages and Python packages that whimbrel itself links, package -> packages of Debian's)."""
    ours = [build / "whimbrel", *sorted(build.glob("whimbrel-*.so")), *sorted((build / "python/whimbrel").glob("_core*.so"))]
    if not ours[0].exists():
        sys.exit(f"sbom: no {ours[0]}: run make build, or give --build")
    if inside_wheel:  # its FFmpeg is not Debian's, which this build loads
        ours.remove(build / "whimbrel-ffmpeg.so")
    paths = {}
    for file in ours:
        paths |= libraries_of(file)
    owners = packages_of(paths.values())
    direct, edges = set(), {name: set() for name in owners.values()}
    for file in ours:
        for path in needs_of(file, paths):
            if path in owners:
                direct.add(owners[path])
            elif "site-packages" in path.parts:
                direct.add(canonicalize_name(path.parts[path.parts.index("site-packages") + 1]))
    for path, owner in owners.items():
        edges[owner] |= {owners[other] for other in needs_of(path, paths) if other in owners} - {owner}
    return direct, edges


def ffmpeg_component():
    """The FFmpeg of the wheel, which scripts/build-wheel compiles from Debian's source package; None where it has not."""
    file = ROOT / ".deps/ffmpeg/debian-version"
    if not file.exists():
        return None
    version = file.read_text().strip()
    purl = f"pkg:deb/debian/ffmpeg@{urllib.parse.quote(version, safe='')}?arch=source"
    return component("library", "ffmpeg", version, purl, ["LGPL-2.1-or-later"], scope="required")


def wheel_component(wheel, components):
    """(component, refs of what is inside): its files of libraries, and the packages that auditwheel took them from."""
    with zipfile.ZipFile(wheel) as archive:
        files = [
            {
                "type": "file",
                "bom-ref": f"wheel:{name}",
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(archive.read(name)).hexdigest()}],
            }
            for name in sorted(archive.namelist())
            if re.search(r"\.so[.0-9]*$|/bin/", name)
        ]
        told = [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith("sboms/auditwheel.cdx.json")]
    grafted = {found["name"] for bom in told for found in bom["components"]}
    inside = {made["bom-ref"] for name, made in components.items() if name in grafted | {"ffmpeg"}}
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    made = {"type": "file", "bom-ref": wheel.name, "name": wheel.name, "hashes": [{"alg": "SHA-256", "content": digest}]}
    return made | {"components": files}, inside


def bill(build, wheel, inside_wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python, asks = python_components(project)
    direct, edges = linked(build, inside_wheel)
    debian = {name: debian_component(name) for name in sorted({*edges, *COMPILED_IN})}
    if ffmpeg := ffmpeg_component():
        debian["ffmpeg"] = ffmpeg
    if inside_wheel:
        if not ffmpeg:
            sys.exit("sbom: no .deps/ffmpeg/debian-version, expected what scripts/build-wheel leaves there; run it")
        direct.add("ffmpeg")
        python = {name: found for name, found in python.items() if found["scope"] != "excluded"}
    known = debian | python
    purl = f"pkg:pypi/{project['name']}@{project['version']}"
    ours = component("application", project["name"], project["version"], purl)
    ours["licenses"] = [{"license": {"id": project["license"]}}]
    first = direct | set(COMPILED_IN) | {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    relations = {purl: {known[name]["bom-ref"] for name in first}}
    relations |= {python[name]["bom-ref"]: {python[other]["bom-ref"] for other in asks[name] & set(python)} for name in python}
    relations |= {debian[name]["bom-ref"]: {debian[other]["bom-ref"] for other in edges.get(name, ())} for name in debian}
    components = [*python.values(), *debian.values()]
    if wheel:
        made, inside = wheel_component(wheel, debian)
        components.append(made)
        relations[made["bom-ref"]] = inside | {purl}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": ours},
        "components": sorted(components, key=lambda found: found["bom-ref"]),
        "dependencies": [{"ref": ref, "dependsOn": sorted(to)} for ref, to in sorted(relations.items())],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="whose libraries are listed")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=ROOT / "dist/whimbrel.cdx.json")
    parser.add_argument("--inside-wheel", action="store_true", help="what the wheel is to carry: nothing of tests and tools")
    options = parser.parse_args()
    wheels = sorted((ROOT / "dist").glob("whimbrel-*.whl"))
    made = bill(options.build.resolve(), wheels[-1] if wheels else None, options.inside_wheel)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(made, indent=1) + "\n")
    print(f"sbom: {len(made['components'])} components, {len(made['dependencies'])} relations: {options.out}")


if __name__ == "__main__":
    main()
