"""Which of the four a source is, by what it holds."""

import json
import pathlib
import tomllib

from .errors import ReportError

EXPECTED = "a folder with run.json, bench.json, plan.toml or a certificate of whimbrel quantize"


def read_source(source):
    """(kind, contents): kind is run, bench, plan or quantize; contents are those of run.json or of the file."""
    path = pathlib.Path(source)
    if path.is_dir():
        if not (path / "run.json").is_file():
            raise ReportError(
                "not_found", f"{path}: a folder without run.json, expected one that whimbrel predict wrote with --out"
            )
        return "run", check("run", path / "run.json", read_json(path / "run.json"))
    if not path.exists():
        raise ReportError("not_found", f"{path}: no such file or folder, expected {EXPECTED}")
    if path.suffix == ".toml":
        return "plan", check("plan", path, read_toml(path))
    contents = read_json(path)
    return kind_of(path, contents), contents


def kind_of(path, contents):
    """Of a JSON file."""
    if isinstance(contents, dict):
        if "recordings" in contents and "summary" in contents:
            raise ReportError("invalid_argument", f"{path}: the record of a run, expected its folder; give {path.parent}")
        if "models" in contents and "rounds" in contents:
            check("bench", path, contents)
            return "bench"
        if "verdict" in contents and "speed" in contents:
            check("quantize", path, contents)
            return "quantize"
        if "error" in contents and "exit_code" in contents:
            raise ReportError("invalid_argument", f"{path}: the report of a failure, expected {EXPECTED}")
    keys = f"JSON with {', '.join(list(contents)[:4])}" if isinstance(contents, dict) and contents else "other JSON"
    raise ReportError("invalid_argument", f"{path}: {keys}, expected {EXPECTED}")


# What a page cannot do without: {kind: {key: type}}. Everything else may be absent.
NEEDED = {
    "run": {"recordings": list, "summary": dict, "settings": dict},
    "bench": {"models": list, "cpu": dict},
    "plan": {"plan": dict, "member": list},
    "quantize": {"verdict": str, "speed": dict},
}
# The same for the tables in a list, and in those the numbers that plots are made of.
ELEMENTS = {
    ("run", "recordings"): {"path": str, "state": str},
    ("bench", "models"): {"name": str, "forms": list, "rows": list},
    ("plan", "member"): {"name": str, "weight": (int, float), "cost_s": (int, float), "gain": (int, float)},
    ("plan", "pareto"): {"wall_s": (int, float), "score": (int, float)},
    ("quantize", "products"): {"name": str, "integer": bool},
}
NAMES = {dict: "a table", list: "a list", str: "a text", bool: "true or false", (int, float): "a number"}


def check(kind, path, contents):
    """Contents that have what a page of this kind needs."""
    check_keys(path, "", contents, NEEDED[kind])
    for (of, key), needed in ELEMENTS.items():
        for i, element in enumerate(contents.get(key) or [] if of == kind else []):
            check_keys(path, f"{key}[{i}]", element, needed)
    return contents


def check_keys(path, where, table, needed):
    at = f"{path}: {where} " if where else f"{path}: "
    if not isinstance(table, dict):
        raise ReportError("invalid_argument", f"{at}is no table, expected one with {', '.join(needed)}")
    for key, kind in needed.items():
        if not isinstance(table.get(key), kind):
            found = "is missing" if key not in table else f"is {json.dumps(table[key], default=str)[:40]}"
            raise ReportError("invalid_argument", f"{at}{key} {found}, expected {NAMES[kind]}; was it written by whimbrel?")


def read_json(path):
    return parsed(path, "JSON", json.loads)


def read_toml(path):
    return parsed(path, "TOML", tomllib.loads)


def parsed(path, language, parse):
    try:
        return parse(path.read_text("utf-8"))
    except OSError as error:
        raise ReportError("io", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ReportError("invalid_argument", f"{path}: no {language} ({error}), expected {EXPECTED}") from error
