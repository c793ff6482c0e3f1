"""Spectrograms and clips of recordings, within a number of bytes."""

import concurrent.futures
import dataclasses
import io
import os
import pathlib

import numpy as np
from PIL import Image

from . import _audio

# Width, height, WebP quality. A picture takes the first that fits the bytes it may have.
RUNGS = [
    (1600, 128, 60),
    (1400, 112, 50),
    (1200, 96, 45),
    (1000, 80, 40),
    (1000, 64, 30),
    (800, 64, 25),
    (600, 48, 20),
    (400, 32, 10),
]
LARGEST_PICTURE = 60_000
PICTURES_SHARE = 0.5  # of the bytes that are left for pictures and clips
SHORTEST_CLIP_S, LONGEST_CLIP_S = 2.0, 10.0
FLOOR_DB, TOP_DB = 0.5, 18.0  # shown, by the median of each band: what lies above the noise


@dataclasses.dataclass
class Recording:
    """One to be shown; everything from `clips` on is the answer."""

    index: int
    path: pathlib.Path | None  # None: not found
    seconds: float = 0.0  # as the run found it
    sample_rate_hz: int = 0
    clips: list = dataclasses.field(default_factory=list)  # (start_s, end_s) wanted
    picture: bytes = b""
    size: tuple = (0, 0)
    sounds: dict = dataclasses.field(default_factory=dict)  # {(start_s, end_s): OGG}
    error: str = ""


def make_media(recordings, wanted, budget, log):
    """Fills in pictures, and with the bytes that they leave clips, in the order of importance.

    @param recordings  of which those with a path are read, in as many threads as there are cores
    @param wanted      [(position in recordings, start_s, end_s)], the most important first, each once
    @param budget      bytes for all of them together
    """
    found = [r for r in recordings if r.path]
    if not found or budget <= 0:
        return
    allowance = int(min(LARGEST_PICTURE, PICTURES_SHARE * budget / len(found)))
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, _ in enumerate(pool.map(lambda r: guarded(r, make_picture, allowance), found), 1):
            if done % 50 == 0 or done == len(found):
                log(f"{done}/{len(found)} spectrograms")
        left = budget - sum(len(r.picture) for r in found)
        chosen = choose_clips(recordings, wanted, left)
        for _ in pool.map(lambda r: guarded(r, make_clips), found):
            pass
    for position, clip in chosen:  # they may have become larger than expected: the least important go
        left -= len(recordings[position].sounds.get(clip, b""))
        if left < 0:
            recordings[position].sounds.pop(clip, None)
    log(f"{sum(len(r.sounds) for r in recordings)} clips of {len(wanted)} windows with detections")


def choose_clips(recordings, wanted, budget):
    """Puts into each recording which clips it makes; [(position, (start_s, end_s))] in the order of importance."""
    chosen = []
    for position, start_s, end_s in wanted:
        recording = recordings[position]
        if not recording.path or recording.error:
            continue
        budget -= clip_span(start_s, end_s)[1] * _audio.CLIP_BYTES_PER_S
        if budget < 0:
            break
        recording.clips.append((start_s, end_s))
        chosen.append((position, (start_s, end_s)))
    return chosen


def guarded(recording, make, *arguments):
    """A recording that cannot be shown must not cost the page: any decoder's error is said in `error`."""
    try:
        make(recording, *arguments)
    except Exception as error:
        recording.error = f"{type(error).__name__}: {error}"[:200]


def make_picture(recording, allowance):
    if facts := _audio.describe(recording.path):
        recording.seconds, recording.sample_rate_hz = facts
    columns, reached_s = mel_columns(recording.path, recording.seconds)
    if columns is not None:
        recording.seconds = max(recording.seconds, reached_s)
        recording.picture, recording.size = picture(columns, allowance)


def make_clips(recording):
    for start_s, end_s in recording.clips:
        samples, rate = _audio.read(recording.path, *clip_span(start_s, end_s))
        if len(samples):
            recording.sounds[(start_s, end_s)] = _audio.encode(samples, rate)


def clip_span(start_s, end_s):
    """(start, duration) in s of a detection's clip: a lone call is too short to be recognized, a chorus too long to keep."""
    duration_s = min(max(end_s - start_s, SHORTEST_CLIP_S), LONGEST_CLIP_S)
    return max(0.0, start_s - max(0.0, duration_s - (end_s - start_s)) / 2), duration_s


def mel_columns(path, seconds):
    """Mean power [n_mels, columns] of a whole recording, and the second that was reached; None where it has no sound."""
    width, height, _ = RUNGS[0]
    sums, counts, reached_s = np.zeros((height, width)), np.zeros(width), 0.0
    for start_s, samples, rate in _audio.pieces(path):
        power = _audio.mel_power(samples, rate, height)
        at = (start_s + np.arange(power.shape[1]) * len(samples) / rate / power.shape[1]) / max(seconds, 1e-9)
        column = np.minimum((at * width).astype(int), width - 1)
        first = np.flatnonzero(np.diff(column, prepend=-1))  # frames are in time order
        sums[:, column[first]] += np.add.reduceat(power, first, axis=1)
        counts += np.bincount(column, minlength=width)
        reached_s = start_s + len(samples) / rate
    heard = counts > 0
    return (sums[:, heard] / counts[heard], reached_s) if heard.any() else (None, 0.0)


def picture(columns, allowance):
    """(WebP, (width, height)): white is loud, by the median of each band; low frequencies are at the bottom."""
    level = 10 * np.log10(np.maximum(columns, 1e-10))
    level -= np.median(level, axis=1, keepdims=True)
    grey = np.clip((level - FLOOR_DB) / (TOP_DB - FLOOR_DB), 0, 1) * 255
    image = Image.fromarray(np.ascontiguousarray(grey[::-1]).astype(np.uint8), "L")
    for width, height, quality in RUNGS:
        size = (min(width, image.width), height)
        file = io.BytesIO()
        image.resize(size, Image.Resampling.BOX).save(file, "WEBP", quality=quality, method=4)
        if file.tell() <= allowance:
            return file.getvalue(), size
    return b"", (0, 0)
