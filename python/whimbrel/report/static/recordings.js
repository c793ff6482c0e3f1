// The list of recordings: a filter, and articles that are filled while they are near the screen.

W.recordings = (d) => {
  const list = W.el("div", { class: "recordings" });
  const status = W.el("p", { class: "muted", role: "status" });
  const search = W.el("input", { type: "search", placeholder: "file or species", "aria-label": "Find a file or species", autocomplete: "off" });
  const species = W.el("select", { "aria-label": "Species" }, W.el("option", { value: "" }, "all species"), d.species.map((r) => W.el("option", { value: r[0] }, `${d.labels[r[0]][0]} (${r[1]})`)));
  const score = W.el("input", { type: "range", min: "0", max: "0.99", step: "0.01", value: "0", "aria-label": "Least score" });
  const scoreText = W.el("output", {}, "0.00");
  const order = W.el("select", { "aria-label": "Order" }, ["as they ran", "most detections", "best score"].map((name, i) => W.el("option", { value: i }, name)));
  const all = d.shown.map((shown, position) => {
    const row = d.ledger[shown.r];
    const detections = W.detectionsOf(shown);
    const labels = new Set(detections.map((x) => x.label));
    const words = [row.path, ...[...labels].map((l) => d.labels[l].join(" "))].join("\n").toLowerCase();
    return { position, row, detections, labels, words, best: Math.max(0, ...detections.map((x) => x.score)) };
  });
  const articles = new Map();
  const open = new Map();

  const keep = (x) => x.score >= Number(score.value) && (species.value === "" || x.label === Number(species.value));

  function refill() {
    scoreText.textContent = Number(score.value).toFixed(2);
    const wanted = search.value.trim().toLowerCase();
    const filtered = species.value !== "" || Number(score.value) > 0;
    const some = all.filter((r) => (!wanted || r.words.includes(wanted)) && (!filtered || r.detections.some(keep)));
    if (order.value === "1") some.sort((a, b) => b.detections.length - a.detections.length);
    if (order.value === "2") some.sort((a, b) => b.best - a.best);
    observer.disconnect();
    open.clear();
    articles.clear();
    list.replaceChildren(
      ...some.map((r) => {
        const article = W.el("article", { class: "recording", id: `recording-${r.position}`, "aria-label": r.row.path, "data-position": r.position });
        const lanes = Math.min(W.LANES, new Set(r.detections.filter(keep).map((x) => x.label)).size);
        article.style.minHeight = `${296 + 26 * lanes}px`;
        articles.set(r.position, article);
        observer.observe(article);
        return article;
      }),
    );
    status.textContent = some.length === all.length ? W.text.count(all.length, "recording") : `${some.length} of ${W.text.count(all.length, "recording")}`;
  }

  function fill(position) {
    if (!open.has(position)) open.set(position, W.timeline(articles.get(position), position, keep));
    return open.get(position);
  }

  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const position = Number(target.dataset.position);
        if (isIntersecting) {
          fill(position);
        } else if (open.has(position) && !open.get(position).busy()) {
          target.style.minHeight = `${target.offsetHeight}px`;
          target.replaceChildren();
          open.delete(position);
        }
      }
    },
    { rootMargin: "1000px" },
  );

  W.showRecording = (position) => {
    if (!articles.has(position)) {
      [search.value, species.value, score.value] = ["", "", "0"];
      refill();
    }
    const article = articles.get(position);
    fill(position);
    article.scrollIntoView({ block: "start", behavior: "instant" });
    return open.get(position);
  };
  W.showDetection = (position, i) => {
    const shown = W.detectionsOf(d.shown[position])[i];
    if (articles.has(position) && !keep(shown)) articles.delete(position);
    W.showRecording(position).choose(i, true);
  };

  let later = 0;
  for (const control of [search, species, score, order]) {
    control.addEventListener("input", () => {
      clearTimeout(later);
      later = setTimeout(refill, control === search ? 150 : 30);
    });
  }
  refill();
  return [
    W.el("div", { class: "controls", role: "search" }, search, species, W.el("label", {}, "score from ", score, scoreText), order, status),
    ...notes(d),
    list,
  ];
};

function notes(d) {
  const lines = [];
  const left = d.ledger.filter((r) => r.state !== "failed" && r.decoded_s !== 0).length - d.shown.length;
  if (left > 0) lines.push(`The ${d.shown.length} recordings with most detections are shown; ${W.text.count(left, "other")} ${left === 1 ? "is" : "are"} in the tables only.`);
  if (d.not_found) lines.push(`${W.text.count(d.not_found, "recording")} ${d.not_found === 1 ? "was" : "were"} not found and ${d.not_found === 1 ? "has" : "have"} no spectrogram and no clips; whimbrel report --audio says where they lie.`);
  if (d.unreadable && d.unreadable.length) lines.push(`${W.text.count(d.unreadable.length, "recording")} could not be read for a spectrogram.`);
  const shownOf = d.shown.reduce((sum, s) => sum + d.ledger[s.r].detections, 0);
  if (d.detections_shown < shownOf) lines.push(`Of ${shownOf.toLocaleString("en")} detections in them the ${d.detections_shown.toLocaleString("en")} with the highest scores are in this page.`);
  return [...lines.map((line) => W.note(line)), W.muted("Spectrograms show what is louder than the middle level of each band. In a recording, arrow keys move between detections, Enter or Space plays.")];
}
