// What models cost on a machine: every form, engine, batch and number of workers.

W.bench = () => {
  const b = W.data.data;
  const cpu = b.cpu;
  const rows = b.models.flatMap((m) => m.rows.map((r, i) => ({ ...r, model: m, best: m.best === i, form_facts: m.forms[r.form] || {} })));
  const good = rows.filter((r) => !r.error);
  W.title("Bench", `${W.text.count(b.models.length, "model")} on ${cpu.model || "a CPU"}, ${W.text.count(rows.length, "setting")}.`);
  W.section("summary", "Summary", benchTiles(b), W.facts([
    ["Engines", Object.entries(b.engines || {}).map(([name, version]) => `${name} ${version}`).join(", ")],
    ["Integer path", cpu.integer_path],
    ["Measured", b.rounds && `${b.rounds} rounds, ${W.text.duration(b.seconds_a_row)} a row`],
  ]), cpu.steady === false ? W.note(`The machine was unsteady: the same loop varied by ${W.text.percent(cpu.unsteadiness, 0)}. Close rows cannot be ranked.`) : null,
    W.el("h3", {}, "Best setting of each model"), bestTable(b.models),
    b.models.map((m) => m.ranking && W.muted(b.models.length > 1 ? `${m.name}: ${m.ranking}` : m.ranking)));
  if (good.length) {
    W.section("throughput", "Throughput", throughputPlot(good));
    W.section("latency", "Latency", latencyPlot(good));
    W.section("models", "Parameters against latency", ...parametersPlot(b.models));
  }
  W.section("rows", "All settings", benchTable(rows));
  const failed = rows.filter((r) => r.error);
  W.section("failed", "Failed", failed.length ? failedRows(failed) : W.muted("Every setting was measured."));
};

const rowName = (r) => `${r.file} · ${r.engine} · batch ${r.batch} · ${r.workers}w`;

const benchTiles = (b) => W.tiles([
  ["Cores", `${b.cpu.cores_allowed || "–"}`, b.cpu.cores_online ? `of ${b.cpu.cores_online}` : null],
  ["Peak, FP32", `${W.text.number(b.cpu.fma_per_s / 1e9)} G`, "operations a second and core"],
  b.cpu.integer_per_s ? ["Peak, INT8", `${W.text.number(b.cpu.integer_per_s / 1e9)} G`, `operations, ${b.cpu.integer_loop || ""}`] : null,
  ["Steadiness", W.text.percent(b.cpu.unsteadiness, 0), b.cpu.steady ? "steady" : "unsteady"],
]);

const bestTable = (models) => W.table([
  { name: "Model", value: (m) => m.name, wide: true },
  { name: "Engine", value: (m) => best(m).engine },
  { name: "Precision", value: (m) => best(m).precision },
  { name: "Batch", value: (m) => best(m).batch, number: true },
  { name: "Windows/s", value: (m) => best(m).windows_per_s, show: (m) => W.text.number(best(m).windows_per_s), number: true },
  { name: "p50", value: (m) => best(m).latency_p50_ms, show: (m) => milliseconds(best(m).latency_p50_ms), number: true },
  { name: "Memory", value: (m) => best(m).peak_rss_bytes, show: (m) => W.text.bytes(best(m).peak_rss_bytes), number: true },
  { name: "Parameters", value: (m) => formOf(m).parameters, show: (m) => millions(formOf(m).parameters), number: true },
], models, { caption: "Best setting of each model" });

const best = (m) => m.rows[m.best] || {};
const formOf = (m) => m.forms[best(m).form] || m.forms[0] || {};
const milliseconds = (ms) => (Number.isFinite(ms) ? `${W.text.number(ms)} ms` : "–");
const millions = (n) => (n ? `${W.text.number(n / 1e6)} M` : "–");
const axisName = (r) => W.plots.plain(W.plots.short(rowName(r), window.innerWidth < 700 ? 22 : 52));

/** Rows from top to bottom; y holds numbers because names may be equal when they were cut. */
const rowAxis = (rows) => ({ tickvals: rows.map((_, i) => i), ticktext: rows.map(axisName), range: [rows.length - 0.5, -0.5], zeroline: false, showgrid: false });

function throughputPlot(rows) {
  const sorted = [...rows].sort((a, b) => b.windows_per_s - a.windows_per_s);
  return W.plots.add("Windows a second of all workers, with the 96 % interval of the median; the best setting of each model is marked", 90 + 22 * sorted.length, (css) => ({
    data: [{
      type: "scatter", mode: "markers", x: sorted.map((r) => r.windows_per_s), y: sorted.map((_, i) => i),
      error_x: { type: "data", symmetric: false, array: sorted.map((r) => r.windows_per_s_high - r.windows_per_s), arrayminus: sorted.map((r) => r.windows_per_s - r.windows_per_s_low), color: css("--muted"), thickness: 1.2, width: 3 },
      marker: { size: 9, color: sorted.map((r) => (r.best ? css("--mark") : css("--c1"))) },
      text: sorted.map((r) => W.plots.plain(rowName(r))), hovertemplate: "%{text}<br>%{x:.1f} windows/s<extra></extra>",
    }],
    layout: { xaxis: { title: { text: "windows/s" }, rangemode: "tozero" }, yaxis: rowAxis(sorted), showlegend: false },
  }));
}

function latencyPlot(rows) {
  const sorted = [...rows].sort((a, b) => a.latency_p50_ms / a.batch - b.latency_p50_ms / b.batch);
  const series = [["p50", "--c1", "circle"], ["p90", "--c4", "diamond"], ["p99", "--c6", "line-ns-open"]];
  return W.plots.add("Milliseconds of one inference of the whole batch: median, 90th and 99th percentile", 120 + 22 * sorted.length, (css) => ({
    data: series.map(([p, colour, symbol]) => ({
      type: "scatter", mode: "markers", name: p, x: sorted.map((r) => r[`latency_${p}_ms`]), y: sorted.map((_, i) => i),
      marker: { size: 9, symbol, color: css(colour), line: { width: 2, color: css(colour) } }, text: sorted.map((r) => W.plots.plain(rowName(r))),
      hovertemplate: `%{text}<br>${p} %{x:.2f} ms<extra></extra>`,
    })),
    layout: { xaxis: { title: { text: "ms an inference" }, ...W.plots.logAxis(sorted.flatMap((r) => [r.latency_p50_ms, r.latency_p99_ms])) }, yaxis: rowAxis(sorted) },
  }));
}

function parametersPlot(models) {
  const forms = models.flatMap((m) => m.forms.map((f, i) => {
    const rows = m.rows.filter((r) => r.form === i && !r.error);
    if (!rows.length || !f.parameters) return null;
    const row = rows.reduce((a, b) => (b.latency_p50_ms / b.batch < a.latency_p50_ms / a.batch ? b : a));
    return { key: f.hash_xxh3_128 || f.file, name: W.text.file(f.file), precision: f.precision, parameters: f.parameters, bytes: f.file_bytes, ms: row.latency_p50_ms / row.batch, engine: row.engine, batch: row.batch };
  }).filter(Boolean));
  // A form may have been measured with two models; the faster time counts.
  const points = forms.filter((p) => forms.every((q) => q === p || q.key !== p.key || p.ms < q.ms || (p.ms === q.ms && forms.indexOf(p) < forms.indexOf(q))));
  const table = W.table([
    { name: "Form", value: (p) => p.name, wide: true },
    { name: "Precision", value: (p) => p.precision },
    { name: "Parameters", value: (p) => p.parameters, show: (p) => millions(p.parameters), number: true },
    { name: "File", value: (p) => p.bytes, show: (p) => W.text.bytes(p.bytes), number: true },
    { name: "ms a window", value: (p) => p.ms, show: (p) => W.text.number(p.ms), number: true },
    { name: "by", value: (p) => `${p.engine}, batch ${p.batch}` },
  ], points, { caption: "Parameters and latency of each form" });
  if (!points.length) return [W.muted("No form says how many parameters it has.")];
  const colours = new Map([...new Set(points.map((p) => p.precision))].map((p, i) => [p, `--c${1 + ((i * 3) % 6)}`]));
  const most = Math.max(...points.map((p) => p.bytes || 1));
  const plot = W.plots.add("Parameters of each form against milliseconds a window in its fastest setting; the area is the file's size", 420, (css) => ({
    data: [...colours.keys()].map((precision) => {
      const of = points.filter((p) => p.precision === precision);
      return {
        type: "scatter", mode: "markers+text", name: W.plots.plain(precision), x: of.map((p) => p.parameters), y: of.map((p) => p.ms), cliponaxis: false,
        text: of.map((p) => W.plots.plain(W.plots.short(p.name, 22))), textposition: "top center", textfont: { size: 11, color: css("--muted") },
        marker: { size: of.map((p) => 8 + 36 * Math.sqrt((p.bytes || 1) / most)), color: css(colours.get(precision)), opacity: 0.8, line: { width: 1, color: css("--paper") } },
        customdata: of.map((p) => `${W.text.bytes(p.bytes)}, ${p.engine}, batch ${p.batch}`), hovertemplate: "%{text}<br>%{x:.3s} parameters<br>%{y:.2f} ms a window<br>%{customdata}<extra></extra>",
      };
    }),
    layout: { margin: { l: 12, r: 40, t: 40, b: 12 }, xaxis: { title: { text: "parameters" }, ...W.plots.logAxis(points.map((p) => p.parameters)) }, yaxis: { title: { text: "ms a window" }, ...W.plots.logAxis(points.map((p) => p.ms)) }, legend: { orientation: "h", x: 0, y: 1.05, yanchor: "bottom", itemsizing: "constant" } },
  }));
  return [plot, table];
}

const agrees = (r) => (r.sqnr_db === null || r.sqnr_db === undefined ? "same" : `${W.text.number(r.sqnr_db)} dB`);

const benchTable = (rows) => W.table([
  { name: "File", value: (r) => r.file, wide: true },
  { name: "Precision", value: (r) => r.precision },
  { name: "Engine", value: (r) => r.engine },
  { name: "Batch", value: (r) => r.batch, number: true },
  { name: "Workers", value: (r) => r.workers, number: true },
  { name: "Windows/s", value: (r) => r.windows_per_s, show: (r) => W.text.fixed(r.windows_per_s, 1), number: true },
  { name: "Interval", value: (r) => r.windows_per_s_low, show: (r) => (r.error ? "–" : `${r.windows_per_s_low.toFixed(1)}–${r.windows_per_s_high.toFixed(1)}`), number: true },
  { name: "p50 ms", value: (r) => r.latency_p50_ms, show: (r) => W.text.fixed(r.latency_p50_ms, 2), number: true },
  { name: "p90 ms", value: (r) => r.latency_p90_ms, show: (r) => W.text.fixed(r.latency_p90_ms, 2), number: true },
  { name: "p99 ms", value: (r) => r.latency_p99_ms, show: (r) => W.text.fixed(r.latency_p99_ms, 2), number: true },
  { name: "Start", value: (r) => r.start_s, show: (r) => W.text.duration(r.start_s), number: true },
  { name: "Memory", value: (r) => r.peak_rss_bytes, show: (r) => W.text.bytes(r.peak_rss_bytes), number: true },
  { name: "Of peak", value: (r) => r.peak_share, show: (r) => W.text.percent(r.peak_share, 0), number: true },
  { name: "Agrees", value: (r) => (r.error ? null : (r.sqnr_db ?? Infinity)), show: (r) => (r.error ? W.el("span", { class: "bad" }, "failed") : agrees(r)), number: true },
  { name: "Same best class", value: (r) => r.top1, show: (r) => W.text.percent(r.top1), number: true },
], rows, { caption: "All settings that were measured", page: 40, mark: (r) => r.best && "best" });

const failedRows = (rows) => W.table([
  { name: "Setting", value: rowName, wide: true },
  { name: "Why", value: (r) => r.error, wide: true },
], rows, { caption: "Settings that could not be measured" });
