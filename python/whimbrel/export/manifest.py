"""The manifest: checked, completed with the front end's defaults, written as TOML. docs/manifest.md has the keys."""

import math
import pathlib
import re
import tomllib

from .errors import ExportError, did_you_mean, some


class Key:
    """What a key may hold. `default` None: absent unless given; REQUIRED: must be given."""

    def __init__(self, kind, default=None, low=-math.inf, high=math.inf, choices=None):
        self.kind, self.default, self.low, self.high, self.choices = kind, default, low, high, choices

    def expected(self):
        if self.choices:
            return " or ".join(f'"{choice}"' for choice in self.choices)
        words = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}[self.kind]
        bounds = [f">= {self.low:g}"] * (self.low > -math.inf) + [f"<= {self.high:g}"] * (self.high < math.inf)
        return " ".join([words, " and ".join(bounds)]).strip()

    def read(self, value):
        """The value in its own type, or None where it does not fit."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if self.kind is not type(value) or (self.choices and value not in self.choices):
            return None
        return value if self.kind not in (int, float) or self.low <= value <= self.high else None


REQUIRED = object()
MODEL = {"name": Key(str), "labels": Key(str, REQUIRED), "weight": Key(float, 1.0, low=0)}
INPUT = {
    "kind": Key(str, "mel", choices=("mel", "waveform")),
    "sample_rate_hz": Key(int, REQUIRED, low=1, high=768000),
    "window_s": Key(float, REQUIRED, low=1e-3, high=3600),
    "hop_s": Key(float, low=1e-3, high=3600),
    "channels": Key(int, 1, low=1, high=64),
    "min_signal": Key(float, low=0, high=1),
}
# Defaults are those of whimbrel::MelConfig; they are written out, so that a manifest says all that its network was fed.
MEL = {
    "n_fft": Key(int, REQUIRED, low=2),
    "win_length": Key(int, low=1),
    "hop_samples": Key(int, REQUIRED, low=1),
    "n_mels": Key(int, REQUIRED, low=1, high=512),
    "f_min_hz": Key(float, 0.0, low=0),
    "f_max_hz": Key(float, low=0),
    "scale": Key(str, "slaney", choices=("slaney", "htk")),
    "norm": Key(str, "slaney", choices=("slaney", "none")),
    "power": Key(float, 2.0, low=1, high=2),
    "center": Key(bool, True),
    "pad": Key(str, "reflect", choices=("reflect", "constant")),
    "level": Key(str, "db", choices=("db", "log", "none")),
    "ref": Key(str, "one", choices=("one", "max")),
    "amin": Key(float, 1e-10, low=1e-45),
    "top_db": Key(float, low=0),
    "normalize": Key(str, "none", choices=("minmax", "mean_std", "none")),
    "mean": Key(float),
    "std": Key(float),
}
OUTPUT = {
    "clip": Key(str),
    "frame": Key(str),
    "frame_axis": Key(str, choices=("class_first", "class_last")),
    "embedding": Key(str),
    "activation": Key(str, "sigmoid", choices=("sigmoid", "softmax", "none")),
    "logit_clip": Key(float, low=0),
}
PROBE = {"tolerance": Key(float, 1e-3, low=1e-9)}


def check_table(table, keys, where):
    """A new table in the order of `keys`, with defaults.

    @throws ExportError bad_manifest: not a table, keys unknown or missing, or a value out of range
    """
    if not isinstance(table, dict):
        raise ExportError("bad_manifest", f"{where} is {type(table).__name__}, expected a table")
    unknown = [name for name in table if name not in keys]
    missing = [name for name, key in keys.items() if key.default is REQUIRED and name not in table]
    if unknown:
        near = did_you_mean(unknown[0], [name for name in keys if name not in table])
        expected = "" if near else f", expected {', '.join(keys)}"
        raise ExportError("bad_manifest", f"{where} has an unknown key {unknown[0]}{near}{expected}")
    if missing:
        key = keys[missing[0]]
        raise ExportError("bad_manifest", f"{where} lacks {some(missing, 9)}; add {missing[0]} = <{key.expected()}>")
    checked = {}
    for name, key in keys.items():
        value = table.get(name, key.default)
        if value is None:
            continue
        checked[name] = key.read(value)
        if checked[name] is None:
            raise ExportError("bad_manifest", f"{where} {name}={value!r}, expected {key.expected()}")
    return checked


def check_input(table, where):
    """[input] and [input.mel], complete. @throws ExportError bad_manifest"""
    if not isinstance(table, dict):
        raise ExportError(
            "bad_manifest", f'{where}: no table [input]; a front end has [input] and, for kind = "mel", [input.mel]'
        )
    mel = table.get("mel")
    table = check_table({k: v for k, v in table.items() if k != "mel"}, INPUT, f"{where} [input]")
    table.setdefault("hop_s", table["window_s"])
    if table["kind"] == "waveform":
        if mel is not None:
            raise ExportError("bad_manifest", f'{where}: [input.mel] beside kind = "waveform"; remove one of the two')
        return table
    if mel is None:
        near = did_you_mean("mel", table)
        raise ExportError("bad_manifest", f'{where}: no table [input.mel], which kind = "mel" needs{near}')
    mel = check_table(mel, MEL, f"{where} [input.mel]")
    mel.setdefault("win_length", mel["n_fft"])
    mel.setdefault("f_max_hz", table["sample_rate_hz"] / 2)
    check_mel(mel, table, f"{where} [input.mel]")
    return {**table, "mel": {name: mel[name] for name in MEL if name in mel}}


def check_mel(mel, table, where):
    nyquist = table["sample_rate_hz"] / 2
    top = mel["f_max_hz"] or nyquist
    if mel["win_length"] > mel["n_fft"]:
        raise ExportError("bad_manifest", f"{where} win_length={mel['win_length']}, expected at most n_fft={mel['n_fft']}")
    if not mel["f_min_hz"] < top <= nyquist:
        found = f"f_min_hz={mel['f_min_hz']:g}, f_max_hz={top:g}"
        raise ExportError(
            "bad_manifest", f"{where} {found}, expected f_min_hz < f_max_hz <= {nyquist:g} (half of sample_rate_hz)"
        )
    if mel["normalize"] == "mean_std" and ("mean" not in mel or "std" not in mel):
        raise ExportError("bad_manifest", f'{where} normalize = "mean_std" needs mean and std; add them')
    if mel.get("std") == 0:
        raise ExportError("bad_manifest", f"{where} std=0, expected a number other than 0")
    if window_samples(table) < mel["n_fft"] // 2 + 1:
        found = f"window of {window_samples(table)} samples"
        raise ExportError(
            "bad_manifest", f"{where} n_fft={mel['n_fft']} is too long for a {found}; set a longer input.window_s"
        )
    if not mel["center"] and window_samples(table) < mel["n_fft"]:
        raise ExportError(
            "bad_manifest", f"{where} n_fft={mel['n_fft']}, expected at most the window's {window_samples(table)} samples"
        )


def window_samples(table):
    return round(table["window_s"] * table["sample_rate_hz"])


def row_shape(table):
    """Shape of one input row: (channels, n_mels, frames) or (window_samples,). As Manifest::row_shape in the C++ library."""
    samples = window_samples(table)
    if table["kind"] == "waveform":
        return (samples,)
    mel = table["mel"]
    frames = 1 + (samples if mel["center"] else samples - mel["n_fft"]) // mel["hop_samples"]
    return (table["channels"], mel["n_mels"], frames)


def check_manifest(manifest, default_name, where="manifest"):
    """The whole manifest, complete. `model.labels` becomes a list of labels; it may be given as one, or as a path.

    @param manifest  a mapping with [model], [input], [output] (optional), [probe] (optional), or the path of such a TOML file
    """
    folder = pathlib.Path()
    if not isinstance(manifest, dict):
        folder, where = pathlib.Path(manifest).parent, str(manifest)
        manifest = read_toml(manifest)
    tables = {"model", "input", "output", "probe"}
    for name in manifest:
        if name not in tables:
            raise ExportError("bad_manifest", f"{where} has an unknown table [{name}]{did_you_mean(name, tables)}")
    model = dict(manifest.get("model", {}))
    labels = model.get("labels", [])
    if isinstance(labels, (str, pathlib.Path)):
        labels = read_labels(folder / labels)
    else:
        labels = check_labels(list(labels), f"{where} [model] labels")
    model = check_table({"name": default_name, **model, "labels": "labels.txt"}, MODEL, f"{where} [model]")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", model["name"]):
        found = f"{where} [model] name={model['name']!r}"
        raise ExportError("bad_manifest", f"{found}, expected letters, digits, _ . + - only: files are called so")
    return {
        "model": {**model, "labels": labels},
        "input": check_input(manifest.get("input"), where),
        "output": check_table(manifest.get("output", {}), OUTPUT, f"{where} [output]"),
        "probe": check_table(manifest.get("probe", {}), PROBE, f"{where} [probe]"),
    }


def read_toml(path):
    try:
        return tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError("not_found", f"{path}: {error.strerror}, expected a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExportError("bad_manifest", f"{path} is not TOML: {error}") from error


def read_front_end(path):
    """The [input] of a front-end file (or of a whole manifest). @throws ExportError not_found, bad_manifest"""
    return check_input(read_toml(path).get("input"), str(path))


def read_labels(path):
    """One class a line. @throws ExportError not_found, bad_manifest: none, an empty line, a label twice"""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ExportError("not_found", f"{path}: {error.strerror}, expected a labels file with one class a line") from error
    except UnicodeDecodeError as error:
        raise ExportError("bad_manifest", f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    return check_labels(text.rstrip().split("\n"), str(path))


def check_labels(labels, where):
    lines = {}
    for number, label in enumerate(labels, 1):
        if not isinstance(label, str):
            raise ExportError("bad_manifest", f"{where}: label {number} is {label!r}, expected a string")
        label = label.strip()
        if not label or "\n" in label:
            raise ExportError(
                "bad_manifest", f"{where}: label {number} is empty or has a line break, expected one class a line"
            )
        if label in lines:
            raise ExportError(
                "bad_manifest", f"{where}: label {label!r} stands on lines {lines[label]} and {number}; expected once"
            )
        lines[label] = number
    if not lines:
        raise ExportError("bad_manifest", f"{where}: no labels, expected one a class")
    return list(lines)


def toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(
            f"\\u{ord(c):04x}" if c < " " or c == "\x7f" else c for c in value.replace("\\", "\\\\").replace('"', '\\"')
        )
        return f'"{escaped}"'
    return repr(value)


def to_toml(manifest, comment):
    """Text of a manifest; nested tables become [a.b]. The comment is its first line."""
    lines = [f"# {comment}"]

    def table(name, values):
        lines.append(f"[{name}]")
        lines.extend(f"{key} = {toml_value(value)}" for key, value in values.items() if not isinstance(value, dict))
        for key, value in values.items():
            if isinstance(value, dict):
                table(f"{name}.{key}", value)

    for name, values in manifest.items():
        table(name, values)
    return "\n".join(lines) + "\n"
