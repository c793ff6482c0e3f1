// Tables that sort by a click on a heading and show a page of rows at a time.

/**
 * columns: [{name, value: (row) => number or text, show: (row) => node or text, number: bool, wide: bool}]
 * options: caption (for readers), page (rows at a time), sort: [column, descending]
 */
W.table = (columns, rows, options = {}) => {
  const page = options.page || 50;
  let [column, descending] = options.sort || [-1, false];
  let shown = page;
  const body = W.el("tbody");
  const more = W.el("button", { type: "button", class: "quiet", onclick: () => { shown += page * 4; fill(); } });
  const headings = columns.map((c, i) =>
    W.el(
      "th",
      { scope: "col", class: c.number ? "number" : null },
      rows.length > 1 && c.value
        ? W.el("button", { type: "button", class: "sort", onclick: () => sortBy(i) }, c.name)
        : c.name,
    ),
  );

  function sortBy(i) {
    descending = column === i ? !descending : Boolean(columns[i].number);
    column = i;
    fill();
  }

  function ordered() {
    if (column < 0) return rows;
    const value = columns[column].value;
    const sign = descending ? -1 : 1;
    const missing = (x) => x === null || x === undefined || Number.isNaN(x);
    return [...rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (missing(x) || missing(y)) return missing(x) - missing(y);
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
    });
  }

  function cell(c, row) {
    const content = c.show ? c.show(row) : c.value(row);
    const empty = content === null || content === undefined || content === "";
    return W.el("td", { class: [c.number && "number", c.wide && "wide"].filter(Boolean).join(" ") || null }, empty ? "–" : content instanceof Node ? content : String(content));
  }

  function fill() {
    headings.forEach((h, i) => {
      if (i === column) h.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else h.removeAttribute("aria-sort");
    });
    const some = ordered().slice(0, shown);
    body.replaceChildren(...some.map((row) => W.el("tr", { class: (options.mark && options.mark(row)) || null }, columns.map((c) => cell(c, row)))));
    more.textContent = `Show more (${(rows.length - some.length).toLocaleString("en")} left)`;
    more.hidden = some.length >= rows.length;
  }

  fill();
  const table = W.el("table", {}, W.el("caption", {}, options.caption), W.el("thead", {}, W.el("tr", {}, headings)), body);
  // Scrolls sideways where the screen is narrow, and so must be reachable by keyboard.
  return W.el("div", { class: "table" }, W.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.caption }, table), more);
};

/** A table that is made when it is asked for: what a plot shows, for those who cannot see it. */
W.asTable = (columns, rows, options) => {
  const details = W.el("details", { class: "as-table" }, W.el("summary", {}, "As a table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(W.table(columns, rows(), options));
  });
  return details;
};
