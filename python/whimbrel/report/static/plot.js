// Plots are drawn when they come into view, and again when the theme changes.

W.plots = (() => {
  const waiting = new Map();
  const drawn = new Map();
  let ready = false;
  const inView = new Set();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        inView.add(entry.target);
        observer.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "200px" },
  );

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** Layout of all plots, in the colours of the theme. */
  function layout(own) {
    const axis = {
      gridcolor: css("--line"), linecolor: css("--line"), zerolinecolor: css("--line"), tickcolor: css("--line"),
      automargin: true, fixedrange: true, title: { standoff: 12 },
    };
    const result = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 12, r: 12, t: 12, b: 12 },
      font: { family: css("--font"), size: 13, color: css("--ink") }, autosize: true, dragmode: false,
      hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--muted"), font: { color: css("--ink"), family: css("--font"), size: 13 }, align: "left" },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemclick: "toggle" },
      ...own,
    };
    for (const key of ["xaxis", "yaxis"]) result[key] = { ...axis, ...(own[key] || {}), title: { ...axis.title, ...((own[key] || {}).title || {}) } };
    return result;
  }

  function draw(div) {
    const make = waiting.get(div) || drawn.get(div);
    if (!ready || !make) return;
    const { data, layout: own } = make(css);
    Plotly.react(div, data, layout(own), { responsive: true, displayModeBar: false, displaylogo: false }).then(() => {
      div.dataset.drawn = "yes";
    });
    waiting.delete(div);
    drawn.set(div, make);
  }

  return {
    /** A figure; make(css) gives {data, layout} and is called at each drawing. */
    add(caption, height, make) {
      const div = W.el("div", { class: "chart", role: "img", "aria-label": caption, style: { height: `${height}px` } });
      waiting.set(div, make);
      observer.observe(div);
      return W.el("figure", {}, W.el("div", { class: "chart-scroll" }, div), W.el("figcaption", {}, caption));
    },
    /** Plotly is there. */
    start() {
      ready = true;
      for (const div of inView) draw(div);
    },
    redraw() {
      for (const div of drawn.keys()) if (div.isConnected) draw(div);
    },
    /** Plotly reads a few tags in texts: names must not have any. */
    /** A logarithmic axis over values, with room at both ends and ticks at 1, 2 and 5 (1 alone where there are many). */
    logAxis(values) {
      const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
      const room = Math.max(0.25, 0.12 * (high - low));
      const range = [low - room, high + room];
      const digits = range[1] - range[0] > 3 ? [1] : [1, 2, 5];
      const ticks = [];
      for (let e = Math.floor(range[0]); e <= Math.ceil(range[1]); e += 1) for (const digit of digits) ticks.push(digit * 10 ** e);
      return { type: "log", range, tickvals: ticks.filter((t) => Math.log10(t) >= range[0] && Math.log10(t) <= range[1]), tickformat: "~s", zeroline: false };
    },
    plain: (name) => String(name).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"),
    short: (name, n = 28) => (String(name).length > n ? `${String(name).slice(0, n - 1)}…` : String(name)),
  };
})();
