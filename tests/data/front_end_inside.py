"""A network that is fed samples, as BirdNET is: the front end of an exported mel network put inside its graph.

    python tests/data/front_end_inside.py examples/dawn_chorus/model/dawn_chorus.toml FOLDER [--dft matmul|conv]

writes FOLDER/NAME.onnx and NAME.toml (`kind = "waveform"`) with the labels beside them. Framing and windowed DFT (two matrix
products, or two strided convolutions), power, mel bands as a matrix product, decibels, normalization, then the network with the
weights that it has: it answers as the mel network does, so agreement and score mean something. What makes such a graph hard to
quantize: its power spectrum spans ten decades, and one scale for all of it keeps the loudest bin alone.
"""

import argparse
import pathlib
import shutil
import tomllib

import librosa
import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper


def dft_tables(mel):
    """Real and imaginary part of a windowed DFT: [n_fft, n_fft / 2 + 1] each, float32."""
    n_fft, length = mel["n_fft"], mel.get("win_length", mel["n_fft"])
    window = np.zeros(n_fft)
    begin = (n_fft - length) // 2
    window[begin : begin + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    turns = np.arange(n_fft)[:, None] * np.arange(n_fft // 2 + 1) % n_fft / n_fft
    return [(window[:, None] * f(2 * np.pi * turns)).astype(np.float32) for f in (np.cos, np.sin)]


def mel_bank(config):
    """[n_mels, n_fft / 2 + 1]."""
    mel = config["mel"]
    norm = None if mel.get("norm") == "none" else "slaney"
    bands = {"n_mels": mel["n_mels"], "fmin": mel.get("f_min_hz", 0), "fmax": mel.get("f_max_hz") or None, "norm": norm}
    return librosa.filters.mel(sr=config["sample_rate_hz"], n_fft=mel["n_fft"], htk=mel.get("scale") == "htk", **bands)


class Graph:
    """Nodes and constants as they are added; every call gives the name of its result."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, value, dtype=np.float32):
        self.constants[name] = np.asarray(value, dtype)
        return name

    def add(self, operator, *inputs, name, **attributes):
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name


def front_end(config, dft):
    """The front end of a manifest's [input] as an ONNX model: samples [batch, n] -> mel [batch, channels, n_mels, frames]."""
    mel = config["mel"]
    expected = {"power": 2.0, "center": True, "level": "db", "ref": "one", "normalize": "minmax"}
    for key, value in expected.items():
        if mel.get(key, value) != value:
            raise ValueError(f"input.mel.{key} = {mel[key]}: front_end_inside.py only knows {value}")
    samples = round(config["sample_rate_hz"] * config["window_s"])
    n_fft, hop = mel["n_fft"], mel["hop_samples"]
    frames, channels = 1 + samples // hop, config.get("channels", 1)
    g = Graph()
    pads = g.constant("pads", [0, n_fft // 2, 0, n_fft // 2], np.int64)
    padded = g.add("Pad", "samples", pads, name="padded", mode=mel.get("pad", "reflect"))
    bank = mel_bank(config)
    parts = []
    if dft == "matmul":
        at = g.constant("frame_samples", np.arange(frames)[:, None] * hop + np.arange(n_fft), np.int64)
        framed = g.add("Gather", padded, at, name="framed", axis=1)
        for part, table in zip(("real", "imaginary"), dft_tables(mel), strict=True):
            parts.append(g.add("MatMul", framed, g.constant(f"{part}_table", table), name=part))
    else:
        plane = g.add("Unsqueeze", padded, g.constant("axis_1", [1], np.int64), name="plane")
        for part, table in zip(("real", "imaginary"), dft_tables(mel), strict=True):
            kernel = g.constant(f"{part}_kernel", table.T[:, None])
            parts.append(g.add("Conv", plane, kernel, name=part, kernel_shape=[n_fft], strides=[hop]))
    squares = [g.add("Mul", part, part, name=f"{part}_squared") for part in parts]
    power = g.add("Add", *squares, name="power")
    if dft == "matmul":
        bands = g.add("MatMul", power, g.constant("mel_bank", bank.T), name="bands_last")
        bands = g.add("Transpose", bands, name="bands", perm=[0, 2, 1])
    else:
        bands = g.add("MatMul", g.constant("mel_bank", bank), power, name="bands")
    floored = g.add("Max", bands, g.constant("amin", mel.get("amin", 1e-10)), name="above_amin")
    level = g.add("Mul", g.add("Log", floored, name="log"), g.constant("db", 10 / np.log(10)), name="level")
    axes = g.constant("plane_axes", [1, 2], np.int64)
    if "top_db" in mel:
        loudest = g.add("ReduceMax", level, axes, name="loudest", keepdims=1)
        level = g.add("Max", level, g.add("Sub", loudest, g.constant("top_db", mel["top_db"]), name="floor"), name="floored")
    low, high = (g.add(f"Reduce{end}", level, axes, name=f"{end.lower()}imum", keepdims=1) for end in ("Min", "Max"))
    span = g.add("Add", g.add("Sub", high, low, name="range"), g.constant("epsilon", 1e-6), name="span")
    scaled = g.add("Div", g.add("Sub", level, low, name="above_low"), span, name="scaled")
    g.add("Unsqueeze", scaled, g.constant("channel_axis", [1], np.int64), name="one_plane" if channels > 1 else "mel")
    if channels > 1:
        g.add("Concat", *["one_plane"] * channels, name="mel", axis=1)
    ends = (("samples", ["batch", samples]), ("mel", ["batch", channels, mel["n_mels"], frames]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends]
    constants = [numpy_helper.from_array(value, name) for name, value in g.constants.items()]
    graph = helper.make_graph(g.nodes, "front_end", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def build(manifest_path, dft="matmul"):
    """The ONNX model whose input is `front_end/samples` [batch, n] and whose outputs are the network's own."""
    manifest_path = pathlib.Path(manifest_path)
    manifest = tomllib.loads(manifest_path.read_text())
    network = onnx.load(manifest_path.parent / manifest["model"]["file"])
    front = compose.add_prefix(front_end(manifest["input"], dft), "front_end/")
    front.ir_version = network.ir_version
    model = compose.merge_models(front, network, io_map=[("front_end/mel", network.graph.input[0].name)])
    del model.opset_import[1:]  # merge_models names the same one twice, and ONNX Runtime's tools stumble over that
    onnx.checker.check_model(model, full_check=True)
    return model


def write(manifest_path, folder, dft="matmul"):
    """Path of the manifest of what build() gives, in a folder of its own with the labels."""
    manifest_path, folder = pathlib.Path(manifest_path), pathlib.Path(folder)
    manifest = tomllib.loads(manifest_path.read_text())
    name = f"{manifest['model']['name']}_from_samples"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build(manifest_path, dft), folder / f"{name}.onnx")
    shutil.copyfile(manifest_path.parent / manifest["model"]["labels"], folder / "labels.txt")
    taken = {key: manifest["input"][key] for key in ("sample_rate_hz", "window_s", "hop_s") if key in manifest["input"]}
    lines = ["[model]", f'name = "{name}"', f'file = "{name}.onnx"', 'labels = "labels.txt"', "[input]", 'kind = "waveform"']
    lines += [f"{key} = {value}" for key, value in taken.items()]
    lines += ["[output]", *(f'{key} = "{value}"' for key, value in manifest.get("output", {}).items())]
    (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.toml"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("folder")
    parser.add_argument("--dft", choices=["matmul", "conv"], default="matmul")
    options = parser.parse_args()
    print(write(options.manifest, options.folder, options.dft))


if __name__ == "__main__":
    main()
