"""Bad recordings among good ones: these are scored to the bit as without them, and each bad one is told of with its reason."""

import os
import pathlib
import random
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from faults import GOOD_NAMES, Faults, build_shim, ledger, nothing_temporary, rows_of, wav
from small_networks import RATE, write_recording


@pytest.fixture(scope="module")
def faults(whimbrel, tmp_path_factory):
    return Faults(whimbrel, tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return build_shim(tmp_path_factory.mktemp("shim"))


def noise(seconds, seed=0):
    return (np.random.default_rng(seed).standard_normal(round(RATE * seconds)) * 3000).astype("<i2")


PCM = noise(3).tobytes()
FMT = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)


def flac(folder, seconds=3):
    """Bytes of a FLAC file of noise."""
    soundfile.write(folder / "whole.flac", noise(seconds), RATE)
    data = (folder / "whole.flac").read_bytes()
    (folder / "whole.flac").unlink()
    return data


def flac_header(data, *, rate=RATE, channels=1, bits=16, total=3 * RATE, blocks=None):
    """`data` with other numbers in its STREAMINFO."""
    assert data[:4] == b"fLaC"
    data = bytearray(data)
    data[18:26] = (rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | total).to_bytes(8, "big")
    if blocks:
        data[8:12] = struct.pack(">HH", *blocks)
    return bytes(data)


def write_all(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


# --- headers

LYING_WAVS = {  # what is found in the message; None: it is read
    "rate_0": (wav(PCM, rate=0), "Invalid sample rate: 0"),
    "rate_1": (wav(PCM, rate=1), "sample rate of 1 Hz, expected 100..1000000"),
    "rate_10_mhz": (wav(PCM, rate=10_000_000), "sample rate of 10000000 Hz, expected 100..1000000"),
    "rate_most": (wav(PCM, rate=2**32 - 1), "sample rate"),
    "channels_0": (wav(PCM, channels=0), "hannel"),
    "channels_1024": (wav(PCM, channels=1024), None),
    "channels_65535": (wav(PCM, channels=65535), "hannel"),
    "bits_0": (wav(PCM, bits=0, align=2), "unimplemented format"),
    "bits_7": (wav(PCM, bits=7, align=2), None),
    "bits_255": (wav(PCM, bits=255, align=2), "unimplemented format"),
    "align_0": (wav(PCM, align=0), None),
    "align_3": (wav(PCM, align=3), None),
    "align_65535": (wav(PCM, align=65535), None),
    "byte_rate_0": (wav(PCM, byte_rate=0), None),
    "riff_size_0": (wav(PCM, riff=0), None),
    "riff_size_most": (wav(PCM, riff=2**32 - 1), None),
    "data_size_0": (wav(PCM, size=0, riff=0), None),
    "data_size_most": (wav(PCM, size=2**32 - 1), None),
    "data_size_2_gb": (wav(PCM, size=2**31), None),
    "data_size_odd": (wav(PCM, size=len(PCM) - 1), None),
    "data_size_half": (wav(PCM, size=len(PCM) // 2), None),
    "fact_lies": (wav(PCM, before=b"fact\x04\0\0\0\xff\xff\xff\x7f"), None),
    "empty_chunks": (wav(PCM, before=b"LIST\0\0\0\0" * 5), None),
    "tag_0": (wav(PCM, tag=0), "Malformed 'fmt ' chunk"),
    "tag_unknown": (wav(PCM, tag=0x7777), "no decoder"),
    "fmt_empty": (wav(PCM, form=b"fmt \0\0\0\0"), "Short 'fmt ' chunk"),
    "fmt_huge": (wav(PCM, form=b"fmt \xff\xff\xff\x7f" + FMT), "No 'data' chunk"),
    "fmt_missing": (wav(PCM, form=b""), "no 'fmt '"),
    "chunk_huge": (wav(PCM, before=b"LIST\xff\xff\xff\xff"), "No 'data' chunk"),
    "zeros_for_chunks": (wav(b"", form=b"fmt \x10\0\0\0" + FMT + bytes(20_000_000)), "No 'data' chunk"),
    "data_missing": (wav(PCM)[:36], "No 'data' chunk"),
    "cut_in_fmt": (wav(PCM)[:30], "No 'data' chunk"),
    "cut_in_riff": (wav(PCM)[:11], "libsndfile"),
    "zero_bytes": (b"", "is empty (0 bytes)"),
}


def test_wav_headers_that_lie(faults, tmp_path):
    files = {f"n_{name}.wav": data for name, (data, _) in LYING_WAVS.items()}
    folder = write_all(faults.with_good(tmp_path / "field"), files | {"n_data_size_twice.wav": wav(PCM, size=2 * len(PCM))})
    failed = [f"n_{name}.wav" for name, (_, message) in LYING_WAVS.items() if message]
    read = [f"n_{name}.wav" for name, (_, message) in LYING_WAVS.items() if not message]
    done = faults.run(folder, tmp_path / "out")
    states = faults.check(done, tmp_path / "out", failed, ["n_data_size_twice.wav"], read)
    for name, (_, message) in LYING_WAVS.items():
        if message:
            assert message in states[f"n_{name}.wav"]["error"] and "expected" in states[f"n_{name}.wav"]["error"]
    cut = states["n_data_size_twice.wav"]["error"]
    assert "decoding stopped at 3.0 s of 6.0 s: the file ends before its header says" in cut
    # All that is there; of the file with half the size that half; 7 bits are a byte, as the format says.
    windows = {
        name: states[f"n_{name}.wav"]["windows"] for name in ("data_size_0", "data_size_most", "data_size_half", "bits_7")
    }
    assert windows == {"data_size_0": 3, "data_size_most": 3, "data_size_half": 2, "bits_7": 6}


def test_flac_headers_that_lie(faults, tmp_path):
    whole, long = flac(tmp_path), flac(tmp_path, 60)
    failing = {
        "n_rate_1.flac": (flac_header(whole, rate=1), "sample rate of 1 Hz"),
        "n_rate_most.flac": (flac_header(whole, rate=2**20 - 1), "sample rate of 1048575 Hz"),
        "n_bits_4.flac": (flac_header(whole, bits=4), "unimplemented format"),
        "n_bits_32.flac": (flac_header(whole, bits=32), "unimplemented format"),
    }
    ending = {
        "n_channels_8.flac": (flac_header(whole, channels=8), "damaged at 0.0 s (flac channel changed"),  # frames say 1
        "n_total_more.flac": (flac_header(whole, total=60 * RATE), "decoding stopped at 3.0 s of 60.0 s"),
        "n_total_most.flac": (flac_header(whole, total=2**36 - 1), "decoding stopped at 3.0 s of 8589934.6 s"),
        "n_total_less.flac": (flac_header(long, total=20 * RATE), "decoding stopped at 20.0 s of 20.0 s: the file goes on for"),
    }
    read = {
        "n_rate_0.flac": flac_header(whole, rate=0),  # every frame has it too
        "n_total_0.flac": flac_header(whole, total=0),  # not known
        "n_blocks_0.flac": flac_header(whole, blocks=(0, 0)),
        "n_blocks_16.flac": flac_header(whole, blocks=(16, 16)),
    }
    bad = failing | ending
    folder = write_all(faults.with_good(tmp_path / "field"), {name: data for name, (data, _) in bad.items()} | read)
    done = faults.run(folder, tmp_path / "out")
    states = faults.check(done, tmp_path / "out", failing, ending, read)
    for name, (_, message) in bad.items():
        assert message in states[name]["error"], name
    assert all(states[name]["windows"] == 3 for name in read)


# --- samples

ODD_SAMPLES = {  # of all samples, and how many are counted as no numbers
    "nan": (np.nan, 3000),
    "infinity": (np.inf, 3000),
    "minus_infinity": (-np.inf, 3000),
    "1e38": (1e38, 3000),
    "denormal": (1e-40, 0),
    "dc_half": (0.5, 0),
    "dc_one": (1.0, 0),
    "dc_minus_one": (-1.0, 0),
    "2_to_39": (2.0**39, 0),
}


def test_float_samples_that_are_no_sound(faults, tmp_path):
    """All of a recording, and 3000 samples of one."""
    files, counts = {}, {}
    for name, (value, count) in ODD_SAMPLES.items():
        some = (noise(3) / 32768).astype("<f4")
        some[5000:8000] = value
        files[f"n_some_{name}.wav"], counts[f"n_some_{name}.wav"] = wav(some.tobytes(), tag=3, bits=32), count
        files[f"n_all_{name}.wav"] = wav(np.full(3 * RATE, value, "<f4").tobytes(), tag=3, bits=32)
        counts[f"n_all_{name}.wav"] = count * 8
    files["n_double.wav"] = wav(np.full(3 * RATE, 1e300, "<f8").tobytes(), tag=3, bits=64)
    counts["n_double.wav"] = 24000
    done = faults.run(write_all(faults.with_good(tmp_path / "field"), files), tmp_path / "out")
    states = faults.check(done, tmp_path / "out", others=files)
    assert {name: states[name].get("non_finite_samples", 0) for name in files} == counts
    for name, count in counts.items():
        assert (f"{name}: {count} samples that are no numbers, or absurdly large, were read as 0" in done.stderr) == (count > 0)
    assert np.isfinite(np.load(tmp_path / "out/scores.npy")).all()


# --- damage in the middle


CODECS = {
    "flac": ("r.flac", ["-c:a", "flac"]),
    "vorbis": ("r.ogg", ["-c:a", "libvorbis"]),
    "opus": ("r.opus", ["-c:a", "libopus"]),
    "mp3": ("r.mp3", ["-c:a", "libmp3lame"]),
    "aac": ("r.m4a", ["-c:a", "aac", "-movflags", "+faststart"]),
}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """{codec: (file name, sixty seconds of noise by ffmpeg)}. Skips where it or an encoder is not there."""
    folder = tmp_path_factory.mktemp("encoded")
    write_recording(folder / "source.wav", 60, 5)
    files = {}
    for codec, (name, words) in CODECS.items():
        command = ["ffmpeg", "-v", "error", "-y", "-i", folder / "source.wav", *words, folder / name]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as failed:
            pytest.skip(f"{name} cannot be made by ffmpeg: {failed}")
        files[codec] = (name, (folder / name).read_bytes())
    return files


@pytest.mark.parametrize("codec", CODECS)
def test_damage_in_the_middle_of(faults, encoded, tmp_path, codec):
    """A lost sector, ten small wounds, zeros to the end, half a file."""
    name, data = encoded[codec]
    n = len(data)
    sector = data[: n // 2] + b"\x5a" * 2048 + data[n // 2 + 2048 :]
    wounds = bytearray(data)
    for k in range(10):
        at = n * (k + 2) // 14
        wounds[at : at + 200] = random.Random(k).randbytes(200)
    hurt = {"sector": sector, "wounds": bytes(wounds), "zeros": data[: n // 2] + bytes(n - n // 2), "cut": data[: n // 2]}
    files = {f"n_{what}_{name}": bytes_ for what, bytes_ in hurt.items()}
    done = faults.run(write_all(faults.with_good(tmp_path / "field"), files), tmp_path / "out")
    states = ledger(tmp_path / "out")
    told = {file: states[file].get("error", "") for file in files}
    # A stream of Ogg does not say how long it is.
    cut = {f for f in files if not told[f]}
    faults.check(done, tmp_path / "out", partial=[f for f in files if told[f]], others=cut)
    assert cut <= {f for f in files if "cut" in f}
    for file in files:
        whole = "zeros" not in file and "cut" not in file
        assert states[file]["windows"] >= (57 if whole else 28), file
        if file not in cut:
            assert file in told[file] and ("decoding stopped at " in told[file] or "damaged at " in told[file])


# --- the system


def test_recordings_that_may_not_be_read(faults, tmp_path):
    """As another user where the test runs as root."""
    folder = faults.with_good(tmp_path / "field")
    write_recording(folder / "n_secret.wav", 3, 1)
    (folder / "closed").mkdir()
    write_recording(folder / "closed/inside.wav", 3, 2)
    (folder / "n_secret.wav").chmod(0)
    (folder / "closed").chmod(0)
    who = {}
    if os.geteuid() == 0:
        who = {"user": 65534, "group": 65534, "extra_groups": []}
        (tmp_path / "out").mkdir()
        os.chown(tmp_path / "out", 65534, 65534)
        if not (all_may_enter(tmp_path) and all_may_enter(faults.folder / "model")):
            pytest.skip(f"{tmp_path} is closed to other users")
    try:
        done = faults.run(folder, tmp_path / "out", env=os.environ | {"WHIMBREL_CACHE": "/dev/null/none"}, **who)
    finally:
        (folder / "closed").chmod(0o700)
    states = faults.check(done, tmp_path / "out", ["n_secret.wav", "closed"])
    assert "n_secret.wav: Permission denied" in states["n_secret.wav"]["error"]
    assert "closed: is a folder that cannot be listed: Permission denied" in states["closed"]["error"]


def all_may_enter(path):
    """Opens the folders that pytest made for this user alone."""
    for folder in [path, *path.parents]:
        if folder.name.startswith("pytest-") or "pytest-" in str(folder.parent):
            folder.chmod(0o755)
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in path.parents)


def test_recordings_that_are_gone(faults, tmp_path):
    """Removed before the run; below a file; in a folder that is gone; a name that is too long."""
    folder = faults.with_good(tmp_path / "field")
    gone = ["n_gone.wav", "a_good.wav/below.wav", "nowhere/n_inside.wav", "n" * 300 + ".wav"]
    (tmp_path / "list.txt").write_text("".join(f"{folder / name}\n" for name in [*GOOD_NAMES, *gone]))
    done = faults.run(f"@{tmp_path / 'list.txt'}", tmp_path / "out")
    states = faults.check(done, tmp_path / "out", [os.path.basename(name) for name in gone])
    assert "no such file; check the path" in states["n_gone.wav"]["error"]


def test_recordings_that_vanish_while_the_run_is_under_way(faults, tmp_path):
    """The first is a pipe's worth of work; what is not open yet when the folder's other half is removed is told as gone."""
    folder = faults.with_good(tmp_path / "field")
    write_recording(folder / "b_long.wav", 400, 1)
    for i in range(4):
        os.link(folder / "b_long.wav", folder / f"c{i}_long.wav")
        os.link(folder / GOOD_NAMES[0], folder / f"n{i}_vanishes.wav")

    def remove():
        for path in sorted(folder.glob("n*_vanishes.wav"), reverse=True):
            path.unlink()

    thread = threading.Timer(0.15, remove)
    thread.start()
    done = faults.run(folder, tmp_path / "out")
    thread.join()
    states = ledger(tmp_path / "out")
    vanished = [name for name in states if "vanishes" in name and states[name]["state"] == "failed"]
    others = [name for name in states if name not in vanished and name not in GOOD_NAMES]
    faults.check(done, tmp_path / "out", vanished, others=others)
    assert len(others) >= 5 and all("no such file" in states[name]["error"] for name in vanished)


def test_reads_that_fail_part_way(faults, shim, encoded, tmp_path):
    """EIO from byte 50000 of each file on, as a worn card gives it: what was read before is scored."""
    whole = {"n_eio_pcm.wav": wav(noise(60).tobytes())}
    whole |= {f"n_eio_{codec}_{name}": data for codec, (name, data) in encoded.items()}
    folder = write_all(faults.with_good(tmp_path / "field"), whole)
    done = faults.run(folder, tmp_path / "out", env=shim(FAULT_FILES="n_eio", FAULT_EIO_AFTER=50_000))
    states = faults.check(done, tmp_path / "out", partial=whole)
    for name in whole:
        assert "decoding stopped at " in states[name]["error"] and states[name]["windows"] >= 1, name
        assert "Input/output error" in states[name]["error"], states[name]["error"]


def test_files_that_cannot_be_read_at_all(faults, shim, tmp_path):
    folder = write_all(faults.with_good(tmp_path / "field"), {"n_eio1.wav": wav(PCM), "n_eio2.mp3": b"ID3" + PCM})
    done = faults.run(folder, tmp_path / "out", env=shim(FAULT_FILES="n_eio", FAULT_EIO_AFTER=0))
    states = faults.check(done, tmp_path / "out", ["n_eio1.wav", "n_eio2.mp3"])
    assert all("cannot be read: Input/output error" in states[name]["error"] for name in ("n_eio1.wav", "n_eio2.mp3"))


def test_short_and_interrupted_reads_change_nothing(faults, shim, encoded, tmp_path):
    """A network file system may give less than was asked for, and signals interrupt: every row is as with whole reads."""
    folder = faults.with_good(tmp_path / "field")
    write_all(folder, {f"n_{codec}{os.path.splitext(name)[1]}": data for codec, (name, data) in encoded.items()})
    rows = []
    for out, env in (("whole", os.environ), ("short", shim(FAULT_FILES=str(folder), FAULT_SHORT=1))):
        done = faults.run(folder, tmp_path / out, env=env)
        assert done.returncode == 0, done.stderr
        rows.append(rows_of(tmp_path / out))
    assert len(rows[0]) == 8 and rows[0] == rows[1]


# --- many


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Bad recordings of all kinds: those that fail and those of which a part is scored."""
    whole = flac(tmp_path_factory.mktemp("kinds"), 6)
    failing = [(data, ".wav") for data, message in LYING_WAVS.values() if message and len(data) < 1_000_000]
    failing += [
        (b"no sound at all\n", ".mp3"),
        (whole[len(whole) // 2 :][:900], ".flac"),
        (b"OggS" + bytes(100), ".ogg"),
        (None, ""),
    ]
    partial = [(whole[: len(whole) // 2], ".flac"), (wav(PCM, size=9 * len(PCM)), ".wav"), (whole[:-2000], ".flac")]
    return failing, partial


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_of_100_recordings_so_many_percent_are_bad(faults, kinds, tmp_path, percent):
    failing, partial = kinds
    rng = random.Random(percent)
    bad = set(rng.sample(range(100), percent))
    for folder in ("mixed", "good"):
        (tmp_path / folder).mkdir()
    paths, failed, cut = [], [], []
    for i in range(100):
        if i not in bad:
            paths.append(tmp_path / "mixed" / f"r{i:02}.wav")
            write_recording(paths[-1], 1 + 3 * rng.random(), i)
            os.link(paths[-1], tmp_path / "good" / paths[-1].name)
            continue
        data, ending = rng.choice(failing if rng.random() < 0.7 else partial)
        paths.append(tmp_path / "mixed" / f"r{i:02}{ending or '.fifo'}")
        (cut if (data, ending) in partial else failed).append(paths[-1].name)
        os.mkfifo(paths[-1]) if data is None else paths[-1].write_bytes(data)
    done = faults.run(paths, tmp_path / "with", formats="npy,kaggle,csv,jsonl")
    assert faults.run(tmp_path / "good", tmp_path / "without", formats="npy,kaggle,csv,jsonl").returncode == 0
    states = {name: entry["state"] for name, entry in ledger(tmp_path / "with").items()}
    expected = {path.name: "failed" if path.name in failed else "partial" if path.name in cut else "done" for path in paths}
    assert done.returncode == 1 and states == expected
    mixed, good = rows_of(tmp_path / "with"), rows_of(tmp_path / "without")
    assert len(good) == 100 - percent and {name: mixed[name] for name in good} == good
    assert set(mixed) == set(good) | set(cut) and nothing_temporary(tmp_path / "with")
    assert all(name in done.stderr for name in [*failed, *cut])
