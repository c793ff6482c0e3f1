"""When a recording began, by the recorder's own clock."""

import datetime
import pathlib
import re

# AudioMoth: 20190521_171730.WAV, 20190521_171730T.WAV; Song Meter: SITE_20190521_171730.wav, SITE_0+1_20190521$171730.wav
DATE_AND_TIME = re.compile(r"(?<!\d)((?:19|20)\d{6})[_$-]?T?(\d{6})(?!\d)")
# AudioMoth before firmware 1.2: seconds since 1970 in hex, UTC.
UNIX_HEX = re.compile(r"[0-9A-F]{8}")


def recorded_at(recording):
    """datetime with or without a zone, or None, of an object of run.json: what the run found, else the file's name."""
    text = recording.get("recorded_at")
    if isinstance(text, str):
        try:
            return datetime.datetime.fromisoformat(text)
        except ValueError:
            return None
    return of_name(str(recording.get("path", "")))


def of_name(path):
    """As above, of a file name alone."""
    stem = pathlib.PurePosixPath(path.replace("\\", "/")).stem
    if found := DATE_AND_TIME.search(stem):
        try:
            return datetime.datetime.strptime("".join(found.groups()), "%Y%m%d%H%M%S")
        except ValueError:
            return None
    if UNIX_HEX.fullmatch(stem) and stem.upper() == stem:
        began = datetime.datetime.fromtimestamp(int(stem, 16), datetime.UTC)
        return began if began.year >= 2015 else None  # AudioMoth's first year; other names that look like hex are older
    return None


def second_of_day(began):
    return began.hour * 3600 + began.minute * 60 + began.second
