"""Trains DawnChorusNet on soundscapes made as it goes, and exports it with its manifest.

    python examples/dawn_chorus/train.py                      # ten to twenty minutes on two cores; writes out/dawn_chorus/
    python examples/dawn_chorus/train.py --export-only        # the checkpoint that is there -> ONNX, TorchScript, manifest

Training, validation and the demo draw their soundscapes from seeds of their own, so no sample is ever heard twice.
"""

import argparse
import pathlib
import sys
import time
import tomllib

import librosa
import numpy as np
import torch
from model import DawnChorusNet
from species import LABELS
from synthesize import WINDOW_S, soundscape, window_count, window_truth

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parents[1] / "out" / "dawn_chorus"
FRONT_END = tomllib.loads((HERE / "front_end.toml").read_text())["input"]
TRAIN_SEED, VALIDATION_SEED = 1_000_001, 2_000_003
SCENE_S = 40.0


def mel_power(windows):
    """Mel power spectra of windows [n, samples] -> [n, n_mels, frames]; librosa.feature.melspectrogram, a batch at a time."""
    mel = FRONT_END["mel"]
    bands = {"n_mels": mel["n_mels"], "fmin": mel["f_min_hz"], "fmax": mel["f_max_hz"], "norm": mel["norm"]}
    filters = librosa.filters.mel(sr=FRONT_END["sample_rate_hz"], n_fft=mel["n_fft"], htk=mel["scale"] == "htk", **bands)
    spectrum = torch.stft(
        torch.as_tensor(windows),
        mel["n_fft"],
        mel["hop_samples"],
        mel["win_length"],
        torch.hann_window(mel["win_length"]),
        center=mel["center"],
        pad_mode=mel["pad"],
        return_complex=True,
    )
    return torch.from_numpy(filters) @ (spectrum.real**2 + spectrum.imag**2)


def network_input(power):
    """Mel power [n, n_mels, frames] -> network input [n, 1, n_mels, frames]: dB, 80 dB floor, min-max, window by window."""
    mel = FRONT_END["mel"]
    db = 10 * torch.log10(power.clamp(min=mel["amin"]))
    db = torch.maximum(db, db.amax((1, 2), keepdim=True) - mel["top_db"])
    low, high = db.amin((1, 2), keepdim=True), db.amax((1, 2), keepdim=True)
    return ((db - low) / (high - low + 1e-6)).unsqueeze(1)


def windows_of(seed, scenes):
    """`scenes` fresh soundscapes cut into windows: mel power [n, n_mels, frames] and truth [n, labels], both float32."""
    samples = round(WINDOW_S * FRONT_END["sample_rate_hz"])
    powers, truths = [], []
    for i in range(scenes):
        scene = soundscape(np.random.default_rng([seed, i]), SCENE_S)
        powers.append(mel_power(scene.mixture().reshape(-1, samples)))
        truths.append(torch.from_numpy(window_truth(scene.events(), window_count(SCENE_S))).float())
    return torch.cat(powers), torch.cat(truths)


def augmented(power, truth, rng):
    """Half of the windows hear another one on top (independent sounds add in power); all begin at another frame."""
    other = torch.from_numpy(rng.permutation(len(power)))
    gain = torch.from_numpy(np.where(rng.random(len(power)) < 0.5, 10 ** rng.uniform(-0.3, 0.3, len(power)), 0.0)).float()
    mixed = power + gain[:, None, None] * power[other]
    heard = torch.maximum(truth, truth[other] * (gain > 0)[:, None])
    return torch.roll(mixed, int(rng.integers(power.shape[2])), 2), heard


def macro_auc(scores, truth):
    """Area under the ROC curve, its mean over classes and each; the share of pairs ranked rightly, ties counted half."""
    aucs = []
    for c in range(truth.shape[1]):
        heard, silent = scores[truth[:, c] == 1, c], scores[truth[:, c] == 0, c]
        silent = np.sort(silent)
        below = np.searchsorted(silent, heard, "left") + np.searchsorted(silent, heard, "right")
        aucs.append(below.mean() / (2 * len(silent)))
    return float(np.mean(aucs)), aucs


@torch.inference_mode()
def clip_logits(module, power):
    module.eval()
    return torch.cat([module(network_input(block))[0] for block in power.split(64)]).numpy()


def train(module, scenes, epochs, batch, seed):
    rng = np.random.default_rng(seed)
    started = time.monotonic()
    power, truth = windows_of(TRAIN_SEED + seed, scenes)
    made_s = time.monotonic() - started
    print(f"{len(power)} training windows, {truth.mean():.3f} of labels set, made in {made_s:.0f} s", flush=True)
    check_power, check_truth = windows_of(VALIDATION_SEED, 100)
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.02)
    steps = len(power) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=epochs * steps, pct_start=0.2)
    for epoch in range(epochs):
        module.train()
        order = torch.from_numpy(rng.permutation(len(power)))
        losses = []
        for rows in order[: steps * batch].split(batch):
            heard_power, heard = augmented(power[rows], truth[rows], rng)
            clip, frame = module(network_input(heard_power))
            # The loudest frame must agree with the clip: it keeps the frame-wise output sharp.
            loss = torch.nn.functional.binary_cross_entropy_with_logits(clip, heard)
            loss = loss + 0.5 * torch.nn.functional.binary_cross_entropy_with_logits(frame.amax(2), heard)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        auc, aucs = macro_auc(clip_logits(module, check_power), check_truth.numpy())
        passed_s = time.monotonic() - started
        print(f"epoch {epoch + 1:2}  loss {np.mean(losses):.4f}  validation macro-AUC {auc:.4f}  {passed_s:.0f} s", flush=True)
    for label, value in zip(LABELS, aucs, strict=True):
        print(f"  {value:.4f}  {label}")


def export(module):
    """Writes dawn_chorus.{onnx,pt,toml,probe.npy} and labels.txt; whimbrel compares them with PyTorch's own output."""
    sys.path.append(str(HERE.parents[1] / "python"))  # the package as it lies here, where it is not installed
    import whimbrel

    manifest = {
        "model": {"name": "dawn_chorus", "labels": LABELS},
        "input": FRONT_END,
        "output": {"clip": "clipwise_logits", "frame": "framewise_logits", "activation": "sigmoid"},
    }
    example = network_input(mel_power(torch.rand(1, round(WINDOW_S * FRONT_END["sample_rate_hz"]))))
    whimbrel.export(module.eval(), example, OUT, manifest, log=print)


def main():
    parser = argparse.ArgumentParser(description="Train the dawn chorus network and export it.")
    parser.add_argument("--scenes", type=int, default=700, help="training soundscapes of 40 s")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export-only", action="store_true", help="export the checkpoint of an earlier run")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    module = DawnChorusNet(len(LABELS)).to(memory_format=torch.channels_last)
    OUT.mkdir(parents=True, exist_ok=True)
    checkpoint = OUT / "dawn_chorus.pth"
    if not arguments.export_only:
        train(module, arguments.scenes, arguments.epochs, arguments.batch, arguments.seed)
        torch.save(module.state_dict(), checkpoint)
    module.load_state_dict(torch.load(checkpoint, weights_only=True))
    export(module)


if __name__ == "__main__":
    main()
