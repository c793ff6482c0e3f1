// A run: what ran, what became of it, what it heard.

W.LEDGER = ["path", "state", "windows", "decoded_s", "sample_rate_hz", "channels", "codec", "windows_filled", "error", "recorded_at", "detections", "best_label", "best_score"];

W.run = () => {
  const d = W.data;
  d.ledger = d.ledger.map((row, index) => Object.assign(Object.fromEntries(W.LEDGER.map((key, i) => [key, row[i]])), { index }));
  const s = d.summary;
  W.title(`Run “${d.title}”`, runLead(d, s));
  W.section("summary", "Summary", runTiles(d, s), runSettings(d), W.el("h3", {}, "Models"), modelTable(d), planAndBudget(d));
  const failed = d.ledger.filter((r) => r.state !== "done");
  W.section("failed", "Not done", failed.length ? failedTable(failed) : W.muted("Every recording was read to its end."));
  if (!d.source) {
    W.section("detections", "Detections", W.note("The folder holds no detections and no scores. Run predict with --format jsonl, csv, raven, npy or kaggle to see them here."));
  } else {
    W.section("species", "Species", speciesTable(d));
    W.section("day", "Time of day", ...W.heatMap(d));
  }
  W.section("workers", "Workers", ...W.workers(d));
  W.section("all", "All recordings", ledgerTable(d));
  if (d.source) W.section("recordings", "Recordings", ...W.recordings(d)); // last: it is long
};

W.species = (label) => {
  const [common, scientific] = W.data.labels[label] || ["–", ""];
  return W.el("span", { class: "species" }, common, scientific && W.el("span", { class: "scientific" }, ` ${scientific}`));
};

function runLead(d, s) {
  const heard = d.ledger.reduce((sum, r) => sum + (r.decoded_s || 0), 0);
  const words = d.source ? `, ${W.text.count(d.detections, "detection")} of ${W.text.count(d.species.length, "class", "classes")}` : "";
  return `${W.text.count(d.ledger.length, "recording")}, ${W.text.duration(heard)} of sound${words}.`;
}

function runTiles(d, s) {
  const heard = d.ledger.reduce((sum, r) => sum + (r.decoded_s || 0), 0);
  const not = ["failed", "partial", "cancelled"].filter((state) => s[state]).map((state) => `${s[state]} ${state}`).join(", ");
  const workers = (d.settings || {}).workers;
  return W.tiles([
    ["Recordings", W.text.number(d.ledger.length, 6), not || "all done"],
    ["Windows", W.text.number(s.windows, 6), s.rows_filled ? `${s.rows_filled.toLocaleString("en")} filled` : null],
    d.source ? ["Detections", W.text.number(d.detections, 6), d.threshold === null ? null : `score ${W.text.number(d.threshold)} or more`] : null,
    ["Time", W.text.duration(s.wall_s), s.stopped_early ? "stopped early" : heard ? `${W.text.number(heard / s.wall_s)} × real time` : null],
    ["Throughput", `${W.text.number(s.windows_per_s)} /s`, "windows, after the start"],
    ["CPU", s.cpu_s && workers ? W.text.percent(s.cpu_s / s.wall_s / workers, 0) : "–", workers ? `of ${W.text.count(workers, "worker")}` : null],
    ["Peak memory", W.text.bytes(s.peak_rss_bytes)],
  ]);
}

function runSettings(d) {
  const [s, cpu] = [d.settings || {}, d.cpu || {}];
  return W.facts([
    ["CPU", cpu.model && `${cpu.model}, ${cpu.cores_allowed} of ${W.text.count(cpu.cores_online || 0, "core")}${cpu.integer_path ? `, ${cpu.integer_path}` : ""}`],
    ["Engine", s.engine],
    ["Formats", (s.formats || []).join(", ")],
    ["Detections from", d.source && `${d.source}${d.from_scores ? `, scores of ${d.threshold} or more` : ""}`],
    ["Mean", (d.models || []).length > 1 ? s.mean : null],
    ["Shard", s.shard && s.shard[1] > 1 ? s.shard.join(" of ") : null],
  ]);
}

function modelTable(d) {
  const total = (d.models || []).reduce((sum, m) => sum + (m.weight || 0), 0);
  return W.table(
    [
      { name: "Model", value: (m) => m.name, wide: true },
      { name: "Engine", value: (m) => (m.opened === false ? "not opened in time" : `${m.engine} ${m.engine_version || ""}`) },
      { name: "Batch", value: (m) => m.batch, number: true },
      { name: "Share", value: (m) => m.weight, show: (m) => (m.weight && total ? W.text.percent(m.weight / total, 0) : "–"), number: true },
      { name: "Probe differs by", value: (m) => m.probe_difference, show: (m) => (m.opened === false ? "–" : m.probe_difference ? m.probe_difference.toExponential(1) : "0"), number: true },
      { name: "File", value: (m) => W.text.file(m.file || ""), wide: true },
    ],
    d.models || [],
    { caption: "Models of the run" },
  );
}

function planAndBudget(d) {
  const parts = [];
  if (d.plan) {
    const p = d.plan;
    parts.push(
      W.el("h3", {}, "Plan"),
      W.tiles([
        ["Planned", W.text.duration(p.expected_wall_s), `± ${W.text.duration(p.wall_margin_s)} for ${W.text.count(p.expected_windows, "window")}`],
        ["Taken", W.text.duration(p.actual_wall_s), `for ${W.text.count(p.actual_windows, "window")}`],
        ["Time a window", p.actual_by_expected === null ? "–" : `${W.text.number(p.actual_by_expected)} ×`, "of what was planned"],
        ["Expected score", W.text.fixed(p.expected_score, 4)],
      ]),
    );
  }
  if (d.budget) {
    const b = d.budget;
    parts.push(
      W.el("h3", {}, "Budget"),
      W.tiles([
        ["Budget", W.text.duration(b.budget_s), b.ran_out ? "ran out: what was not reached is filled" : "kept"],
        ["Used", W.text.percent(d.summary.wall_s / b.budget_s)],
        ["Filled", W.text.count(b.rows_filled || 0, "row")],
      ]),
      (b.changes || []).length ? budgetTable(b.changes) : W.muted("No member was dropped."),
    );
  }
  return parts;
}

const budgetTable = (changes) =>
  W.table(
    [
      { name: "At", value: (c) => c.at_s, show: (c) => W.text.duration(c.at_s), number: true },
      { name: "Model", value: (c) => c.name, wide: true },
      { name: "Was", value: (c) => c.what },
      { name: "Windows read", value: (c) => c.windows_read, show: (c) => `${c.windows_read} of ${c.windows_expected}`, number: true },
    ],
    changes,
    { caption: "Members that the budget dropped or took back" },
  );

const failedTable = (failed) =>
  W.table(
    [
      { name: "Recording", value: (r) => r.path, wide: true },
      { name: "State", value: (r) => r.state, show: (r) => W.state(r.state) },
      { name: "Windows", value: (r) => r.windows, number: true },
      { name: "Why", value: (r) => r.error || "", wide: true },
    ],
    failed,
    { caption: "Recordings that failed or were not read to their end" },
  );

W.state = (state) => W.el("span", { class: `state ${["done", "partial", "failed", "cancelled"].includes(state) ? state : ""}` }, state);

const speciesTable = (d) =>
  W.table(
    [
      { name: "Species", value: (r) => d.labels[r[0]][0], show: (r) => W.species(r[0]), wide: true },
      { name: "Detections", value: (r) => r[1], show: (r) => r[1].toLocaleString("en"), number: true },
      { name: "Recordings", value: (r) => r[2], show: (r) => r[2].toLocaleString("en"), number: true },
      { name: "Best score", value: (r) => r[3], show: (r) => r[3].toFixed(3), number: true },
      {
        name: "Best",
        show: (r) => (r[4] < 0 ? "not shown" : W.el("button", { type: "button", class: "link", "aria-label": `Show the best detection of ${d.labels[r[0]][0]}`, onclick: () => W.showDetection(r[4], r[5]) }, "show")),
      },
    ],
    d.species,
    { caption: "Species by number of detections", page: 15, sort: [1, true] },
  );

function ledgerTable(d) {
  const shown = new Map(d.shown.map((s, k) => [s.r, k]));
  const name = (r) => (shown.has(r.index) ? W.el("button", { type: "button", class: "link", onclick: () => W.showRecording(shown.get(r.index)) }, r.path) : r.path);
  return W.table(
    [
      { name: "Recording", value: (r) => r.path, show: d.source ? name : null, wide: true },
      { name: "State", value: (r) => r.state, show: (r) => W.state(r.state) },
      { name: "Recorded", value: (r) => r.recorded_at, show: (r) => r.recorded_at && r.recorded_at.slice(0, 19).replace("T", " ") },
      { name: "Length", value: (r) => r.decoded_s, show: (r) => (r.decoded_s ? W.text.clock(r.decoded_s) : "–"), number: true },
      { name: "Rate", value: (r) => r.sample_rate_hz, show: (r) => W.text.hertz(r.sample_rate_hz), number: true },
      { name: "Channels", value: (r) => r.channels, number: true },
      { name: "Codec", value: (r) => r.codec },
      { name: "Windows", value: (r) => r.windows, number: true },
      { name: "Detections", value: (r) => r.detections, number: true },
      { name: "Best", value: (r) => r.best_score, show: (r) => (r.best_label < 0 ? "–" : W.el("span", {}, W.species(r.best_label), ` ${r.best_score.toFixed(2)}`)), wide: true },
    ],
    d.ledger,
    { caption: "All recordings of the run", page: 25 },
  );
}
