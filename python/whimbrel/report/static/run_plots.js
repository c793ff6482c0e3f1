// Plots of a run: species by time of day, and what the workers did.

W.heatMap = (d) => {
  const heat = d.heat;
  if (!d.ledger.some((r) => r.recorded_at)) {
    return [W.note("No recording says when it began. Times are read from file names such as AudioMoth's 20190521_171730.WAV or Song Meter's SITE_20190521_171730.wav, and by predict from the files' headers.")];
  }
  if (!heat.labels.length) return [W.muted("No detections in recordings that say when they began.")];
  let perHour = false;
  const hours = [...Array(24).keys()];
  const rows = heat.labels.map((label) => W.plots.plain(W.plots.short(d.labels[label][0])));
  // An hour without recordings is blank, one without detections is not.
  const value = (k, hour) => (heat.effort_s[hour] ? heat.counts[k][hour] * (perHour ? 3600 / heat.effort_s[hour] : 1) : heat.counts[k][hour] || null);
  const make = (css) => ({
    data: [
      {
        // Names may be equal after they were cut: rows are numbers, the ticks say the names.
        type: "heatmap", x: hours, y: rows.map((_, k) => k), z: rows.map((_, k) => hours.map((hour) => value(k, hour))),
        text: rows.map((name, k) => hours.map((hour) => `${name}, ${hour}:00–${hour + 1}:00<br>${heat.counts[k][hour]} detections in ${W.text.duration(heat.effort_s[hour])}`)),
        hovertemplate: "%{text}<extra></extra>", xgap: 1, ygap: 1, zmin: 0,
        colorscale: [[0, css("--heat-0")], [0.5, css("--heat-1")], [1, css("--heat-2")]],
        colorbar: { thickness: 8, outlinewidth: 0, len: 1, tickfont: { color: css("--muted") }, tickformat: "~s", nticks: 5 },
      },
    ],
    layout: {
      xaxis: { title: { text: "hour of the day" }, dtick: 3, tick0: 0, range: [-0.5, 23.5], showgrid: false, zeroline: false },
      yaxis: { tickvals: rows.map((_, k) => k), ticktext: rows, range: [rows.length - 0.5, -0.5], showgrid: false, zeroline: false },
    },
  });
  const figure = W.plots.add("Detections by species and hour of the day, by the recorders’ clocks", 110 + 24 * rows.length, make);
  const toggle = W.el("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "Per recorded hour");
  toggle.addEventListener("click", () => {
    perHour = !perHour;
    toggle.setAttribute("aria-pressed", String(perHour));
    W.plots.redraw();
  });
  const missing = [
    heat.recordings_without_time ? `${W.text.count(heat.recordings_without_time, "recording")} without a time of day ${heat.recordings_without_time === 1 ? "is" : "are"} left out.` : "",
    heat.species_left_out ? `${W.text.count(heat.species_left_out, "rarer class", "rarer classes")} left out.` : "",
  ].join(" ").trim();
  const columns = [
    { name: "Species", value: (r) => d.labels[r[0]][0], show: (r) => W.species(r[0]), wide: true },
    ...hours.map((hour) => ({ name: String(hour), value: (r) => r[1][hour], number: true })),
  ];
  return [
    W.el("div", { class: "controls" }, toggle, missing && W.muted(missing)),
    figure,
    W.asTable(columns, () => heat.labels.map((label, k) => [label, heat.counts[k]]), { caption: "Detections by species and hour of the day" }),
  ];
};

W.STAGES = [["infer", "inference", "--c1"], ["front_end", "front end", "--c2"], ["decode", "decoding", "--c3"], ["write", "writing", "--c4"], ["wait", "waiting", "--c5"]];

W.workers = (d) => {
  const [s, workers] = [d.summary, (d.settings || {}).workers || 1];
  const stages = s.stages || {};
  const table = W.table(
    [
      { name: "Stage", value: (r) => r[0] },
      { name: "Time of all workers", value: (r) => r[1], show: (r) => W.text.duration(r[1]), number: true },
      { name: "Share", value: (r) => r[2], show: (r) => W.text.percent(r[2]), number: true },
    ],
    (() => {
      const busy = W.STAGES.map(([key, name]) => [name, stages[`${key}_s`] || 0]);
      const total = busy.reduce((sum, r) => sum + r[1], 0) || 1;
      return busy.map(([name, seconds]) => [name, seconds, seconds / total]);
    })(),
    { caption: "Time of the workers by stage" },
  );
  const start = Number.isFinite(stages.start_s) ? W.muted(`Before the first recording was opened: ${W.text.duration(stages.start_s)} (engines, models, probes).`) : null;
  const t = s.timeline;
  if (!t || !(t.bucket_s > 0)) return [W.muted("This run has no record of its workers over time."), table, start];
  const length = Math.max(...W.STAGES.map(([key]) => (t[`${key}_s`] || []).length), 0);
  const x = [...Array(length).keys()].map((i) => i * t.bucket_s);
  const share = (key) => x.map((_, i) => ((t[`${key}_s`] || [])[i] || 0) / (t.bucket_s * workers));
  const make = (css) => ({
    data: W.STAGES.map(([key, name, colour]) => ({
      type: "scatter", mode: "lines", name, x, y: share(key).map((v) => 100 * v), stackgroup: "all", line: { width: 0.5, color: css(colour), shape: "hv" },
      fillcolor: css(colour), hovertemplate: `%{y:.0f} % ${name}<extra></extra>`,
    })),
    layout: {
      hovermode: "x", xaxis: { title: { text: "seconds since work began" }, rangemode: "tozero", showgrid: false },
      yaxis: { title: { text: `% of ${W.text.count(workers, "worker")}` }, range: [0, 105], ticksuffix: " %" },
    },
  });
  const columns = [
    { name: "From", value: (i) => x[i], show: (i) => W.text.duration(x[i]), number: true },
    ...W.STAGES.map(([key, name]) => ({ name, value: (i) => share(key)[i], show: (i) => W.text.percent(share(key)[i], 0), number: true })),
  ];
  return [W.plots.add("Utilization of the workers over time, by stage", 300, make), W.asTable(columns, () => [...x.keys()], { caption: "Utilization over time" }), table, start];
};
