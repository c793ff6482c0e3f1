"""What a page says of a run: detections, species, times of the day, and which recordings are shown."""

import pathlib

import numpy as np

from .detections import read_detections
from .media import Recording
from .times import recorded_at, second_of_day

HOURS = 24
SPECIES_IN_HEAT_MAP = 60
MOST_DETECTIONS = 60_000  # in the page, about 1.5 MB


def run_data(folder, record, audio, most, threshold, log):
    """(page data, recordings to show, clips wanted); the page data lacks only what media adds."""
    folder = pathlib.Path(folder)
    detections = read_detections(folder, record, threshold)
    ledger = record["recordings"]
    log(f"{len(ledger)} recordings, {len(detections)} detections from {detections.source or 'no file'}")
    began = [recorded_at(r) for r in ledger]
    shown = choose_recordings(detections, ledger, most)
    kept = best_of(detections, shown)
    recordings = [describe(int(i), ledger[i], record, audio) for i in shown]
    species = species_table(detections, kept, shown)
    data = {
        "kind": "run",
        "title": folder.resolve().name,
        "labels": [names(label) for label in detections.labels],
        "source": detections.source,
        "from_scores": detections.from_scores,
        "threshold": threshold if threshold is not None else record["settings"].get("threshold"),
        "detections": len(detections),
        "detections_shown": len(kept),
        "species": species,
        "heat": heat_map(detections, ledger, began),
        "ledger": ledger_rows(detections, ledger, began),
        "shown": [shown_row(kept, i) for i in shown],
        "not_found": sum(r.path is None for r in recordings),
        **{key: record.get(key) for key in ("whimbrel", "cpu", "settings", "models", "summary", "budget", "plan")},
    }
    return data, recordings, clips_in_order(kept, shown)


def names(label):
    """[common, scientific] of a line of a labels file."""
    scientific, _, common = label.partition("_")
    return [common, scientific] if scientific and common and " " in scientific else [label, ""]


def choose_recordings(detections, ledger, most):
    """Indices of those with most detections that were read, in input order."""
    counts = np.bincount(detections.recording, minlength=len(ledger))
    opened = np.array([r["state"] != "failed" and r.get("decoded_s") != 0 for r in ledger], bool)
    order = [i for i in np.argsort(-counts, kind="stable") if opened[i]]
    return np.sort(np.array(order[: max(0, most)], int))


def best_of(detections, shown):
    """Those of the shown recordings; of too many the ones with the highest scores."""
    kept = detections.take(np.isin(detections.recording, shown))
    if len(kept) <= MOST_DETECTIONS:
        return kept
    return kept.take(np.sort(np.argsort(-kept.score, kind="stable")[:MOST_DETECTIONS]))


def describe(index, row, record, audio):
    path = find_audio(row["path"], record, audio)
    return Recording(index, path, float(row.get("decoded_s") or 0), int(row.get("sample_rate_hz") or 0))


def find_audio(path, record, audio):
    """Where a recording lies now, or None."""
    path = pathlib.Path(path)
    folder = record["settings"].get("folder")
    places = [pathlib.Path(audio) / path, pathlib.Path(audio) / path.name] if audio else []
    if audio and not path.is_absolute():  # folder/a/b.wav, and the folder's own name may have changed
        places += [pathlib.Path(audio, *path.parts[i:]) for i in range(1, len(path.parts))]
    places += [path, *([pathlib.Path(folder) / path] if isinstance(folder, str) else [])]
    return next((place for place in places if place.is_file()), None)


def species_table(detections, kept, shown):
    """[label, detections, recordings, best score, shown recording and detection of it or -1], most detections first."""
    position = {int(r): k for k, r in enumerate(shown)}
    first = {int(r): int(i) for i, r in reversed(list(enumerate(kept.recording)))}
    rows = []
    for label in range(len(detections.labels)):
        of = np.flatnonzero(detections.label == label)
        if not len(of):
            continue
        where, at = -1, -1
        here = np.flatnonzero(kept.label == label)
        if len(here):
            best = int(here[np.argmax(kept.score[here])])
            recording = int(kept.recording[best])
            where, at = position[recording], best - first[recording]
        rows.append([label, len(of), len(np.unique(detections.recording[of])), rounded(detections.score[of].max()), where, at])
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def heat_map(detections, ledger, began):
    """Detections of each species in each hour of the day, and how many seconds were recorded in it."""
    known = np.array([b is not None for b in began], bool)
    start = np.array([second_of_day(b) if b else 0 for b in began], float)
    effort = np.zeros(HOURS)
    for i in np.flatnonzero(known):
        for hour, seconds in hours_of(start[i], float(ledger[i].get("decoded_s") or 0)):
            effort[hour] += seconds
    dated = detections.take(known[detections.recording]) if len(detections) else detections
    middle = (dated.start_s + dated.end_s) / 2
    hour = ((start[dated.recording] + middle) // 3600 % HOURS).astype(int)
    counts = np.zeros((len(detections.labels), HOURS), int)
    np.add.at(counts, (dated.label, hour), 1)
    order = [int(i) for i in np.argsort(-counts.sum(axis=1), kind="stable") if counts[i].any()]
    top = order[:SPECIES_IN_HEAT_MAP]
    return {
        "labels": top,
        "counts": [counts[i].tolist() for i in top],
        "effort_s": [round(float(s), 1) for s in effort],
        "recordings_without_time": sum(not k and bool(r.get("decoded_s")) for k, r in zip(known, ledger, strict=True)),
        "species_left_out": len(order) - len(top),
    }


def hours_of(start_s, seconds):
    """(hour of the day, seconds in it) of a recording."""
    end_s = start_s + seconds
    while start_s < end_s:
        until = min(end_s, (start_s // 3600 + 1) * 3600)
        yield int(start_s // 3600) % HOURS, until - start_s
        start_s = until


def ledger_rows(detections, ledger, began):
    """Of every recording, in the order in which the page reads them."""
    counts = np.bincount(detections.recording, minlength=len(ledger))
    best = {}
    for i in np.argsort(detections.score, kind="stable"):
        best[int(detections.recording[i])] = (int(detections.label[i]), rounded(detections.score[i]))
    rows = []
    for i, r in enumerate(ledger):
        facts = [
            r.get(key) for key in ("windows", "decoded_s", "sample_rate_hz", "channels", "codec", "windows_filled", "error")
        ]
        time = began[i].isoformat() if began[i] else None
        rows.append([r["path"], r["state"], *facts, time, int(counts[i]), *best.get(i, (-1, 0))])
    return rows


def shown_row(kept, index):
    """A recording's detections as one flat list: start, end, label, score of each."""
    of = np.flatnonzero(kept.recording == index)
    flat = [
        value
        for i in of
        for value in (seconds(kept.start_s[i]), seconds(kept.end_s[i]), int(kept.label[i]), rounded(kept.score[i]))
    ]
    return {"r": int(index), "d": flat}


def clips_in_order(kept, shown):
    """[(position in shown, start_s, end_s)]: the best of each species, then of each recording, then by score; each once."""
    position = {int(r): k for k, r in enumerate(shown)}
    by_score = np.argsort(-kept.score, kind="stable")
    labels, recordings, ranks = set(), set(), {}
    for i in by_score:
        label, recording = int(kept.label[i]), int(kept.recording[i])
        rank = 0 if label not in labels else 1 if recording not in recordings else 2
        labels.add(label)
        recordings.add(recording)
        clip = (position[recording], float(kept.start_s[i]), float(kept.end_s[i]))
        ranks[clip] = min(rank, ranks.get(clip, 2))
    return sorted(ranks, key=ranks.get)  # stable: by score within a rank


def rounded(score):
    return round(float(score), 4)


def seconds(value):
    return round(float(value), 3)
