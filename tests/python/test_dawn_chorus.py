"""examples/dawn_chorus: the generator, its truth, training and the committed network."""

import csv
import hashlib
import pathlib
import sys
import tomllib

import numpy as np
import pytest
import soundfile

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "dawn_chorus"
sys.path.insert(0, str(EXAMPLE))

import demo  # noqa: E402
import synthesize  # noqa: E402
from species import LABELS, SPECIES  # noqa: E402

MODEL = EXAMPLE / "model"
# Measured 0.977 on these recordings. Rounding moves the fourth decimal; the rest leaves room for a network trained anew.
AUC_FLOOR = 0.96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("dawn") / "recordings"
    synthesize.synthesize(out, 4, 63.0, 11, ["wav", "flac", "ogg"], with_bad_header=True)
    return out


@pytest.fixture(scope="module")
def scene():
    return synthesize.soundscape(np.random.default_rng(5), 120.0)


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.suffix != ".ogg"}


# --- the generator


def test_the_same_seed_gives_the_same_files(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        synthesize.synthesize(tmp_path / name, 2, 12.0, seed, ["wav", "flac"], with_bad_header=True)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    a, c = tmp_path / "a" / "dawn_3_000.wav", tmp_path / "c" / "dawn_4_000.wav"
    assert not np.array_equal(soundfile.read(a)[0], soundfile.read(c)[0])


def test_ogg_of_the_same_seed_decodes_to_the_same_samples(tmp_path):
    # A stream's serial number is drawn by the encoder, so the bytes may differ where the samples do not.
    paths = [synthesize.synthesize(tmp_path / name, 1, 12.0, 3, ["ogg"])[0] for name in "ab"]
    assert np.array_equal(soundfile.read(paths[0])[0], soundfile.read(paths[1])[0])


def test_a_recording_does_not_depend_on_how_many_are_made(tmp_path):
    one = synthesize.synthesize(tmp_path / "one", 1, 12.0, 3)[0]
    first_of_three = synthesize.synthesize(tmp_path / "three", 3, 12.0, 3)[0]
    assert one.read_bytes() == first_of_three.read_bytes()


@pytest.mark.parametrize("label", LABELS)
def test_a_species_varies_but_keeps_to_its_band(label):
    durations = set()
    for seed in range(20):
        sound = SPECIES[label](np.random.default_rng(seed), 32000)
        assert np.array_equal(sound, SPECIES[label](np.random.default_rng(seed), 32000))
        assert np.isfinite(sound).all() and 0.3 < len(sound) / 32000 < 4.5
        energy = np.abs(np.fft.rfft(sound)) ** 2
        above = energy[np.fft.rfftfreq(len(sound), 1 / 32000) > 13000].sum()
        # So that it is the same call at every sample rate; a click's sudden onset has a little of every frequency.
        assert above < 0.03 * energy.sum()
        durations.add(len(sound))
    assert len(durations) > 10


@pytest.mark.parametrize("label", LABELS)
def test_a_call_is_the_same_at_another_rate(label):
    at_32, at_48 = (SPECIES[label](np.random.default_rng(9), rate) for rate in (32000, 48000))
    # Each syllable and gap is rounded to whole samples: some thirty of them, a sample each.
    assert len(at_32) / 32000 == pytest.approx(len(at_48) / 48000, abs=60 / 32000)
    for a, b in zip(synthesize.band_of(at_32, 32000), synthesize.band_of(at_48, 48000), strict=True):
        assert a == pytest.approx(b, rel=0.03, abs=30)  # a band edge is a bin of at least 4096 samples


@pytest.mark.parametrize("rate", [32000, 44100, 48000])
@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 15.0])
def test_a_call_has_the_snr_that_was_asked_for(rate, snr_db):
    rng = np.random.default_rng([rate, 1])
    noise = synthesize.coloured_noise(rng, 20 * rate, rate)
    density = synthesize.power_density(noise)
    # The slow way: one FFT over all of the noise, power by Parseval.
    energy = np.abs(np.fft.rfft(noise.astype(np.float64))) ** 2 * 2 / len(noise) ** 2
    frequency_hz = np.fft.rfftfreq(len(noise), 1 / rate)
    for label in LABELS:
        sound = synthesize.at_snr(SPECIES[label](rng, rate), snr_db, density, rate)
        low_hz, high_hz = synthesize.band_of(sound, rate)
        noise_power = energy[(frequency_hz >= low_hz) & (frequency_hz <= high_hz)].sum()
        measured_db = 10 * np.log10(np.mean(sound**2) / noise_power)
        # A band of 200 Hz is some 20 of Welch's bins: whether its two edge bins count moves it by up to 10 %.
        assert measured_db == pytest.approx(snr_db, abs=0.7), label


def test_a_mixture_is_noise_and_calls_and_nothing_else(scene):
    mixture = scene.mixture()
    expected = scene.noise.astype(np.float64)
    for call in scene.calls:
        expected[call.start : call.end] += call.sound
    scale = min(1.0, 0.9 / np.abs(expected).max())
    np.testing.assert_allclose(mixture, expected * scale, atol=1e-6)  # float32 sums of a few values below 1


def test_a_mixture_never_clips():
    call = synthesize.Call(LABELS[0], 10, 12, 0.0, np.array([3.0, -6.0]))
    loud = synthesize.Soundscape(32000, np.zeros(100, np.float32), [call])
    assert np.abs(loud.mixture()).max() == pytest.approx(0.9)


def test_a_soundscape_is_silent_and_crowded_in_turn(scene):
    covered = np.zeros(len(scene.noise), np.int32)
    for call in scene.calls:
        assert 0 <= call.start < call.end <= len(covered) and call.end - call.start == len(call.sound)
        assert synthesize.SNR_DB[0] <= call.snr_db <= synthesize.SNR_DB[1]
        covered[call.start : call.end] += 1
    assert covered.max() >= 2  # calls overlap
    edges = np.flatnonzero(np.diff(np.concatenate([[1], covered > 0, [1]]).astype(int)))
    assert np.diff(edges)[::2].max() >= 6 * scene.sample_rate_hz  # and at least 6 s hold none
    assert 4 <= len({call.label for call in scene.calls}) <= 9


def test_distances_span_the_range_of_snr():
    levels = [c.snr_db for i in range(20) for c in synthesize.soundscape(np.random.default_rng([1, i]), 30.0).calls]
    assert min(levels) < -4 and max(levels) > 13


def test_backgrounds_have_different_colours():
    def slope_db(seed):
        density = synthesize.power_density(synthesize.coloured_noise(np.random.default_rng(seed), 320000, 32000))
        return 10 * np.log10(density[64:128].mean() / density[1024:2048].mean())  # 0.5-1 kHz over 8-16 kHz

    slopes = [slope_db(seed) for seed in range(30)]
    assert min(slopes) < 3 and max(slopes) > 15  # white is 0 dB, brown 24 dB


# --- the truth


def test_truth_agrees_with_events_counted_the_slow_way(folder):
    events = read_rows(folder / "events.csv")
    truth = read_rows(folder / "truth.csv")
    assert len(truth) == 4 * 13  # 63 s: the last 3 s are more than half a window
    for row in truth:
        stem, end_s = row["row_id"].rsplit("_", 1)
        end, start = int(end_s) * 10000, (int(end_s) - 5) * 10000  # in tenths of a millisecond: whole numbers
        for label in LABELS:
            heard = False
            for event in events:
                if event["file"].rsplit(".", 1)[0] == stem and event["label"] == label:
                    event_start, event_end = (round(float(event[key]) * 10000) for key in ("start_s", "end_s"))
                    overlap = min(end, event_end) - max(start, event_start)
                    heard = heard or overlap >= 2000 or 5 * overlap >= event_end - event_start
            assert row[label] == str(int(heard)), (row["row_id"], label)
    assert sum(row[label] == "1" for row in truth for label in LABELS) > 20


@pytest.mark.parametrize(
    "start_s, end_s, expected",
    [
        (1.0, 2.0, [1, 0, 0]),
        (4.0, 5.2, [1, 1, 0]),  # 0.2 s reach into the second window
        (4.0, 5.1999, [1, 0, 0]),
        (4.94, 5.24, [1, 1, 0]),  # 0.06 s of 0.3 s is a fifth
        (4.95, 5.25, [0, 1, 0]),
        (4.0, 5.0, [1, 0, 0]),  # touches, and no more
        (4.5, 10.5, [1, 1, 1]),
    ],
)
def test_a_window_counts_from_a_fifth_of_a_second_or_of_the_call(start_s, end_s, expected):
    truth = synthesize.window_truth([(start_s, end_s, LABELS[3])], 3)
    assert truth[:, 3].tolist() == expected
    assert truth.sum() == sum(expected)


@pytest.mark.parametrize("seconds, windows", [(1, 1), (5, 1), (7.4, 1), (7.5, 2), (10, 2), (120, 24)])
def test_windows_are_counted_as_predict_does(seconds, windows):
    assert synthesize.window_count(seconds) == windows


def test_labels_and_header_are_in_the_networks_order(folder):
    assert (folder / "labels.txt").read_text().splitlines() == LABELS
    assert (folder / "truth.csv").read_text().splitlines()[0] == "row_id," + ",".join(LABELS)
    assert (folder / "events.csv").read_text().splitlines()[0] == "file,start_s,end_s,label"


# --- the files


def test_recordings_open_with_their_rate_channels_and_length(folder):
    expected = {
        "dawn_11_000.wav": ("WAV", "PCM_16", 32000, 1),
        "dawn_11_001.flac": ("FLAC", "PCM_16", 48000, 2),
        "dawn_11_002.ogg": ("OGG", "VORBIS", 32000, 1),
        "dawn_11_003.wav": ("WAV", "PCM_16", 44100, 1),
    }
    for name, (format_name, subtype, rate, channels) in expected.items():
        info = soundfile.info(folder / name)
        assert (info.format, info.subtype, info.samplerate, info.channels) == (format_name, subtype, rate, channels)
        assert info.frames == 63 * rate
    others = {"truth.csv", "events.csv", "labels.txt", "wrong_header.wav"}
    assert {path.name for path in folder.iterdir()} == set(expected) | others


def test_the_mean_of_stereo_is_the_mono_scene(folder):
    stereo = soundfile.read(folder / "dawn_11_001.flac")[0]
    mono = synthesize.soundscape(np.random.default_rng([11, 1]), 63.0, 48000).mixture()
    assert np.abs(stereo[:, 0] - stereo[:, 1]).max() > 0.01
    np.testing.assert_allclose(stereo.mean(axis=1), mono, atol=2**-15)  # each channel is rounded to 16 bits


def test_the_wrong_header_is_refused_and_has_no_truth(folder):
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(folder / "wrong_header.wav")
    assert "wrong_header" not in (folder / "truth.csv").read_text() + (folder / "events.csv").read_text()


@pytest.mark.parametrize("arguments", [["--formats", "mp3"], ["--recordings", "0"], ["--seconds", "0.5"], ["--seed", "-1"]])
def test_the_command_line_refuses_what_it_cannot_make(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["synthesize.py", "-o", str(tmp_path / "x"), *arguments])
    with pytest.raises(SystemExit) as error:
        synthesize.main()
    assert error.value.code == 2 and "expected" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


# --- the network


def librosa_input(windows, front_end):
    """The front end as a user would write it: librosa, one window at a time. [n, samples] -> [n, 1, n_mels, frames]."""
    librosa = pytest.importorskip("librosa")
    mel = front_end["mel"]
    planes = []
    for window in windows:
        power = librosa.feature.melspectrogram(
            y=window, sr=front_end["sample_rate_hz"], n_fft=mel["n_fft"], win_length=mel["win_length"],
            hop_length=mel["hop_samples"], n_mels=mel["n_mels"], fmin=mel["f_min_hz"], fmax=mel["f_max_hz"], power=mel["power"],
            center=mel["center"], pad_mode=mel["pad"], htk=False, norm=mel["norm"])  # fmt: skip
        db = librosa.power_to_db(power, ref=1.0, amin=mel["amin"], top_db=mel["top_db"])
        planes.append((db - db.min()) / (db.max() - db.min() + 1e-6))
    return np.stack(planes)[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def session():
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(MODEL / "dawn_chorus.onnx"), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def manifest():
    return tomllib.loads((MODEL / "dawn_chorus.toml").read_text())


def infer(session, planes):
    name, wanted = session.get_inputs()[0].name, ["clipwise_logits", "framewise_logits"]
    outputs = [session.run(wanted, {name: plane[None]}) for plane in planes]
    return np.concatenate([clip for clip, _ in outputs]), np.concatenate([frame for _, frame in outputs])


def test_the_committed_network_is_small():
    sizes = {path.name: path.stat().st_size for path in MODEL.iterdir()}
    assert set(sizes) == {"dawn_chorus.onnx", "dawn_chorus.toml", "labels.txt", "dawn_chorus.probe.npy"}
    assert sum(sizes.values()) <= 3_000_000


def test_the_manifest_describes_the_front_end_that_the_network_was_trained_with(manifest):
    front_end = tomllib.loads((EXAMPLE / "front_end.toml").read_text())["input"]
    assert {key: manifest["input"].get(key) for key in front_end} == front_end
    assert (MODEL / manifest["model"]["labels"]).read_text().splitlines() == LABELS
    assert manifest["output"]["clip"] == "clipwise_logits" and manifest["output"]["frame"] == "framewise_logits"


def test_the_committed_probe_is_the_networks_answer(session):
    index = np.arange(64 * 251, dtype=np.uint32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):  # Wellons' lowbias32, as whimbrel::probe_input
        index = (index ^ (index >> np.uint32(shift))) * np.uint32(factor)
    probe = ((index ^ (index >> np.uint32(16))) >> np.uint32(8)).astype(np.float32) / 2**24
    clip, _ = infer(session, probe.reshape(1, 1, 64, 251))
    np.testing.assert_allclose(clip[0], np.load(MODEL / "dawn_chorus.probe.npy").ravel(), atol=1e-3)  # the manifest's tolerance


def test_the_network_has_an_efficientnets_operators_and_widths():
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(MODEL / "dawn_chorus.onnx").graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    kernels = [shapes[node.input[1]] for node in graph.node if node.op_type == "Conv" and len(shapes[node.input[1]]) == 4]
    assert all(kernel[0] % 16 == 0 for kernel in kernels)
    assert {(3, 3), (5, 5)} <= {tuple(kernel[2:]) for kernel in kernels if kernel[1] == 1 and kernel[0] > 16}
    assert {"Sigmoid", "Mul", "Add"} <= {node.op_type for node in graph.node}
    assert "BatchNormalization" not in {node.op_type for node in graph.node}  # folded into the convolutions


def test_the_network_tells_the_species_apart(session, manifest):
    metrics = pytest.importorskip("sklearn.metrics")
    logits, truth = [], []
    for i in range(8):
        scene = synthesize.soundscape(np.random.default_rng([777, i]), 120.0)  # a seed that nothing was trained or chosen on
        logits.append(infer(session, librosa_input(scene.mixture().reshape(-1, 160000), manifest["input"]))[0])
        truth.append(synthesize.window_truth(scene.events(), 24))
    auc = metrics.roc_auc_score(np.concatenate(truth), np.concatenate(logits), average="macro")
    assert auc > AUC_FLOOR


def test_frames_say_when_a_call_was(session, manifest):
    rng = np.random.default_rng(21)
    noise = (0.01 * rng.standard_normal(160000)).astype(np.float32)
    density = synthesize.power_density(noise)
    for label in ("Sonus horridus_Hoarse Crowlet", "Sonus altus_High Chirrer", "Sonus surgens_Rising Sweeper"):
        sound = synthesize.at_snr(SPECIES[label](rng, 32000), 12.0, density, 32000)[: 2 * 32000]
        window = noise.copy()
        window[80000 : 80000 + len(sound)] += sound.astype(np.float32)
        clip, frames = infer(session, librosa_input([window], manifest["input"]))
        assert int(clip[0].argmax()) == LABELS.index(label)
        loudest_s = frames[0, LABELS.index(label)].argmax() * 5.0 / frames.shape[2]
        assert 2.5 - 0.4 <= loudest_s <= 2.5 + len(sound) / 32000 + 0.4  # a frame sees some 0.4 s to each side


# --- training


@pytest.fixture(scope="module")
def train():
    pytest.importorskip("torch")
    pytest.importorskip("librosa")
    import train

    return train


def test_the_training_front_end_is_librosas(train):
    import torch

    windows = synthesize.soundscape(np.random.default_rng(8), 20.0).mixture().reshape(-1, 160000)
    ours = train.network_input(train.mel_power(windows)).numpy()
    assert ours.shape == (4, 1, 64, 251) and ours.dtype == np.float32
    # 1e-3 dB of the 40 dB or more that a window spans
    np.testing.assert_allclose(ours, librosa_input(windows, train.FRONT_END), atol=2.5e-5)
    silent = train.network_input(train.mel_power(torch.zeros(1, 160000)))
    assert torch.all(silent == 0)


def test_macro_auc_is_scikit_learns(train):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    truth = (rng.random((300, 5)) < 0.2).astype(np.uint8)
    scores = np.round(rng.standard_normal((300, 5)) + truth, 1)  # rounded: ties
    mean, each = train.macro_auc(scores, truth)
    np.testing.assert_allclose(each, metrics.roc_auc_score(truth, scores, average=None), atol=1e-12)
    assert mean == pytest.approx(np.mean(each))


def test_mixing_keeps_every_label_and_adds_power(train):
    import torch

    power, truth = torch.rand(32, 4, 6) + 0.1, (torch.rand(32, 12) < 0.2).float()
    mixed, heard = train.augmented(power, truth, np.random.default_rng(0))
    assert torch.all(heard >= truth) and heard.sum() > truth.sum()
    assert torch.all(mixed.sum((1, 2)) >= power.sum((1, 2)) * 0.999) and mixed.sum() > 1.1 * power.sum()


def test_training_validation_and_demo_hear_different_seeds(train):
    assert len({train.TRAIN_SEED, train.VALIDATION_SEED, demo.SEED, 777}) == 4
