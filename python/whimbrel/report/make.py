"""From a source to a page in a file."""

import datetime
import pathlib
import time

from .._files import replacing
from . import _audio
from .errors import ReportError
from .inputs import read_source
from .media import make_media
from .page import assemble
from .run import run_data

MB = 1_000_000
FREQUENCIES_KHZ = (128, 64, 32, 16, 8, 4, 2, 1, 0.5)


def make_page(source, output, audio, recordings, threshold, max_mb, log):
    """See whimbrel.report."""
    started = time.monotonic()
    check_options(audio, recordings, threshold, max_mb)
    kind, contents = read_source(source)
    written = {"page": str(output), "kind": kind}
    media = {}
    if kind == "run":
        data, media = with_media(source, contents, audio, recordings, threshold, max_mb * MB, log)
        written |= {
            "recordings": len(contents["recordings"]),
            "spectrograms": sum(name.startswith("s") for name in media),
            "clips": sum(name.startswith("c") for name in media),
        }
    else:
        data = {"kind": kind, "title": pathlib.Path(source).name, **({"data": contents})}
    page = assemble({**data, "made": now()}, media).encode("utf-8", "replace")
    if len(page) > max_mb * MB:
        found = f"the page is {len(page) / MB:.1f} MB without pictures and clips, expected at most {max_mb:g}"
        raise ReportError("invalid_argument", f"{source}: {found}; give --max-mb {-(-len(page) // MB) + 1}")
    write(output, page)
    log(f"{output}: {len(page) / MB:.1f} MB in {time.monotonic() - started:.1f} s")
    return written | {"bytes": len(page), "seconds": round(time.monotonic() - started, 2)}


def check_options(audio, recordings, threshold, max_mb):
    if audio is not None and not pathlib.Path(audio).is_dir():
        raise ReportError("not_found", f"--audio {audio}: no such folder")
    if recordings < 0:
        raise ReportError("invalid_argument", f"--recordings {recordings}, expected 0 or more")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ReportError("invalid_argument", f"--threshold {threshold}, expected 0..1")
    if not 0 < max_mb <= 1000:
        raise ReportError("invalid_argument", f"--max-mb {max_mb}, expected more than 0 and at most 1000")


def with_media(source, record, audio, most, threshold, max_bytes, log):
    """(page data, {name: (MIME type, bytes)}) of a run, within a size."""
    data, recordings, wanted = run_data(source, record, audio, most, threshold, log)
    # What each picture and clip adds to the page beside itself: its tag, and its row in the data.
    tags = 400 * len(recordings) + 120 * min(len(wanted), max_bytes // _audio.CLIP_BYTES_PER_S)
    left = (max_bytes - len(assemble({**data, "made": now()}, {})) - tags) * 3 / 4  # base64
    make_media(recordings, wanted, left, log)
    media, unreadable = {}, []
    for k, (row, recording) in enumerate(zip(data["shown"], recordings, strict=True)):
        row["seconds"] = round(recording.seconds, 3)
        if recording.picture:
            media[f"s{k}"] = ("image/webp", recording.picture)
            row |= {"size": recording.size, "ticks": frequency_ticks(recording.sample_rate_hz)}
        if recording.error:
            unreadable.append([recording.index, recording.error])
        row["clips"] = []
        for (start_s, end_s), sound in recording.sounds.items():
            row["clips"].append([round(start_s, 3), round(end_s, 3), f"c{len(media)}"])
            media[f"c{len(media)}"] = ("audio/ogg", sound)
    data["unreadable"] = unreadable
    return data, media


def frequency_ticks(sample_rate_hz):
    """[[kHz, height from the bottom as a share]], so far apart that they can be read."""
    top = _audio.hz_to_mel(sample_rate_hz / 2)
    ticks = []
    for khz in FREQUENCIES_KHZ:
        share = float(_audio.hz_to_mel(1000 * khz) / top)
        if share <= (ticks[-1][1] - 0.16 if ticks else 0.97):
            ticks.append([f"{khz:g}", round(share, 3)])
    return ticks


def now():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def write(output, page):
    """Whole or not at all."""
    output = pathlib.Path(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output) as partial:
            pathlib.Path(partial).write_bytes(page)
    except OSError as error:
        raise ReportError("io", f"{output}: {error.strerror}") from error
