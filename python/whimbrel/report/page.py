"""One HTML file of data, style and scripts. Whatever comes from outside is data: the scripts put it into text nodes."""

import base64
import hashlib
import html
import json
import math
import pathlib

import plotly.offline

STATIC = pathlib.Path(__file__).parent / "static"
TITLES = {"run": "Run", "bench": "Bench", "plan": "Plan", "quantize": "INT8"}


def assemble(data, media):
    """The page as text.

    @param data   with kind and title; every text in it may be hostile
    @param media  {name: (MIME type, bytes)}: each in an element of its own, which the browser does not look into until it is
                  needed
    """
    # Plotly's own file last: the page can be read before it is compiled.
    scripts = [static(name) for name in ("core.js", "table.js", "plot.js", *SCRIPTS[data["kind"]], "start.js")]
    app, plotly_js = "\n".join(scripts), plotly.offline.get_plotlyjs()
    blocks = {
        "title": html.escape(f"{TITLES[data['kind']]} {data['title']} · whimbrel"),
        "policy": policy([app, plotly_js, static("theme.js"), static("drawn.js")]),
        "style": static("style.css"),
        "theme": static("theme.js"),
        "data": embedded_json(data),
        "media": "\n".join(media_element(name, *item) for name, item in media.items()),
        "app": app,
        "plotly": plotly_js,
        "drawn": static("drawn.js"),
    }
    parts = static("page.html").split("@@")  # text, name, text, name, ..., text
    return "".join(blocks[part] if i % 2 else part for i, part in enumerate(parts))


SCRIPTS = {
    "run": ("run.js", "run_plots.js", "timeline.js", "recordings.js"),
    "bench": ("bench.js",),
    "plan": ("plan.js",),
    "quantize": ("quantize.js",),
}


def static(name):
    return (STATIC / name).read_text("utf-8")


def embedded_json(data):
    """JSON that cannot end its script element, whatever it holds."""
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False, default=str)  # ASCII
    except ValueError:  # Python writes NaN, which is no JSON
        text = json.dumps(without_nan(data), separators=(",", ":"), default=str)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def without_nan(value):
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def media_element(name, kind, contents):
    return f'<script type="text/plain" id="{name}" data-mime="{kind}">{base64.b64encode(contents).decode()}</script>'


def policy(scripts):
    """Only these scripts run, nothing is fetched, nothing is sent. Plotly sets style attributes."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    sources = "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {hashes}; {sources}"
