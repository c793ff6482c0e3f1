// A certificate: the verdict first, then what it rests on, then each product.

W.quantize = () => {
  const c = W.data.data;
  W.title("INT8 against FP32", `${c.cpu || ""}${c.integer_path ? `, ${c.integer_path}` : ""}`);
  const products = c.products || [];
  const s = c.speed;
  W.section("summary", "Verdict",
    W.el("p", { class: `verdict ${c.keep_fp32 ? "keep" : "gain"}` }, c.verdict),
    W.tiles([
      ["INT8", `${W.text.number(s.int8_ms)} ms`, `a window, by ${c.engine || "–"}`],
      ["FP32", `${W.text.number(s.fp32_ms)} ms`, `a window, by ${c.fp32_engine || "–"}`],
      ["Latency", `${W.text.fixed(s.ratio, 2)} ×`, Number.isFinite(s.ratio_low) ? `${W.text.fixed(s.ratio_low, 2)} to ${W.text.fixed(s.ratio_high, 2)}, 95 %` : null],
      ["Throughput", `${W.text.fixed(s.throughput_ratio, 2)} ×`, `${W.text.number(s.int8_windows_per_s)} against ${W.text.number(s.fp32_windows_per_s)} windows/s`],
      ["Integer share", W.text.percent(c.integer_macs_share, 0), "of the multiply-accumulates"],
    ]));
  W.section("agreement", "Agreement", W.tiles([
    ["Top-1", W.text.percent(c.top1_agreement), `of ${W.text.count(c.certification_windows || 0, "window")}`],
    ["Top-1, heard", W.text.percent(c.top1_agreement_confident), `of ${W.text.count(c.confident_windows || 0, "window")} with a call`],
    ["Detections F1", W.text.fixed(c.detections_f1, 3)],
    c.macro_roc_auc ? ["ROC-AUC", W.text.fixed(c.macro_roc_auc.int8, 4), `FP32 ${W.text.fixed(c.macro_roc_auc.fp32, 4)}`] : null,
    ["Drop", W.text.fixed(c.drop, 4), `${W.text.number(c.max_drop)} allowed`],
  ]), W.el("h3", {}, "Signal to noise of the outputs"), W.table([
    { name: "Output", value: (r) => r[0], wide: true },
    { name: "SQNR", value: (r) => r[1], show: (r) => (r[1] === null ? "the same" : `${r[1].toFixed(1)} dB`), number: true },
  ], Object.entries(c.sqnr_db || {}), { caption: "Signal to quantization noise" }));
  W.section("layers", "Layers", ...layers(products));
  W.section("blocks", "Blocks", (c.blocks || []).length ? blockTable(c.blocks) : W.muted("The certificate lists no blocks."));
  W.section("how", "How it was made", W.facts([
    ["Observer", c.observer], ["Observers of blocks", Object.entries(c.observers_of_blocks || {}).map(([name, n]) => `${name} ${n}`).join(", ")], ["Weights for", c.isa],
    ["Calibrated on", W.text.count(c.calibration_windows || 0, "window")], ["Certified on", W.text.count(c.certification_windows || 0, "window")], ["Narrowed channels", c.narrowed_channels],
  ]), W.table([
    { name: "Step", value: (r) => r[0] },
    { name: "Time", value: (r) => r[1], show: (r) => W.text.duration(r[1]), number: true },
  ], Object.entries(c.step_s || {}), { caption: "Time of each step", sort: [1, true] }));
};

const productTable = (products) => W.table([
  { name: "Layer", value: (q) => q.name, wide: true },
  { name: "Type", value: (q) => q.type },
  { name: "MACs", value: (q) => q.macs, show: (q) => (q.macs ? `${W.text.number(q.macs / 1e6)} M` : "–"), number: true },
  { name: "FP32", value: (q) => q.fp32_ms, show: (q) => W.text.fixed(q.fp32_ms, 3), number: true },
  { name: "INT8", value: (q) => q.int8_ms, show: (q) => W.text.fixed(q.int8_ms, 3), number: true },
  { name: "Runs as", value: (q) => (q.integer ? "integers" : "float") },
  { name: "Kernel, or why float", value: (q) => (q.integer ? q.kernel : q.why_float) || "", wide: true },
], products, { caption: "Layers in the order of the network; FP32 and INT8 in ms", page: 25, mark: (q) => !q.integer && "float" });

function layers(products) {
  if (!products.length) return [W.muted("The certificate lists no layers.")];
  const timed = products.some((q) => q.fp32_ms > 0 || q.int8_ms > 0);
  const integers = products.filter((q) => q.integer).length;
  const lead = W.el("p", {}, `${integers} of ${products.length} products run as integers.`);
  if (!timed) return [lead, W.muted("The engine’s profile gave no times for layers."), productTable(products)];
  const names = products.map((q) => W.plots.plain(W.plots.short(q.name, window.innerWidth < 700 ? 16 : 34)));
  const bar = (css, name, key, colour, which) => ({
    type: "bar", orientation: "h", name, offsetgroup: key, x: products.map((q) => (which(q) ? q[key] || null : null)), y: products.map((_, i) => i), marker: { color: css(colour) },
    text: products.map((q) => W.plots.plain(q.name)), textposition: "none", hovertemplate: `%{text}<br>${name}: %{x:.3f} ms<extra></extra>`,
  });
  const plot = W.plots.add("Milliseconds of each layer in the order of the network, FP32 above INT8", 120 + 24 * products.length, (css) => ({
    data: [bar(css, "FP32", "fp32_ms", "--c5", () => true), bar(css, "INT8, integers", "int8_ms", "--c1", (q) => q.integer), bar(css, "INT8 model, in float", "int8_ms", "--c4", (q) => !q.integer)],
    layout: {
      barmode: "group", bargap: 0.25, xaxis: { title: { text: "ms" }, rangemode: "tozero", side: "top" },
      yaxis: { tickvals: products.map((_, i) => i), ticktext: names, range: [products.length - 0.5, -0.5], showgrid: false, zeroline: false }, margin: { l: 12, r: 12, t: 90, b: 12 }, legend: { orientation: "h", x: 0, y: 1, yanchor: "top", yref: "container" },
    },
  }));
  return [lead, plot, productTable(products)];
}

const blockTable = (blocks) => W.table([
  { name: "Block", value: (b) => b.i, number: true },
  { name: "Layers", value: (b) => b.products.length ?? b.products, number: true },
  { name: "Time, INT8 by float", value: (b) => b.time_ratio, show: (b) => W.text.fixed(b.time_ratio, 3), number: true },
  { name: "Share of the noise", value: (b) => b.noise_share, show: (b) => W.text.percent(b.noise_share), number: true },
  { name: "First and last layer", value: (b) => (Array.isArray(b.products) ? [b.products[0], b.products.at(-1)].join(" … ") : ""), wide: true },
], blocks.map((b, i) => ({ ...b, i: i + 1 })), { caption: "Blocks, each put back to float alone" });
