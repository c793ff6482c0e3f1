"""Inputs that fuzzing begins with: make_corpus.py FOLDER writes FOLDER/TARGET/..., small, valid and broken."""

import io
import pathlib
import shutil
import struct
import subprocess
import sys

import numpy as np

RATE = 8000
TONE = (0.3 * np.sin(2 * np.pi * 440 / RATE * np.arange(RATE // 4))).astype(np.float32)
DIVIDER = b"%%%\n"  # between the files of an input that stands for several

MANIFEST = """[model]
file = "b0.onnx"
labels = "labels.txt"
name = "b0"
weight = 2.5
[input]
kind = "mel"
sample_rate_hz = 32000
window_s = 5.0
hop_s = 2.5
channels = 3
min_signal = 0.5
resampler = "soxr_hq"
[input.mel]
n_fft = 2048
win_length = 1024
hop_samples = 1024
n_mels = 64
f_min_hz = 50
f_max_hz = 14000
scale = "htk"
norm = "slaney"
power = 2.0
center = true
pad = "reflect"
level = "db"
ref = "max"
amin = 1e-10
top_db = 80
normalize = "mean_std"
mean = 0.5
std = 0.25
[output]
clip = "clipwise"
frame = "framewise"
frame_axis = "class_last"
embedding = "embedding"
activation = "softmax"
logit_clip = 10
[postprocess]
smooth = [0.1, 0.8, 0.1]
prior = "max"
prior_power = 0.5
merge_gap_s = 1
tta_shifts_s = [0.5]
species_list = "species.txt"
thresholds = "thresholds.csv"
[postprocess.events]
median_frames = 3
high = 0.5
low = 0.2
[probe]
output = "probe.npy"
tolerance = 0.001
"""
WAVEFORM_MANIFEST = """model = {file = "b0.onnx", labels = "labels.txt"}
[input]
kind = "waveform"
sample_rate_hz = 48000
window_s = 3
"""
LABELS = "Parus major_Great Tit\nnoise\nDog_Dog\n"
SPECIES = "Great Tit\nDog\n"
THRESHOLDS = "class,threshold\nnoise,0.25\nParus major,0.5\n"
PLAN = """[plan]
whimbrel = "0.1.0"
created = "2026-01-01T00:00:00Z"
cpu = "some CPU"
cores = 2
metric = "macro_roc_auc"
budget_s = 3600
workload_windows = 1000
workload_s = 5000.0
expected_wall_s = 100
wall_margin_s = 5
expected_score = 0.9
score_low = 0.8
score_high = 0.95
method = "cascade"
best_single_score = 0.85
best_equal_score = 0.86
best_weighted_score = 0.87
best_cascade_score = 0.9
[[member]]
model = "a.toml"
name = "a"
hash = "0123456789abcdef0123456789abcdef"
engine = "onnxruntime"
precision = "fp32"
batch = 8
weight = 1
cost_s = 0.01
gain = 0.5
[[member]]
model = "../models/b.toml"
name = "b"
hash = "0123456789abcdef0123456789abcdef"
engine = "openvino"
precision = "int8"
batch = 1
weight = 0.5
cost_s = 0.02
gain = 0.25
[cascade]
gate = 0
threshold = 0.1
slope = 1.5
offset = -0.5
expected_share = 0.1
[[pareto]]
wall_s = 10
score = 0.8
members = ["a", "b"]
"""
VERDICT = """{"format":1,"keep_fp32":true,"engine":"openvino","cpu":"some CPU","integer_path":"avx512_vnni","source":"b0.onnx",
"source_hash":"0123456789abcdef0123456789abcdef","words":"keep FP32","verdict":"keep FP32"}"""
TUNING = """{"format":1,"entries":[{"model_hash":"x","row_shape":[1,2],"cpu":"some CPU","integer_path":"avx2","cores":2,
"engines":{},"for_batch":0,"settings":[{"engine":"onnxruntime","batch":8,"windows_per_s":20.5}]}]}"""


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def wav(body=None, *, rate=RATE, channels=1, tag=1, bits=16, data_size=None, before=b"", after=b""):
    """A WAV file by hand, with whatever its header claims."""
    if body is None:
        body = (TONE[:800] * 32767).astype("<i2").tobytes()
    block = channels * bits // 8
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits))
    data = b"data" + struct.pack("<I", len(body) if data_size is None else data_size) + body
    inside = b"WAVE" + fmt + before + data + after
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


def times():
    """Chunks that say when a recording began."""
    comment = b"Recorded at 19:17:30 21/05/2019 (UTC+2) by AudioMoth 24F319055FDF2F5B at gain setting 2"
    json = b'opso_metadata{"recording_start_time": "2024-05-28T10:00:00+00:00"}'
    guano = b"GUANO|Version: 1.0\nTimestamp: 2017-01-01T00:00:00.123-07:00\nMake: X\n"
    bext = b"\0" * 320 + b"2023-05-0105:00:00" + b"\0" * 264
    info = lambda text: chunk(b"LIST", b"INFO" + chunk(b"ICMT", text) + chunk(b"ISFT", b"x"))  # noqa: E731
    return {"audiomoth": info(comment), "opso": info(json), "guano": chunk(b"guan", guano), "bext": chunk(b"bext", bext)}


def by_soundfile(kind, subtype, channels=1):
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.repeat(TONE[:, None], channels, axis=1), RATE, format=kind, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(*options):
    source = ["-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0"]
    quiet = ["-loglevel", "error", "-bitexact"]
    done = subprocess.run(
        ["ffmpeg", *quiet, *source, *options, "pipe:1"], input=TONE.tobytes(), capture_output=True, check=False
    )
    return done.stdout


def audio():
    floats = TONE[:400].astype("<f4").copy()
    floats[10:13] = [np.nan, np.inf, 1e30]
    yield "pcm16.wav", wav()
    yield "pcm8.wav", wav(bytes(range(256)), bits=8)
    yield "float.wav", wav(floats.tobytes(), tag=3, bits=32)
    yield "empty-data.wav", wav(b"")
    yield "cut.wav", wav(data_size=1 << 20)
    yield "streamed.wav", wav(data_size=0xFFFFFFFF)
    for rate in (0, 1, 999_983, 10_000_000, 0xFFFFFFFF):
        yield f"rate-{rate}.wav", wav(rate=rate)
    for channels in (0, 2, 1024, 65535):
        yield f"channels-{channels}.wav", wav(bytes(8192), channels=channels)
    yield "text.wav", b"this is no recording\n"
    yield "playlist.wav", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    yield "zero-chunks.wav", wav(before=chunk(b"junk", b"") * 50)
    for kind, subtype in (
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("AIFF", "PCM_16"),
        ("W64", "PCM_16"),
        ("RF64", "PCM_16"),
        ("AU", "ULAW"),
    ):
        yield f"{kind}-{subtype}", by_soundfile(kind, subtype)
    for kind, subtype in (
        ("CAF", "ALAC_16"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"),
        ("WAV", "GSM610"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
    ):
        yield f"{kind}-{subtype}", by_soundfile(kind, subtype)
    yield "stereo.flac", by_soundfile("FLAC", "PCM_16", 2)
    if shutil.which("ffmpeg") is None:
        print("make_corpus: no ffmpeg; its formats are left out (scripts/setup --dev installs it)")
        return
    for name, options in {
        "mp3": ("-f", "mp3"),
        "m4a": ("-f", "mp4", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
        "alac": ("-f", "mov", "-c:a", "alac", "-movflags", "frag_keyframe+empty_moov"),
        "aac": ("-f", "adts", "-c:a", "aac"),
        "mka": ("-f", "matroska", "-c:a", "flac"),
        "webm": ("-f", "webm", "-ar", "48000", "-c:a", "libopus"),
        "wma": ("-f", "asf", "-c:a", "wmav2"),
        "wv": ("-f", "wv", "-c:a", "wavpack"),
        "tta": ("-f", "tta"),
        "voc": ("-f", "voc", "-c:a", "pcm_u8"),
        "ac3": ("-f", "ac3", "-ar", "32000"),
    }.items():
        yield name, by_ffmpeg(*options)


def recording_time():
    names = [b"SITE_20230501_050000", b"2023-05-01_05-00-00+0200", b"5CE2D4B0", b"x"]
    for (kind, chunks), name in zip(times().items(), names, strict=True):
        yield f"{kind}-before", wav(before=chunks) + DIVIDER + name
        yield f"{kind}-after", wav(after=chunks) + DIVIDER + name
    yield "none", DIVIDER + b"20230501T050000Z"
    yield "rf64", by_soundfile("RF64", "PCM_16")[:200]


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def arrays():
    yield "vector", npy(np.zeros(3, "<f4"))
    yield "matrix", npy(np.zeros((2, 3), "<f4"))
    yield "scalar", npy(np.float32(1))
    yield "double", npy(np.zeros(3))
    yield "fortran", npy(np.asfortranarray(np.zeros((2, 3), "<f4")))
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2), }\n"
    yield "huge", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(huge)) + huge + b"\0" * 8


def files(*contents):
    return DIVIDER.join(c if isinstance(c, bytes) else c.encode() for c in contents)


def manifests():
    lists = (LABELS, npy(np.zeros(3, "<f4")), SPECIES, THRESHOLDS)
    yield "mel", files(MANIFEST, *lists)
    yield "waveform", files(WAVEFORM_MANIFEST, *lists)
    yield "outside", files(MANIFEST.replace("labels.txt", "../../etc/passwd"), *lists)
    yield "zero", files(MANIFEST.replace("labels.txt", "labels.txt\\u0000/.."), *lists)
    yield "large", files(MANIFEST.replace("window_s = 5.0", "window_s = 3600").replace("32000", "1000000"), *lists)


def labels():
    yield "all", files(LABELS, SPECIES, THRESHOLDS)
    yield "crlf", files("\ufeff" + LABELS.replace("\n", "\r\n"), "noise", "class,threshold\r\nnoise,0.5\r\n")
    yield "twice", files("a\nb\na\n", "", "")


def tables():
    yield "sample", b'row_id,a,b\nx_5,0.5,0\n"x,""y",1,1e-3\n'
    yield "crlf", b"\xef\xbb\xbfrow_id,b\r\nx_5,1\r\n\r\n"
    yield "tabs", b"a\tb\n1\t2\n"
    yield "open-quote", b'row_id,a\n"x,1\n'
    yield "break", b'a,b\n"x\ny",1\n'


def truths():
    scores = "row_id,Parus major_Great Tit,noise\ndawn_5,0.9,0.1\ndawn_10,0.2,1e-3\n"
    yield "one-hot", files(scores, "row_id,Parus major_Great Tit,noise\ndawn_5,1,0\ndawn_10,0,1\n")
    yield "labels", files(scores, "row_id,labels\ndawn_5,Great Tit;noise\ndawn_10,nocall\n")
    yield "events", files(scores, "file,start_s,end_s,label\ndawn.wav,1.5,6,Great Tit\ndawn.wav,7,8,nocall\n")
    raven = "Selection\tBegin Time (s)\tEnd Time (s)\tFile Offset (s)\tBegin Path\tSpecies\n"
    raven += "1\t0.5\t2\t0.5\tC:\\x\\dawn.wav\tnoise\n"
    yield "raven", files(scores, raven)


def models():
    """Small ONNX files: convolution and product, external data beside, outside and beyond the end, and constants that lie."""
    import onnx
    from onnx import TensorProto, helper

    def model(*constants, nodes=None):
        nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
        value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2])  # noqa: E731
        graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], list(constants))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def outside(location, offset="0", length="16"):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=value)
        return tensor

    plain = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], np.ones(4, "<f4").tobytes(), raw=True)
    listed = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
    lying = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], np.ones(4, "<f4").tobytes(), raw=True)
    del lying.dims[:]
    lying.dims.extend([1 << 32, 1 << 32])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [-1])
    half = helper.make_tensor("half", TensorProto.FLOAT16, [2], b"\0\x3c\0\x3c", raw=True)
    inner = helper.make_node("Constant", [], ["w"], value=outside("../../etc/passwd"))
    after = helper.make_node("MatMul", ["x", "w"], ["y"])
    yield "plain", model(plain)
    yield "listed", model(listed, axes, half)
    yield "lying", model(lying)
    yield "external", model(outside("model.onnx.data"))
    yield "parent", model(outside("../model.onnx.data"))
    yield "address", model(outside("*/_ORT_MEM_ADDR_/*", "94000000000000"))
    yield "beyond", model(outside("model.onnx.data", "4090"))
    yield "inside-a-node", model(nodes=[inner, after])
    body = model(outside("/etc/passwd")).graph
    branch = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    yield "inside-a-branch", model(nodes=[branch])
    conv = helper.make_node("Conv", ["x", "w"], ["y"], group=2, kernel_shape=[1, 1])
    yield "conv", model(plain, nodes=[conv])
    assert onnx.__version__


def journals():
    """Records of journal_fuzz.cc: kind, number, length, bytes."""
    record = lambda kind, number, body: struct.pack("<BBH", kind, number, len(body)) + body  # noqa: E731
    done = b'{"bytes":9,"modified_ns":1,"windows":2,"decoded_s":2.5,"sample_rate_hz":8000,"channels":1,"codec":"WAV/PCM_16"'
    done = b"in/a.wav\0" + done + b',"non_finite_samples":0}'
    begin, rows = record(0, 1, b'{"a":1,"b":[2]}'), record(2, 0, b"\0\0\x80\x3f" * 2)
    yield "finished", b"R" + begin + rows + record(3, 0, done)
    yield "resumed", b"R" + begin + rows + record(4, 0, b"") + rows + record(3, 0, done)
    yield "no-settings", b"R" + record(0, 1, b"5") + rows + record(3, 0, done)
    yield "raw", b"WHN\x01" + bytes(60)


def make(folder):
    corpora = {
        "audio": audio(),
        "recording_time": recording_time(),
        "npy": arrays(),
        "onnx": ((name, model.SerializeToString()) for name, model in models()),
        "csv": tables(),
        "journal": journals(),
        "labels": labels(),
        "manifest": manifests(),
        "truth": truths(),
        "tuning": [("tuning", TUNING.encode()), ("verdict", VERDICT.encode())],
        "plan": [("cascade", PLAN.encode()), ("one", PLAN.split("[cascade]")[0].encode())],
    }
    for target, inputs in corpora.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, contents in inputs:
            (folder / target / name).write_bytes(contents)


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
