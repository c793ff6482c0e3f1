"""Sound of a recording: pieces of it, their mel bands, and clips as OGG. The only place that knows who decodes."""

import functools
import io

import numpy as np
import soundfile

PIECE_S = 60.0
LONG_PIECE_S = 600.0
N_FFT = 1024
CLIP_RATE_HZ = 48000  # Opus knows 8, 12, 16, 24 and 48 kHz
CLIP_BYTES_PER_S = 2600  # of what encode() writes, a rough mean: what the choice of clips goes by


def describe(path):
    """(seconds, sample rate in Hz), or None where only the run that decoded it can know."""
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError:
        return None
    return info.frames / info.samplerate, info.samplerate


def pieces(path):
    """(start in s, samples [n] float32, rate) of a recording, one after the other: memory does not depend on its length."""
    if describe(path) is None:
        yield from long_pieces(path)
        return
    with soundfile.SoundFile(path) as file:
        start, block = 0, int(PIECE_S * file.samplerate)
        while len(samples := file.read(block, dtype="float32", always_2d=True)):
            yield start / file.samplerate, samples.mean(axis=1), file.samplerate
            start += len(samples)


def long_pieces(path):
    """As above of what libsndfile does not read (M4A, WMA): longer, since each is decoded from the recording's start."""
    start_s = 0.0
    while True:
        samples, rate = read_audio(path, start_s, LONG_PIECE_S)
        if len(samples) == 0:
            return
        yield start_s, samples, rate
        if len(samples) < LONG_PIECE_S * rate:
            return
        start_s += LONG_PIECE_S


def read(path, start_s, duration_s):
    """(samples [n] float32, rate): a part of a recording, mono."""
    if describe(path) is None:
        return read_audio(path, start_s, duration_s)
    # Not whimbrel.read_audio for all: it decodes from the start, and a page has hundreds of clips.
    with soundfile.SoundFile(path) as file:
        file.seek(min(int(start_s * file.samplerate), file.frames))
        samples = file.read(int(duration_s * file.samplerate), dtype="float32", always_2d=True)
        return samples.mean(axis=1), file.samplerate


def read_audio(path, start_s, duration_s):
    import whimbrel  # here: the core is not needed, nor always built, for what libsndfile reads

    return whimbrel.read_audio(path, start_s=start_s, duration_s=duration_s)


def mel_power(samples, rate, n_mels):
    """Power in mel bands, [n_mels, frames]; a frame is N_FFT samples, the next begins where it ends."""
    frames = -(-len(samples) // N_FFT)
    padded = np.zeros(frames * N_FFT, np.float32)
    padded[: len(samples)] = samples
    spectrum = np.fft.rfft(padded.reshape(frames, N_FFT) * np.hanning(N_FFT).astype(np.float32), axis=1)
    return mel_bands(rate, n_mels) @ (spectrum.real**2 + spectrum.imag**2).T


@functools.lru_cache(maxsize=8)
def mel_bands(rate, n_mels):
    """Triangular filters [n_mels, N_FFT // 2 + 1] on the scale of `mel`."""
    edges = mel_to_hz(np.linspace(0, hz_to_mel(rate / 2), n_mels + 2))[:, None]
    hz = np.arange(N_FFT // 2 + 1)[None, :] * rate / N_FFT
    # At low frequencies a band is narrower than a bin: each edge is at least a bin away.
    bin_hz = rate / N_FFT
    rising = (hz - edges[:-2]) / np.maximum(edges[1:-1] - edges[:-2], bin_hz)
    falling = (edges[2:] - hz) / np.maximum(edges[2:] - edges[1:-1], bin_hz)
    bands = np.maximum(0, np.minimum(rising, falling))
    empty = bands.sum(axis=1) == 0
    bands[empty, np.argmin(np.abs(hz - edges[1:-1]), axis=1)[empty]] = 1
    return (bands / bands.sum(axis=1, keepdims=True)).astype(np.float32)


def hz_to_mel(hz):
    """HTK's scale: one formula for pictures, not what a network hears."""
    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def mel_to_hz(mel):
    return 700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0)


def encode(samples, rate):
    """A clip [n] float32 as OGG Opus, about 30 kbit/s; its peak at 0.9 so that far calls are heard too."""
    samples = resample(samples, rate, CLIP_RATE_HZ)
    peak = float(np.abs(samples).max(initial=0.0))
    samples = samples * np.float32(0.9 / peak) if peak > 0 else samples
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", CLIP_RATE_HZ, 1, "OPUS", format="OGG", compression_level=0.955) as out:
        for begin in range(0, len(samples), 65536):  # libsndfile puts a whole write on the stack
            out.write(samples[begin : begin + 65536])
    return file.getvalue()


def resample(samples, rate, to_hz):
    """By its spectrum: exact for a clip, whose ends do not matter."""
    length = round(len(samples) * to_hz / rate)
    if rate == to_hz or length == 0:
        return samples
    return (np.fft.irfft(np.fft.rfft(samples), length) * (length / len(samples))).astype(np.float32)
