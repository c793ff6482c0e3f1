"use strict";
// Elements, numbers, sections and the theme. Text from outside only ever becomes a text node or an attribute.

const W = { data: JSON.parse(document.getElementById("data").textContent) };

/** el("a", {href: "#x", class: "y", onclick: f}, "text", child): attributes that are null or false are left out. */
W.el = (tag, attributes, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};

W.text = {
  number: (x, digits = 3) =>
    Number.isFinite(x) ? x.toLocaleString("en", x >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits }) : "–",
  fixed: (x, digits) => (Number.isFinite(x) ? x.toFixed(digits) : "–"),
  percent: (x, digits = 1) => (Number.isFinite(x) ? `${(100 * x).toFixed(digits)} %` : "–"),
  count: (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`,
  bytes: (n) => {
    if (!Number.isFinite(n)) return "–";
    const [unit, by] = n >= 1e9 ? ["GB", 1e9] : n >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
    return `${W.text.number(n / by)} ${unit}`;
  },
  /** 1:02:03, 2:03; with tenths where asked for */
  clock: (seconds, tenths = false) => {
    if (!Number.isFinite(seconds)) return "–";
    const t = tenths ? Math.round(seconds * 10) / 10 : Math.round(seconds);
    const [h, m, s] = [Math.floor(t / 3600), Math.floor(t / 60) % 60, t % 60];
    const tail = tenths ? s.toFixed(1).padStart(4, "0") : String(s).padStart(2, "0");
    return h ? `${h}:${String(m).padStart(2, "0")}:${tail}` : `${m}:${tail}`;
  },
  duration: (s) => {
    if (!Number.isFinite(s)) return "–";
    if (s < 1) return `${W.text.number(s * 1000)} ms`;
    if (s < 120) return `${W.text.number(s)} s`;
    if (s < 7200) return `${Math.floor(s / 60)} min ${String(Math.round(s % 60)).padStart(2, "0")} s`;
    return `${Math.floor(s / 3600)} h ${String(Math.round((s % 3600) / 60)).padStart(2, "0")} min`;
  },
  hertz: (hz) => (hz >= 1000 ? `${W.text.number(hz / 1000, 4)} kHz` : hz > 0 ? `${hz} Hz` : "–"),
  file: (path) => String(path).split(/[\\/]/).pop(),
  folder: (path) => String(path).slice(0, String(path).length - W.text.file(path).length),
};

/** The page's heading. */
W.title = (title, lead) => {
  const facts = [`made ${W.data.made}`, W.data.whimbrel ? `whimbrel ${W.data.whimbrel}` : null].filter(Boolean).join(" · ");
  document.getElementById("main").append(
    W.el("div", { class: "title" }, W.el("h1", {}, title), lead && W.el("p", { class: "lead" }, lead), W.el("p", { class: "muted" }, facts)),
  );
};

/** A section with a heading, listed in the navigation. */
W.section = (id, heading, ...children) => {
  const section = W.el("section", { id, "aria-labelledby": `${id}-heading` }, W.el("h2", { id: `${id}-heading` }, heading), ...children);
  document.getElementById("main").append(section);
  document.getElementById("nav").append(W.el("a", { href: `#${id}` }, heading));
  return section;
};

W.note = (...text) => W.el("p", { class: "note" }, ...text);
W.muted = (...text) => W.el("p", { class: "muted" }, ...text);

/** Figures that are read first: [[name, value, explanation]] */
W.tiles = (items) =>
  W.el(
    "dl",
    { class: "tiles" },
    items
      .filter(Boolean)
      .map(([name, value, more]) => W.el("div", {}, W.el("dt", {}, name), W.el("dd", {}, value), more && W.el("dd", { class: "muted" }, more))),
  );

/** Names and values of lesser weight. */
W.facts = (items) =>
  W.el("dl", { class: "facts" }, items.filter((i) => i && i[1] !== null && i[1] !== undefined && i[1] !== "").map(([name, value]) => W.el("div", {}, W.el("dt", {}, name), W.el("dd", {}, value))));

/** What lies in an element of its own, as a blob's address; made once. */
W.media = (() => {
  const made = new Map();
  return (name) => {
    if (!made.has(name)) {
      const element = document.getElementById(name);
      const bytes = Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));
      made.set(name, URL.createObjectURL(new Blob([bytes], { type: element.dataset.mime })));
      element.remove();
    }
    return made.get(name);
  };
})();

W.setTheme = (theme) => {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.textContent = theme === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to the ${theme === "dark" ? "light" : "dark"} theme`);
};
document.getElementById("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  W.setTheme(theme);
  try {
    localStorage.setItem("whimbrel-theme", theme);
  } catch {
    // Then the next page begins with the system's.
  }
  W.plots.redraw();
});
W.setTheme(document.documentElement.dataset.theme);
