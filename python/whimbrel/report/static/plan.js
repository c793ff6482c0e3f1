// A plan: what will run, what it is expected to score and take, and what else there was.

W.plan = () => {
  const { plan: p, member: members, cascade, pareto = [] } = W.data.data;
  W.title("Plan", `${W.text.count(members.length, "member")} within ${W.text.duration(p.budget_s)}: ${p.metric || "score"} ${W.text.fixed(p.expected_score, 4)} expected.`);
  W.section("summary", "Summary", W.tiles([
    ["Expected score", W.text.fixed(p.expected_score, 4), Number.isFinite(p.score_low) ? `${W.text.fixed(p.score_low, 4)} to ${W.text.fixed(p.score_high, 4)}, 90 %` : null],
    ["Expected time", W.text.duration(p.expected_wall_s), Number.isFinite(p.wall_margin_s) ? `± ${W.text.duration(p.wall_margin_s)}` : null],
    ["Budget", W.text.duration(p.budget_s), p.budget_s ? `${W.text.percent(p.expected_wall_s / p.budget_s, 0)} of it used` : null],
    ["Workload", W.text.duration(p.workload_s), Number.isFinite(p.workload_windows) ? W.text.count(p.workload_windows, "window") : null],
    ["Way chosen", p.method || "–"],
  ]), W.facts([["CPU", p.cpu && `${p.cpu}, ${W.text.count(p.cores || 0, "core")}`], ["Metric", p.metric], ["Made", p.created], ["By whimbrel", p.whimbrel]]));
  W.section("pareto", "Score against time", pareto.length ? paretoPlot(p, pareto) : W.muted("The plan holds no Pareto front."), pareto.length ? paretoTable(pareto) : null);
  W.section("members", "Members", memberPlan(members, cascade), cascade ? cascadeFacts(cascade, members) : null);
  W.section("methods", "Ways to choose", methodTable(p));
};

function paretoPlot(p, pareto) {
  const points = [...pareto].sort((a, b) => a.wall_s - b.wall_s);
  return W.plots.add("What each time buys: the best ensemble found for it, the chosen plan with its intervals, and the budget. Scores of the front are those on the recordings that chose, and flatter a little", 440, (css) => ({
    data: [
      {
        type: "scatter", mode: "lines+markers", name: "Pareto front", x: points.map((q) => q.wall_s), y: points.map((q) => q.score), line: { shape: "hv", color: css("--c1"), width: 1.5 }, marker: { size: 8, color: css("--c1") },
        text: points.map((q) => W.plots.plain((q.members || []).join(", "))), hovertemplate: "%{text}<br>%{x:.3s} s, score %{y:.4f}<extra></extra>",
      },
      {
        type: "scatter", mode: "markers", name: "chosen plan", x: [p.expected_wall_s], y: [p.expected_score], marker: { size: 13, symbol: "diamond", color: css("--mark") },
        error_y: Number.isFinite(p.score_low) ? { type: "data", symmetric: false, array: [p.score_high - p.expected_score], arrayminus: [p.expected_score - p.score_low], color: css("--mark"), thickness: 1.3 } : { visible: false },
        error_x: Number.isFinite(p.wall_margin_s) ? { type: "data", array: [p.wall_margin_s], color: css("--mark"), thickness: 1.3 } : { visible: false },
        hovertemplate: "chosen: %{x:.3s} s, score %{y:.4f}<extra></extra>",
      },
    ],
    layout: {
      xaxis: { title: { text: "seconds for the workload" }, ...W.plots.logAxis([...points.map((q) => q.wall_s), p.expected_wall_s, p.budget_s].filter((t) => t > 0)) }, yaxis: { title: { text: W.plots.plain(p.metric || "score") }, zeroline: false },
      shapes: p.budget_s > 0 ? [{ type: "line", x0: p.budget_s, x1: p.budget_s, yref: "paper", y0: 0, y1: 1, line: { dash: "dot", color: css("--muted"), width: 1.5 } }] : [],
      annotations: p.budget_s > 0 ? [{ x: Math.log10(p.budget_s), y: 0, yref: "paper", text: "budget", showarrow: false, xanchor: "right", yanchor: "bottom", xshift: -4, font: { color: css("--muted") } }] : [],
    },
  }));
}

const paretoTable = (pareto) => W.table([
  { name: "Time", value: (q) => q.wall_s, show: (q) => W.text.duration(q.wall_s), number: true },
  { name: "Score", value: (q) => q.score, show: (q) => q.score.toFixed(4), number: true },
  { name: "Members", value: (q) => (q.members || []).join(", "), wide: true },
], pareto, { caption: "The Pareto front", sort: [0, false] });

function memberPlan(members, cascade) {
  const total = members.reduce((sum, m) => sum + m.weight, 0) || 1;
  const cost = members.reduce((sum, m) => sum + m.cost_s, 0) || 1;
  return W.table([
    { name: "Member", value: (m) => m.name, show: (m) => W.el("span", {}, m.name, cascade && members[cascade.gate] === m ? W.el("span", { class: "muted" }, " gate") : null), wide: true },
    { name: "Engine", value: (m) => m.engine },
    { name: "Precision", value: (m) => m.precision },
    { name: "Batch", value: (m) => m.batch, number: true },
    { name: "Share", value: (m) => m.weight, show: (m) => W.text.percent(m.weight / total, 0), number: true },
    { name: "Cost a window", value: (m) => m.cost_s, show: (m) => W.text.duration(m.cost_s), number: true },
    { name: "Of the cost", value: (m) => m.cost_s, show: (m) => W.text.percent(m.cost_s / cost, 0), number: true },
    { name: "Gain", value: (m) => m.gain, show: (m) => m.gain.toFixed(4), number: true },
    { name: "Model", value: (m) => m.model, wide: true },
  ], members, { caption: "Members of the plan" });
}

const cascadeFacts = (c, members) => [
  W.el("h3", {}, "Cascade"),
  W.muted(`${(members[c.gate] || {}).name || "The gate"} scores every window. Where its strongest class reaches ${W.text.number(c.threshold)}, the others run too: ${W.text.percent(c.expected_share)} of the windows expected.`),
];

function methodTable(p) {
  const ways = ["single", "equal", "weighted", "cascade"].map((way) => [way, p[`best_${way}_score`]]).filter((w) => Number.isFinite(w[1]));
  const words = { single: "best single model", equal: "best ensemble of equal weights", weighted: "best weights", cascade: "best cascade" };
  if (!ways.length) return W.muted("The plan does not say what other ways would score.");
  const top = Math.max(...ways.map((w) => w[1]));
  return W.table([
    { name: "Way", value: (w) => words[w[0]], show: (w) => W.el("span", {}, words[w[0]], w[0] === p.method ? W.el("strong", {}, " (chosen)") : null), wide: true },
    { name: "Expected score", value: (w) => w[1], show: (w) => w[1].toFixed(4), number: true },
    { name: "Below the best", value: (w) => top - w[1], show: (w) => (top === w[1] ? "–" : (top - w[1]).toFixed(4)), number: true },
  ], ways, { caption: "Ways to choose an ensemble, on recordings that did not choose", mark: (w) => w[0] === p.method && "best" });
}
