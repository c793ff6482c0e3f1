"""Twelve invented species and the grammar of their calls.

A grammar is a function (rng, sample_rate_hz) -> float64 [n]: one call, a phrase of syllables whose number, tempo and pitch are
drawn anew each time, as no two real calls are alike. Several species share a pitch range and differ in rhythm only, or the
reverse, so a network has to learn the grammar and cannot go by frequency alone. But for a click's onset all stay under 13 kHz:
a call is the same at any sample rate.
"""

import numpy as np


def _seconds(duration_s, sample_rate_hz):
    """Time axis of a sound, in seconds."""
    return np.arange(max(2, round(duration_s * sample_rate_hz))) / sample_rate_hz


def _tone(frequency_hz, sample_rate_hz):
    """Sine whose momentary frequency is `frequency_hz` [n]."""
    return np.sin(2 * np.pi * np.cumsum(frequency_hz) / sample_rate_hz)


def _shaped(sound, sample_rate_hz, attack_s=0.01, release_s=0.02):
    """Raised-cosine attack and release, so that a syllable does not click."""
    for width_s, ramp_of in ((attack_s, slice(None)), (release_s, slice(None, None, -1))):
        n = min(len(sound) // 2, round(width_s * sample_rate_hz))
        if n:
            sound[ramp_of][:n] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
    return sound


def _phrase(syllables, gaps_s, sample_rate_hz):
    """Syllables with a silence after each but the last."""
    parts = []
    for syllable, gap_s in zip(syllables, gaps_s, strict=True):
        parts += [syllable, np.zeros(round(gap_s * sample_rate_hz))]
    return np.concatenate(parts[:-1])


def _sweep(from_hz, to_hz, duration_s, sample_rate_hz, curve=1.0):
    """Whistle that glides on a logarithmic pitch scale; curve > 1 hurries at the end."""
    t = _seconds(duration_s, sample_rate_hz)
    return _shaped(_tone(from_hz * (to_hz / from_hz) ** ((t / duration_s) ** curve), sample_rate_hz), sample_rate_hz)


def whistle(rng, rate):
    """One to three long, nearly level whistles with a slow vibrato."""
    pitch, depth, vibrato = rng.uniform(2000, 3400), rng.uniform(0.003, 0.012), rng.uniform(5, 8)
    count = rng.integers(1, 4)
    notes = []
    for _ in range(count):
        t = _seconds(rng.uniform(0.5, 1.0), rate)
        notes.append(_shaped(_tone(pitch * (1 + depth * np.sin(2 * np.pi * vibrato * t)), rate), rate, 0.06, 0.1))
    return _phrase(notes, rng.uniform(0.25, 0.5, count), rate)


def falling_whistles(rng, rate):
    """Four to eight short whistles, each lower than the one before."""
    pitch, step, length = rng.uniform(3000, 4400), rng.uniform(0.9, 0.95), rng.uniform(0.12, 0.2)
    count = rng.integers(4, 9)
    notes = [_sweep(pitch * step**i * 1.04, pitch * step**i, length, rate) for i in range(count)]
    return _phrase(notes, np.full(count, rng.uniform(0.05, 0.1)), rate)


def trill(rng, rate):
    """Fast repetition of one small downward note, 13 to 20 a second."""
    pitch, tempo = rng.uniform(3800, 5600), rng.uniform(13, 20)
    count = round(rng.uniform(0.8, 2.0) * tempo)
    note = _sweep(pitch * 1.12, pitch * 0.92, 0.6 / tempo, rate)
    swell = np.sin(np.pi * (np.arange(count) + 1) / (count + 1)) ** 0.5
    return _phrase([note * level for level in swell], np.full(count, 0.4 / tempo), rate)


def warble(rng, rate):
    """Unbroken whistle whose pitch swings 13 to 22 times a second: the trill's pitch and tempo without its gaps."""
    t = _seconds(rng.uniform(0.7, 1.8), rate)
    pitch, depth, swing = rng.uniform(3800, 5600), rng.uniform(0.08, 0.18), rng.uniform(13, 22)
    return _shaped(_tone(pitch * (1 + depth * np.sin(2 * np.pi * swing * t)), rate), rate, 0.08, 0.12)


def two_notes(rng, rate):
    """High note, low note, a fourth to a fifth apart; once to three times."""
    pitch, interval = rng.uniform(2400, 3800), rng.uniform(0.66, 0.76)
    count = rng.integers(1, 4)
    notes, gaps = [], []
    for _ in range(count):
        notes += [
            _sweep(pitch, pitch * 0.985, rng.uniform(0.15, 0.25), rate),
            _sweep(pitch * interval, pitch * interval * 0.985, rng.uniform(0.2, 0.35), rate),
        ]
        gaps += [rng.uniform(0.03, 0.07), rng.uniform(0.25, 0.45)]
    return _phrase(notes, gaps, rate)


def upsweeps(rng, rate):
    """Three to seven quick rising sweeps over more than an octave."""
    low, high, length = rng.uniform(1800, 2600), rng.uniform(5200, 7500), rng.uniform(0.09, 0.16)
    count = rng.integers(3, 8)
    return _phrase([_sweep(low, high, length, rate, 1.4) for _ in range(count)], rng.uniform(0.1, 0.18, count), rate)


def downsweeps(rng, rate):
    """Two to five falling sweeps, slower than the rising ones and over the same range."""
    high, low, length = rng.uniform(5200, 7500), rng.uniform(1800, 2600), rng.uniform(0.16, 0.28)
    count = rng.integers(2, 6)
    return _phrase([_sweep(high, low, length, rate, 0.7) for _ in range(count)], rng.uniform(0.12, 0.25, count), rate)


def buzz(rng, rate):
    """One or two rough buzzes: a carrier beaten 70 to 130 times a second."""
    carrier, beat = rng.uniform(4500, 7000), rng.uniform(70, 130)
    count = rng.integers(1, 3)
    notes = []
    for _ in range(count):
        t = _seconds(rng.uniform(0.35, 0.8), rate)
        depth = (0.5 + 0.5 * np.sin(2 * np.pi * beat * t)) ** 2
        notes.append(_shaped(depth * _tone(carrier * np.linspace(1.05, 0.95, len(t)), rate), rate, 0.04, 0.04))
    return _phrase(notes, rng.uniform(0.1, 0.2, count), rate)


def harmonic_stack(rng, rate):
    """Two to four hoarse caws: a low voice with all its harmonics, strongest around 2 kHz."""
    voice = rng.uniform(420, 720)
    count = rng.integers(2, 5)
    notes = []
    for _ in range(count):
        t = _seconds(rng.uniform(0.18, 0.34), rate)
        bend = voice * (1 + 0.12 * np.sin(np.pi * t / t[-1])) * rng.uniform(0.96, 1.04)
        harmonics = np.arange(1, int(8000 / voice))
        levels = np.exp(-(((harmonics * voice - 2000) / 1800) ** 2)) + 0.05
        voices = sum(level * _tone(h * bend, rate) for h, level in zip(harmonics, levels, strict=True))
        notes.append(_shaped(voices, rate, 0.02, 0.05))
    return _phrase(notes, rng.uniform(0.12, 0.25, count), rate)


def hoots(rng, rate):
    """Short, short, long: pure low hoots in a fixed rhythm."""
    pitch, tempo = rng.uniform(380, 720), rng.uniform(0.85, 1.2)
    lengths = np.array([0.16, 0.16, 0.5]) * tempo
    notes = [
        _shaped(_tone(pitch * (1 - 0.06 * (t / t[-1]) ** 2), rate), rate, 0.05, 0.06)
        for t in (_seconds(length, rate) for length in lengths)
    ]
    return _phrase(notes, np.array([0.14, 0.2, 0]) * tempo, rate)


def clicks(rng, rate):
    """Series of wide-band clicks that hurries from about 8 to about 30 a second."""
    count, slow, fast = rng.integers(10, 26), rng.uniform(7, 11), rng.uniform(22, 32)
    t = _seconds(0.012, rate)
    click = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6.28)) for f in rng.uniform(2000, 9000, 6)) * np.exp(-t / 0.002)
    return _phrase([click] * count, 1 / np.linspace(slow, fast, count) - t[-1], rate)


def chirr(rng, rate):
    """Cricket: long, steady groups of three pulses, high above all others."""
    pitch, groups_per_s = rng.uniform(8500, 12000), rng.uniform(5, 8)
    t = _seconds(1 / groups_per_s, rate)
    pulses = np.clip(np.sin(2 * np.pi * 30 * t), 0, None) * (t < 0.1)
    count = round(rng.uniform(1.2, 2.6) * groups_per_s)
    return np.tile(pulses * np.sin(2 * np.pi * pitch * t), count)


# "Scientific name_Common name": the form in which labels carry both. The order is the network's, so append and never sort.
SPECIES = {
    "Sonus tenuis_Thin Whistler": whistle,
    "Sonus cadens_Staircase Whistler": falling_whistles,
    "Sonus tremulus_Common Triller": trill,
    "Sonus undans_Swaying Warbler": warble,
    "Sonus bifidus_Two-note Chanter": two_notes,
    "Sonus surgens_Rising Sweeper": upsweeps,
    "Sonus labens_Falling Sweeper": downsweeps,
    "Sonus raucus_Meadow Buzzer": buzz,
    "Sonus horridus_Hoarse Crowlet": harmonic_stack,
    "Sonus numerans_Counting Hooter": hoots,
    "Sonus festinans_Hurrying Clicker": clicks,
    "Sonus altus_High Chirrer": chirr,
}
LABELS = list(SPECIES)
