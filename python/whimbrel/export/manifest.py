"""The manifest: checked, completed with the front end's defaults, written as TOML. docs/manifest.md has the keys."""

import json
import math
import pathlib
import re
import tomllib

from .errors import ExportError, did_you_mean, some


class Key:
    """What a key may hold. `default` None: absent unless given; REQUIRED: must be given. `above` is a bound that is outside."""

    def __init__(self, kind, default=None, *, low=-math.inf, above=-math.inf, high=math.inf, choices=None):
        self.kind, self.default, self.choices = kind, default, choices
        self.low, self.above, self.high = low, above, high

    def expected(self):
        if self.choices:
            return " or ".join(f'"{choice}"' for choice in self.choices)
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[self.kind]
        bounds = [f"at least {self.low:g}"] * (self.low > -math.inf) + [f"above {self.above:g}"] * (self.above > -math.inf)
        bounds += [f"at most {self.high:g}"] * (self.high < math.inf)
        return ", ".join([words, *bounds])

    def read(self, value):
        """The value in its own type, or None where it does not fit."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if self.kind is not type(value) or (self.choices and value not in self.choices):
            return None
        if self.kind in (int, float) and not (self.low <= value <= self.high and self.above < value < math.inf):
            return None
        return value


# Ranges are those of docs/manifest.md. Defaults of [input.mel] are whimbrel::MelConfig's; they are written out, so that a
# manifest says all that its network was fed. What no two front ends share has no default here.
REQUIRED = object()
MODEL = {"name": Key(str), "labels": Key(str, REQUIRED), "weight": Key(float, 1.0, above=0)}
INPUT = {
    "kind": Key(str, REQUIRED, choices=("mel", "waveform")),
    "sample_rate_hz": Key(int, REQUIRED, low=1, high=1_000_000),
    "window_s": Key(float, REQUIRED, above=0, high=3600),
    "hop_s": Key(float, above=0, high=3600),
    "channels": Key(int, 1, low=1, high=16),
    "min_signal": Key(float, low=0, high=1),
    "resampler": Key(str, choices=("soxr_hq", "kaiser_fast")),
}
MEL = {
    "n_fft": Key(int, REQUIRED, low=4, high=65536),
    "win_length": Key(int, low=2),
    "hop_samples": Key(int, REQUIRED, low=1),
    "n_mels": Key(int, REQUIRED, low=1, high=512),
    "f_min_hz": Key(float, 0.0, low=0),
    "f_max_hz": Key(float, low=0),
    "scale": Key(str, "slaney", choices=("slaney", "htk")),
    "norm": Key(str, "slaney", choices=("slaney", "none")),
    "power": Key(float, 2.0, above=0, high=4),
    "center": Key(bool, True),
    "pad": Key(str, "reflect", choices=("reflect", "constant")),
    "level": Key(str, "db", choices=("db", "log", "none")),
    "ref": Key(str, "one", choices=("one", "max")),
    "amin": Key(float, 1e-10, low=1e-30, high=1e6),
    "top_db": Key(float, low=0, high=1000),
    "normalize": Key(str, "none", choices=("minmax", "mean_std", "none")),
    "mean": Key(float),
    "std": Key(float, above=0),
}
OUTPUT = {
    "clip": Key(str),
    "frame": Key(str),
    "frame_axis": Key(str, choices=("class_first", "class_last")),
    "embedding": Key(str),
    "activation": Key(str, "sigmoid", choices=("sigmoid", "softmax", "none")),
    "logit_clip": Key(float, low=0),
}
PROBE = {"tolerance": Key(float, 1e-3, above=0)}


def check_table(table, keys, where, section):
    """A new table in the order of `keys`, with defaults.

    @throws ExportError bad_manifest: not a table, keys unknown or missing, or a value out of range
    """
    if not isinstance(table, dict):
        raise ExportError("bad_manifest", f"{where}: {section}={table!r}, expected a table, [{section}]")
    for name in table:
        if name not in keys:
            near = did_you_mean(name, [known for known in keys if known not in table])
            message = f"{where}: unknown key {section}.{name}, expected one of {', '.join(keys)}{near}"
            raise ExportError("bad_manifest", message)
    missing = [name for name, key in keys.items() if key.default is REQUIRED and name not in table]
    if missing:
        names = some((f"{section}.{name}" for name in missing), 9)
        verb = "is" if len(missing) == 1 else "are"
        message = f"{names} {verb} missing, expected {missing[0]} = {keys[missing[0]].expected()}; add it (docs/manifest.md)"
        raise ExportError("bad_manifest", f"{where}: {message}")
    checked = {}
    for name, key in keys.items():
        value = table.get(name, key.default)
        if value is None:
            continue
        checked[name] = key.read(value)
        if checked[name] is None:
            raise ExportError("bad_manifest", f"{where}: {section}.{name}={value!r}, expected {key.expected()}")
    return checked


def check_input(table, where):
    """[input] and [input.mel], complete. @throws ExportError bad_manifest"""
    if table is None:
        needs = 'a table with kind, sample_rate_hz and window_s, and for kind = "mel" a table [input.mel]'
        raise ExportError("bad_manifest", f"{where}: input is missing, expected {needs}")
    mel = table.get("mel") if isinstance(table, dict) else None
    table = {name: value for name, value in table.items() if name != "mel"} if mel is not None else table
    if mel is None and isinstance(table, dict) and table.get("kind") == "mel":
        near = next((name for name, value in table.items() if isinstance(value, dict)), None)
        remedy = f'did you mean it by "{near}"?' if near else "add it (docs/manifest.md)"
        raise ExportError(
            "bad_manifest", f'{where}: input.mel is missing, expected a table [input.mel], as kind is "mel"; {remedy}'
        )
    table = check_table(table, INPUT, where, "input")
    table = in_order({"hop_s": table["window_s"], **table}, INPUT)
    check_times(table, where)
    if table["kind"] == "waveform":
        if mel is not None:
            raise ExportError("bad_manifest", f'{where}: input.mel, expected no such table, as kind is "waveform"')
        if table["channels"] != 1:
            raise ExportError(
                "bad_manifest", f"{where}: input.channels={table['channels']}, expected 1: a waveform has no planes"
            )
        return table
    mel = check_table(mel, MEL, where, "input.mel")
    mel = in_order({"win_length": mel["n_fft"], "f_max_hz": table["sample_rate_hz"] / 2, **mel}, MEL)
    check_mel(mel, table, where)
    return {**table, "mel": mel}


def in_order(table, keys):
    return {name: table[name] for name in keys if name in table}


def check_times(table, where):
    """Positions are integers: a window and a hop of whole samples never drift."""
    if table["hop_s"] > table["window_s"]:
        raise ExportError(
            "bad_manifest", f"{where}: input.hop_s={table['hop_s']:g}, expected at most window_s={table['window_s']:g}"
        )
    for name in ("window_s", "hop_s"):
        samples = table[name] * table["sample_rate_hz"]
        if round(samples) < 1 or not math.isclose(samples, round(samples), rel_tol=1e-9):
            expected = f"a whole number of samples at {table['sample_rate_hz']} Hz, found {samples:g}"
            raise ExportError("bad_manifest", f"{where}: input.{name}={table[name]:g}, expected {expected}")


def check_mel(mel, table, where):
    """How keys must fit each other: what the front end would refuse at run time is refused here."""

    def expect(holds, name, expected):
        if not holds:
            raise ExportError("bad_manifest", f"{where}: input.mel.{name}={mel.get(name, 'nothing')!r}, expected {expected}")

    nyquist, samples = table["sample_rate_hz"] / 2, window_samples(table)
    top = mel["f_max_hz"] or nyquist
    expect(mel["n_fft"] % 2 == 0, "n_fft", "an even number")
    expect(mel["win_length"] <= mel["n_fft"], "win_length", f"at most n_fft={mel['n_fft']}")
    expect(mel["f_max_hz"] <= nyquist, "f_max_hz", f"at most {nyquist:g}, half of sample_rate_hz")
    expect(mel["f_min_hz"] < top, "f_min_hz", f"below f_max_hz={top:g}")
    shortest = mel["n_fft"] // 2 + 1 if mel["center"] else mel["n_fft"]
    expect(
        samples >= shortest, "n_fft", f"a window of at least {shortest} samples, found {samples}; set a longer input.window_s"
    )
    if mel["level"] != "db":
        expect("top_db" not in mel, "top_db", 'no such key unless level = "db"')
        expect(mel["ref"] == "one", "ref", '"one" unless level = "db"')
    for name in ("mean", "std"):
        if mel["normalize"] == "mean_std":
            expect(name in mel, name, 'a number, as normalize is "mean_std"')
        else:
            expect(name not in mel, name, 'no such key unless normalize is "mean_std"')


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
    tables = ("model", "input", "output", "probe")
    for name, table in manifest.items():
        if name not in tables:
            expected = f"expected one of {', '.join(tables)}{did_you_mean(name, tables)}"
            raise ExportError("bad_manifest", f"{where}: unknown table {name}, {expected}")
        if not isinstance(table, dict):
            raise ExportError("bad_manifest", f"{where}: {name}={table!r}, expected a table, [{name}]")
    # An older export's own manifest may be given: what files are called is decided here.
    model = {name: value for name, value in manifest.get("model", {}).items() if name != "file"}
    probe = {name: value for name, value in manifest.get("probe", {}).items() if name != "output"}
    labels = model.get("labels", [])
    if isinstance(labels, (str, pathlib.Path)):
        labels = read_labels(folder / labels)
    else:
        labels = check_labels(list(labels), f"{where}: model.labels")
    model = check_table({"name": default_name, **model, "labels": "labels.txt"}, MODEL, where, "model")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", model["name"]):
        expected = "letters, digits, _ . + - only: files are called so"
        raise ExportError("bad_manifest", f"{where}: model.name={model['name']!r}, expected {expected}")
    return {
        "model": {**model, "labels": labels},
        "input": check_input(manifest.get("input"), where),
        "output": check_table(manifest.get("output", {}), OUTPUT, where, "output"),
        "probe": check_table(probe, PROBE, where, "probe"),
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
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return check_labels(lines, str(path))


def check_labels(labels, where):
    """The list as it is. @throws ExportError bad_manifest"""
    numbers = {}
    for number, label in enumerate(labels, 1):
        if not isinstance(label, str) or not label.strip() or "\n" in label or "\r" in label:
            raise ExportError("bad_manifest", f"{where}: label {number} is {label!r}, expected one class a line, none blank")
        if label in numbers:
            raise ExportError(
                "bad_manifest", f"{where}: label {label!r} is {numbers[label]} and {number}, expected each class once"
            )
        numbers[label] = number
    if not numbers:
        raise ExportError("bad_manifest", f"{where}: no labels, expected one class a line")
    return list(numbers)


def toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace(
            "\x7f", "\\u007f"
        )  # the one character that only JSON takes as it is
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
