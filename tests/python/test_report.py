"""`whimbrel report` without a browser: what is read, what is refused, what a page may weigh, and that nothing in it runs."""

import base64
import csv
import datetime
import hashlib
import io
import json
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))
pytest.importorskip("plotly")
PIL_Image = pytest.importorskip("PIL.Image")
soundfile = pytest.importorskip("soundfile")

import report_inputs as inputs  # noqa: E402
from whimbrel.report import _audio, report  # noqa: E402
from whimbrel.report.detections import read_detections  # noqa: E402
from whimbrel.report.inputs import read_source  # noqa: E402
from whimbrel.report.media import clip_span, mel_columns, picture  # noqa: E402
from whimbrel.report.run import choose_recordings, clips_in_order, hours_of, run_data  # noqa: E402
from whimbrel.report.times import recorded_at  # noqa: E402

MOTH, SONG_METER = "20190521_171730.WAV", "SITE1_20190521_051730.wav"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return inputs.write_run(tmp_path_factory.mktemp("run"), [MOTH, SONG_METER, "c.wav"])


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    report(run, path)
    return inputs.Page(path)


# --- the page of a run


def test_every_recording_has_a_spectrogram_and_every_window_a_clip(page):
    shown = page.data["shown"]
    assert len(shown) == 3
    for k, row in enumerate(shown):
        image = PIL_Image.open(io.BytesIO(page.media(f"s{k}")))
        assert list(image.size) == row["size"] and image.format == "WEBP"
        assert row["seconds"] == inputs.SECONDS
        assert [clip[:2] for clip in sorted(row["clips"])] == [[0, 5], [5, 10], [10, 15], [15, 20]]
        for _, _, name in row["clips"]:
            samples, rate = soundfile.read(io.BytesIO(page.media(name)))
            assert len(samples) / rate == pytest.approx(5, abs=0.1)
            assert 0.5 < np.abs(samples).max() <= 1


def test_a_spectrogram_shows_the_call_where_it_is(tmp_path):
    """A tone of 2 kHz in the first of every five seconds."""
    inputs.write_recording(tmp_path / "a.wav", 0)
    columns, reached_s = mel_columns(tmp_path / "a.wav", inputs.SECONDS)
    assert reached_s == inputs.SECONDS
    webp, size = picture(columns, 10**6)
    grey = np.asarray(PIL_Image.open(io.BytesIO(webp)).convert("L"), float)
    per_second = grey.reshape(size[1], -1)[:, : size[0] // 20 * 20].reshape(size[1], 20, -1).mean(axis=(0, 2))
    assert set(np.argsort(-per_second)[:4]) == {0, 5, 10, 15}
    from_top = grey[:, : size[0] // 25].mean(axis=1).argmax() / size[1]
    mel = 2595 * np.log10(1 + np.array([2000, 8000]) / 700)
    assert 1 - from_top == pytest.approx(mel[0] / mel[1], abs=0.04)


def test_pieces_of_a_long_recording_make_the_picture_of_the_whole(tmp_path, monkeypatch):
    inputs.write_recording(tmp_path / "a.wav", 3)
    whole, _ = mel_columns(tmp_path / "a.wav", inputs.SECONDS)
    monkeypatch.setattr("whimbrel.report._audio.PIECE_S", 1.024)  # 16 frames of 1024 samples: frames fall alike
    pieces, reached_s = mel_columns(tmp_path / "a.wav", inputs.SECONDS)
    assert reached_s == inputs.SECONDS
    np.testing.assert_allclose(pieces, whole, rtol=1e-4)


def test_what_libsndfile_does_not_read_is_read_by_the_core(tmp_path, monkeypatch):
    inputs.write_recording(tmp_path / "a.wav", 2)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    (tmp_path / "a.m4a").write_bytes(b"no sound that libsndfile knows")

    def read_audio(path, start_s, duration_s):
        begin = int(start_s * rate)
        return samples[begin : begin + int(duration_s * rate)], rate

    monkeypatch.setattr(_audio, "read_audio", read_audio)
    monkeypatch.setattr(_audio, "LONG_PIECE_S", 7.168)  # 112 frames
    whole, _ = mel_columns(tmp_path / "a.wav", inputs.SECONDS)
    pieces, reached_s = mel_columns(tmp_path / "a.m4a", inputs.SECONDS)
    assert reached_s == inputs.SECONDS
    np.testing.assert_allclose(pieces, whole, rtol=1e-3)


def test_tables_hold_what_the_run_did(page):
    data = page.data
    assert data["detections"] == 3 * 5
    assert [row[1] for row in data["ledger"]] == ["done", "done", "done", "failed"]
    assert data["ledger"][3][8] == "no audio file"
    species = {data["labels"][row[0]][0]: row[1:4] for row in data["species"]}
    assert species == {"Great Tit": [6, 3, 0.9], "Black-capped Chickadee": [6, 3, 0.8], "noise": [3, 3, 0.7]}
    assert data["labels"][0] == ["Great Tit", "Parus major"]
    assert data["summary"]["timeline"]["bucket_s"] == 0.5


def test_the_heat_map_counts_by_the_recorders_clock(page):
    heat = page.data["heat"]
    assert heat["recordings_without_time"] == 1
    by_hour = np.array(heat["counts"]).sum(axis=0)
    assert by_hour[17] == 5 and by_hour[5] == 5 and by_hour.sum() == 10
    assert heat["effort_s"][17] == heat["effort_s"][5] == inputs.SECONDS


def test_recordings_over_an_hour_and_over_midnight_are_divided():
    assert list(hours_of(23 * 3600 + 3000, 5000)) == [(23, 600), (0, 3600), (1, 800)]


def test_times_come_from_the_run_else_from_the_name():
    zoned = recorded_at({"path": MOTH, "recorded_at": "2019-05-21T19:17:30.000+02:00"})
    assert zoned.hour == 19 and zoned.utcoffset() == datetime.timedelta(hours=2)
    assert recorded_at({"path": f"x/{MOTH}"}) == datetime.datetime(2019, 5, 21, 17, 17, 30)
    assert recorded_at({"path": SONG_METER}) == datetime.datetime(2019, 5, 21, 5, 17, 30)
    assert recorded_at({"path": "5CE432AA.WAV"}) == datetime.datetime(2019, 5, 21, 17, 17, 30, tzinfo=datetime.UTC)
    for name in ("dawn.wav", "20191341_171730.wav", "120190521_171730.wav", "00000001.WAV", "deadbeef.wav"):
        assert recorded_at({"path": name}) is None


# --- what is read


def as_tuples(found, record):
    paths = [r["path"] for r in record["recordings"]]
    return [
        (paths[r], s, e, found.labels[k], round(float(c), 4))
        for r, s, e, k, c in zip(found.recording, found.start_s, found.end_s, found.label, found.score, strict=True)
    ]


@pytest.fixture
def one(tmp_path):
    return inputs.write_empty_run(tmp_path)


def test_detections_are_the_same_from_every_format(one):
    folder, record, rows = one
    assert read_detections(folder, record).source == ""

    labels = inputs.LABELS
    scores = np.zeros((4, 3), np.float32)
    for _, start, _, label, score in rows:
        scores[int(start // 5), labels.index(label)] = score
    with (folder / "submission.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row_id", *labels])
        writer.writerows([f"a_{5 * i + 5}", *map(str, row)] for i, row in enumerate(scores))
    check_detections(folder, record, rows, "submission.csv")

    record["labels"] = labels
    np.save(folder / "scores.npy", scores)
    index = "".join(f"{i},field/a.wav,{5.0 * i},{5.0 * i + 5}\n" for i in range(4))
    (folder / "scores.index.csv").write_text("row,file,start_s,end_s\n" + index)
    check_detections(folder, record, rows, "scores.npy")

    head = "Selection\tBegin Time (s)\tEnd Time (s)\tCommon Name\tSpecies Code\tConfidence\tBegin Path\n"
    lines = "".join(f"1\t{s}\t{e}\tx\t{label}\t{score:.4f}\t{f}\n" for f, s, e, label, score in rows)
    (folder / "field").mkdir()
    (folder / "field/a.wav.selections.txt").write_text(head + lines)
    check_detections(folder, record, rows, "*.selections.txt")

    names = [(*label.split("_"), label)[:2] for *_, label, _ in rows]
    lines = [f"{s},{e},{n[0]},{n[1]},{c:.4f},{f}\n" for (f, s, e, _, c), n in zip(rows, names, strict=True)]
    (folder / "detections.csv").write_text("Start (s),End (s),Scientific name,Common name,Confidence,File\n" + "".join(lines))
    check_detections(folder, record, rows, "detections.csv")

    (folder / "detections.jsonl").write_text(inputs.jsonl(rows))
    check_detections(folder, record, rows, "detections.jsonl")


def check_detections(folder, record, rows, source):
    found = read_detections(folder, record)
    assert found.source == source
    assert as_tuples(found, record) == sorted(rows, key=lambda row: (row[1], -row[4]))
    above = read_detections(folder, record, threshold=0.65)
    assert as_tuples(above, record) == [row for row in as_tuples(found, record) if row[4] >= 0.65]


def test_scores_without_labels_have_numbers(one):
    folder, record, _ = one
    np.save(folder / "scores.npy", np.full((4, 2), 0.5, np.float32))
    index = "".join(f"{i},field/a.wav,{5.0 * i},{5.0 * i + 5}\n" for i in range(4))
    (folder / "scores.index.csv").write_text("row,file,start_s,end_s\n" + index)
    assert read_detections(folder, record).labels == ["class 0", "class 1"]


def test_the_four_kinds_are_told_apart_by_what_they_hold(run, tmp_path):
    files = {"bench": ("x.json", json.dumps(inputs.bench())), "quantize": ("y.json", json.dumps(inputs.certificate()))}
    files["plan"] = ("z.toml", inputs.PLAN)
    for kind, (name, text) in files.items():
        (tmp_path / name).write_text(text)
        assert read_source(tmp_path / name)[0] == kind
        assert report(tmp_path / name, tmp_path / "page.html")["kind"] == kind
        page = inputs.Page(tmp_path / "page.html")
        assert page.data["kind"] == kind and page.data["data"] == read_source(tmp_path / name)[1]
    assert read_source(run)[0] == "run"


def test_the_recordings_with_most_detections_are_shown_and_all_are_listed(run, tmp_path):
    record = json.loads((run / "run.json").read_text())
    found = read_detections(run, record)
    keep = found.take(np.flatnonzero((found.recording != 0) | (found.start_s == 0)))
    assert list(choose_recordings(keep, record["recordings"], 2)) == [1, 2]
    report(run, tmp_path / "page.html", recordings=1)
    data = inputs.Page(tmp_path / "page.html").data
    assert len(data["shown"]) == 1 and len(data["ledger"]) == 4 and data["detections"] == 15


def test_recordings_are_found_where_they_moved(run, tmp_path):
    record = json.loads((run / "run.json").read_text())
    moved = tmp_path / "card/deep"
    moved.mkdir(parents=True)
    (moved / "c.wav").write_bytes((run.parent / "field/c.wav").read_bytes())
    for row in record["recordings"]:
        row["path"] = "elsewhere/deep/" + pathlib.Path(row["path"]).name
    lines = [json.loads(line) for line in (run / "detections.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(d | {"file": "elsewhere/deep/" + pathlib.Path(d["file"]).name}) + "\n" for d in lines)
    again = tmp_path / "run"
    again.mkdir()
    (again / "detections.jsonl").write_text(text)
    (again / "run.json").write_text(json.dumps(record))
    report(again, tmp_path / "page.html", audio=tmp_path / "card")
    assert inputs.Page(tmp_path / "page.html").data["not_found"] == 2
    record["settings"]["folder"] = str(tmp_path / "card/..")
    _, recordings, _ = run_data(again, record, None, 200, None, print)
    assert all(r.path is None for r in recordings)


def test_the_best_of_each_species_has_its_clip_first(run):
    record = json.loads((run / "run.json").read_text())
    found = read_detections(run, record)
    wanted = clips_in_order(found, np.array([0, 1, 2]))
    assert len(wanted) == len(set(wanted)) == 3 * 4  # windows with two detections have one clip
    assert wanted[:3] == [(0, 0, 5), (0, 5, 10), (0, 10, 15)]  # scores 0.9, 0.8, 0.7: the best of each label
    assert [w[0] for w in wanted[3:5]] == [1, 2]


def test_clips_are_long_enough_to_hear_and_short_enough_to_keep():
    assert clip_span(10, 15) == (10, 5)
    assert clip_span(10, 10.5) == (9.25, 2)
    assert clip_span(0.1, 0.3) == (0, 2)
    assert clip_span(5, 65) == (5, 10)


# --- size


def test_a_page_keeps_its_size_and_gives_up_clips_before_it_is_over(run, tmp_path):
    sizes = {}
    for max_mb in (5.05, 5.15, 15):
        written = report(run, tmp_path / "page.html", max_mb=max_mb)
        assert written["bytes"] == (tmp_path / "page.html").stat().st_size <= max_mb * 1e6
        sizes[max_mb] = (written["spectrograms"], written["clips"])
    assert sizes[15] == (3, 12)
    assert sizes[5.05][1] < sizes[5.15][1] <= 12


# --- hostile input


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    name = inputs.HOSTILE_FILE.replace("/", "\u2215")
    run = inputs.write_run(folder, [name], labels=[inputs.HOSTILE_LABEL, "b", "c"])
    report(run, folder / "page.html")
    return inputs.Page(folder / "page.html")


def test_names_and_labels_are_text_and_nothing_else(hostile, page):
    count = lambda p: {tag: sum(t == tag for t, _ in p.tags) for tag in ("script", "img", "svg", "a", "style", "meta")}  # noqa: E731
    expected = count(page) | {"script": count(page)["script"] - 2 - 8}  # two recordings less, with four clips each
    assert count(hostile) == expected
    assert hostile.data["labels"][0][0] == inputs.HOSTILE_LABEL
    assert "<svg onload" in hostile.data["ledger"][0][0]
    assert "</script><script>window" not in hostile.text and "<!-- <a" not in hostile.text


def test_only_the_scripts_of_the_page_may_run_and_nothing_is_loaded(hostile):
    content = next(a["content"] for t, a in hostile.tags if t == "meta" and "content" in a and "http-equiv" in a)
    directives = {d.split()[0]: d.split()[1:] for d in content.split(";")}
    assert directives["default-src"] == ["'none'"]
    assert not any(word.startswith("http") or word == "*" for words in directives.values() for word in words)
    for name, text in hostile.scripts.items():
        if isinstance(name, int):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in directives["script-src"]
    assert not any("src" in a for t, a in hostile.tags if t in ("script", "img", "audio"))
