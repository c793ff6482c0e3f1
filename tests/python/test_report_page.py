"""Pages of `whimbrel report` in headless Chromium: drawn, usable by mouse and keyboard, in both themes, at every width."""

import json
import pathlib
import shutil
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))
pytest.importorskip("plotly")
pytest.importorskip("PIL")
pytest.importorskip("soundfile")
playwright = pytest.importorskip("playwright.sync_api")

import report_inputs as inputs  # noqa: E402
from whimbrel.report import report  # noqa: E402

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
WIDTHS = (320, 768, 1600, 2560)
NAMES = ["20190521_171730.WAV", "SITE1_20190521_051730.wav", "c.wav"]
KINDS = ("run", "bench", "plan", "quantize")
CHARTS = {"run": 2, "bench": 3, "plan": 1, "quantize": 1}


@pytest.fixture(scope="module")
def chromium():
    if not pathlib.Path(CHROMIUM).exists():
        pytest.skip("no chromium: apt-get install chromium, or scripts/setup --dev")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "bench.json").write_text(json.dumps(inputs.bench()))
    (folder / "plan.toml").write_text(inputs.PLAN)
    (folder / "quantize.json").write_text(json.dumps(inputs.certificate()))
    sources = {"run": inputs.write_run(folder, NAMES, **RUN_MORE)}
    sources |= {"bench": folder / "bench.json", "plan": folder / "plan.toml", "quantize": folder / "quantize.json"}
    for kind, source in sources.items():
        report(source, folder / f"{kind}.html")
    return {kind: folder / f"{kind}.html" for kind in sources}


CHANGE = {"model": 0, "name": "small", "what": "dropped", "at_s": 2.0, "windows_read": 5, "windows_expected": 12}
RUN_MORE = {
    "budget": {"budget_s": 60.0, "ran_out": False, "rows_filled": 0, "changes": [CHANGE]},
    "plan": {
        "expected_wall_s": 5.0,
        "wall_margin_s": 0.3,
        "expected_windows": 12,
        "expected_score": 0.9,
        "actual_wall_s": 4.4,
        "actual_windows": 12,
        "actual_by_expected": 0.88,
    },
}


class Tab:
    """A page that is open; complaints are what the console, the scripts and the network said."""

    def __init__(self, chromium, path, width=1280, theme="light", **more):
        self.context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **more)
        self.page = self.context.new_page()
        self.complaints = []
        self.page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.complaints.append(f"error: {e}"))
        self.page.on("request", lambda r: self.see(r.url))
        self.own = path.as_uri()
        self.page.goto(self.own)
        self.until("typeof Plotly !== 'undefined'")

    def until(self, expression):
        """Waits; Playwright's own way to do so needs eval(), which the page forbids."""
        end = time.monotonic() + 30
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"never came true: {expression}"
            self.page.wait_for_timeout(30)

    def recording(self, index=0):
        """That article, in view and filled."""
        article = self.page.locator(".recording").nth(index)
        article.scroll_into_view_if_needed()
        article.locator("h3").wait_for()
        return article

    def see(self, url):
        if url != self.own and not url.startswith(("data:", "blob:")):
            self.complaints.append(f"request: {url}")

    def draw_all(self):
        charts = self.page.locator(".chart")
        for i in range(charts.count()):
            charts.nth(i).scroll_into_view_if_needed()
            self.until(f"document.querySelectorAll('.chart')[{i}].dataset.drawn === 'yes'")
        return charts.count()

    def fits(self):
        return self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.context.close()
        if kind is None:
            assert self.complaints == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_plot_is_drawn_and_nothing_is_asked_of_a_network(chromium, pages, kind):
    with Tab(chromium, pages[kind]) as tab:
        assert tab.draw_all() == CHARTS[kind]
        marks = "svg .point, svg .points path, svg .heatmaplayer image, svg .js-fill, svg .fills path"
        for i in range(CHARTS[kind]):
            assert tab.page.locator(".chart").nth(i).locator(marks).count() > 0
        headings = tab.page.locator("h1, h2").all_inner_texts()
        assert len(headings) > 3 and all(text.strip() for text in headings)
        assert tab.page.locator("#nav a").count() == tab.page.locator("section").count()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wider_than_the_screen(chromium, pages, kind, width, theme, tmp_path):
    with Tab(chromium, pages[kind], width, theme) as tab:
        assert tab.page.evaluate("document.documentElement.dataset.theme") == theme
        tab.draw_all()
        if kind == "run":
            tab.recording().locator(".detection").first.click()
        assert tab.fits()
        tab.page.screenshot(path=tmp_path / "shot.png")
        background = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (theme == "light")


def test_a_detection_that_is_clicked_shows_what_it_is_and_plays(chromium, pages):
    with Tab(chromium, pages["run"]) as tab:
        article = tab.recording()
        image = article.locator(".picture img")
        image.wait_for()
        tab.until("document.querySelector('.picture img').naturalWidth > 0")
        article.get_by_role("button", name="Great Tit, 0:00.0 to 0:05.0").click()
        detail = article.locator(".detail")
        assert "Great Tit" in detail.inner_text() and "0:00.0 – 0:05.0" in detail.inner_text()
        assert "at 17:17:30" in detail.inner_text() and "Black-capped Chickadee 0.50" in detail.inner_text()
        audio = "document.querySelector('.detail audio')"
        tab.until(f"{audio}.readyState >= 1")
        assert tab.page.evaluate(f"{audio}.duration") == pytest.approx(5, abs=0.2)
        tab.page.evaluate(f"{audio}.muted = true")
        tab.page.evaluate(f"{audio}.play()")
        tab.until(f"{audio}.currentTime > 0.1")


def test_the_keyboard_reaches_every_detection(chromium, pages):
    with Tab(chromium, pages["run"]) as tab:
        page = tab.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        article = tab.recording()
        article.locator(".zoom button").last.focus()
        page.keyboard.press("Tab")
        focused = "document.activeElement.getAttribute('aria-label')"
        assert page.evaluate(focused).startswith("Great Tit, 0:00.0")
        # One stop a recording: the arrows go on from there, in time order.
        page.keyboard.press("ArrowRight")
        assert page.evaluate(focused).startswith("Great Tit, 0:00.0")
        for name in ("Black-capped Chickadee, 0:00.0", "Black-capped Chickadee, 0:05.0", "noise, 0:10.0", "Great Tit, 0:15.0"):
            page.keyboard.press("ArrowRight")
            assert page.evaluate(focused).startswith(name)
            assert article.locator(".what").inner_text().startswith(name.split(",")[0])
        page.keyboard.press("ArrowRight")
        assert page.evaluate(focused).startswith("Great Tit, 0:15.0")
        page.keyboard.press("ArrowDown")
        assert page.evaluate(focused).startswith("Black-capped Chickadee, 0:05.0")
        page.keyboard.press("Home")
        assert page.evaluate(focused).startswith("Great Tit, 0:00.0")
        page.keyboard.press("Enter")
        tab.until("!document.querySelector('.detail audio').paused")
        page.keyboard.press("Space")
        tab.until("document.querySelector('.detail audio').paused")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "AUDIO"


def test_the_filter_leaves_what_was_asked_for(chromium, pages):
    with Tab(chromium, pages["run"]) as tab:
        page = tab.page
        tab.recording()
        status = page.locator("#recordings [role=status]")
        page.get_by_label("Find a file or species").fill("site1")
        status.get_by_text("1 of 3 recordings").wait_for()
        page.get_by_label("Find a file or species").fill("")
        status.get_by_text("3 recordings", exact=True).wait_for()
        page.locator("#recordings").get_by_label("Species", exact=True).select_option(label="noise (3)")
        tab.until("document.querySelectorAll('.recording:first-child .detection').length === 1")
        # The best detection of a species that the filter hides comes back when it is asked for.
        page.get_by_role("button", name="Show the best detection of Great Tit").click()
        page.locator(".what", has_text="Great Tit").wait_for()
        assert "Great Tit" in page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_the_theme_changes_by_a_button_and_plots_follow(chromium, pages):
    with Tab(chromium, pages["plan"]) as tab:
        tab.draw_all()
        colour = "getComputedStyle(document.querySelector('.chart text')).fill"
        before = tab.page.evaluate(colour)
        tab.page.get_by_role("button", name="Switch to the dark theme").click()
        tab.until(f"{colour} !== '{before}'")
        assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"
        tab.page.get_by_role("button", name="Switch to the light theme").wait_for()


def test_tables_sort_by_a_click_and_by_enter(chromium, pages):
    with Tab(chromium, pages["bench"]) as tab:
        rows = tab.page.locator("#rows tbody tr")
        header = tab.page.locator("#rows th").get_by_role("button", name="Windows/s")
        header.click()
        assert "a-int8.onnx" in rows.first.inner_text()
        header.focus()
        tab.page.keyboard.press("Enter")
        assert "100.0" in rows.first.inner_text() and "failed" in rows.last.inner_text()


def test_hostile_names_are_shown_and_do_nothing(chromium, tmp_path):
    name = inputs.HOSTILE_FILE.replace("/", "\u2215")
    source = inputs.write_run(tmp_path, [f"{name[:-4]}_20190521_171730.wav"], labels=[inputs.HOSTILE_LABEL, "b", "c"])
    report(source, tmp_path / "page.html")
    with Tab(chromium, tmp_path / "page.html") as tab:
        tab.draw_all()
        tab.recording().locator(".detection").first.click()
        tab.page.locator(".chart .heatmaplayer").hover(force=True)
        assert inputs.HOSTILE_LABEL in tab.page.locator(".what").inner_text()
        assert "<svg onload" in tab.page.locator(".recording h3").inner_text()
        assert tab.page.evaluate("window.hacked") is None
        assert tab.page.locator("main a[href^='javascript'], main img[src='x']").count() == 0


def test_a_page_of_many_recordings_keeps_only_those_in_view(chromium, tmp_path):
    source = inputs.write_run(tmp_path, [f"{i:02}.wav" for i in range(30)])
    report(source, tmp_path / "page.html")
    with Tab(chromium, tmp_path / "page.html") as tab:
        tab.page.locator(".recording").nth(29).scroll_into_view_if_needed()
        tab.page.locator("#recording-29 .detection").first.wait_for()
        tab.until("!document.querySelector('#recording-0 .detection')")
        tab.page.evaluate("document.querySelector('#recording-0').scrollIntoView()")
        tab.page.locator("#recording-0 .detection").first.wait_for()
        tab.until("document.querySelector('#recording-0 img').naturalWidth > 0")


def test_a_reader_who_wants_no_motion_gets_none(chromium, pages):
    with Tab(chromium, pages["run"], reduced_motion="reduce") as tab:
        assert tab.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
