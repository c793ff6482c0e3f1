"""Recordings as arrays."""

import numpy as np

from ._native import _core


def read_audio(path, sample_rate_hz: int | None = None, *, start_s: float = 0.0, duration_s: float | None = None):
    """Samples of a recording, or of a part of it, as the models hear them.

    @param path            any audio file that `whimbrel predict` reads
    @param sample_rate_hz  of the result (libsoxr, HQ); None: the recording's own
    @param duration_s      None: to the end
    @return                (samples float32 [n] in [-1, 1], the mean of the channels; sample rate in Hz). Fewer samples than
                           asked for only where the recording ends
    @throws Error          "not_found", "bad_recording", "invalid_argument"
    """
    return _core.read_audio(path, sample_rate_hz or 0, start_s, duration_s or 0.0)


def mono(samples, name="samples"):
    """float32 [n] of an array [n] or [channels, n]; integers are scaled to [-1, 1)."""
    array = np.asarray(samples)
    if array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        middle = (int(info.max) + int(info.min) + 1) // 2
        array = (array.astype(np.float64) - middle) / (int(info.max) - middle + 1)
    if array.ndim == 2:
        array = array.mean(axis=0, dtype=np.float64)
    if array.ndim != 1:
        from .errors import Error

        raise Error("invalid_argument", f"{name} of shape {array.shape}, expected [n] or [channels, n]")
    return np.ascontiguousarray(array, dtype=np.float32)
