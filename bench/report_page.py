"""`whimbrel report` of 200 ten-minute recordings: time to make the page, its size, time to open it in headless Chromium.

There is no peer: the limits are 15 MB and 3 s.
"""

import argparse
import json
import shutil
import time

import common
from playwright.sync_api import sync_playwright

MODEL = common.ROOT / "examples/dawn_chorus/model/dawn_chorus.toml"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


def seconds_to_open(page):
    """Of a fresh browser: until the document is loaded, and until Plotly is there too and the first plot is drawn."""
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        begin = time.perf_counter()
        tab.goto(page.as_uri())
        loaded = time.perf_counter() - begin
        tab.locator(".chart").first.scroll_into_view_if_needed()
        tab.locator(".chart[data-drawn]").first.wait_for()
        drawn = time.perf_counter() - begin
        browser.close()
    return loaded, drawn


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    common.print_machine()
    files = common.recordings(options.recordings, options.seconds)
    folder = common.WORK / "report-page"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    listing = folder / "recordings.txt"
    listing.write_text("\n".join(files))
    whimbrel = common.whimbrel(options.build)
    common.run([whimbrel, "predict", f"@{listing}", "--model", MODEL, "--out", folder / "run", "--format", "jsonl", "--quiet"])
    page = folder / "page.html"
    made = common.run([whimbrel, "report", folder / "run", "-o", page, "--json", "--quiet"])
    facts = json.loads(made["output"])
    print(
        f"{options.recordings} recordings of {options.seconds} s: {facts['spectrograms']} spectrograms, {facts['clips']} clips"
    )
    print(f"made in {made['wall_s']:.1f} s ({made['cpu_s']:.1f} s of CPU), peak memory {made['rss_mb']:.0f} MB")
    print(f"size {page.stat().st_size / 1e6:.2f} MB (limit 15)")
    loaded, drawn = zip(*(seconds_to_open(page) for _ in range(5)), strict=True)
    print(f"open after {common.spread(loaded)} s, first plot drawn after {common.spread(drawn)} s (limit 3)")


if __name__ == "__main__":
    main()
