// One recording: spectrogram, detections in a lane for each species, and what is known of the chosen one.

W.LANES = 8;

/** Detections [{i, start, end, label, score}] of a row of the page's data. */
W.detectionsOf = (shown) => {
  const found = [];
  for (let i = 0; i < shown.d.length; i += 4) {
    found.push({ i: i / 4, start: shown.d[i], end: shown.d[i + 1], label: shown.d[i + 2], score: shown.d[i + 3] });
  }
  return found;
};

/**
 * Fills an article with a recording. keep: (detection) => bool is the filter.
 * Returns {choose(i, focus), focused()}: choose a detection by its number; does it hold the focus?
 */
W.timeline = (article, position, keep) => {
  const shown = W.data.shown[position];
  const row = W.data.ledger[shown.r];
  const length = shown.seconds || row.decoded_s || Math.max(1, ...shown.d.filter((_, i) => i % 4 === 1));
  const detections = W.detectionsOf(shown).filter(keep);
  const clips = new Map((shown.clips || []).map(([start, end, name]) => [`${start}-${end}`, name]));
  const began = row.recorded_at ? secondOfDay(row.recorded_at) : null;
  const buttons = new Map();
  let chosen = null;
  let zoom = 1;
  let audio = null;

  const strip = W.el("div", { class: "strip" });
  const playhead = W.el("div", { class: "playhead", hidden: true });
  const span = W.el("div", { class: "span", hidden: true });
  const detail = W.el("div", { class: "detail", "aria-live": "polite" });
  const lanesBox = W.el("div", { class: "lanes", role: "group", "aria-label": `Detections in ${row.path}. Arrow keys move between them, Enter plays.` });
  const namesBox = W.el("div", { class: "lane-names", "aria-hidden": "true" });
  const at = (s) => `${(100 * Math.min(Math.max(s / length, 0), 1)).toFixed(3)}%`;

  function picture() {
    if (!shown.size) return W.el("p", { class: "no-picture muted" }, whyNoPicture(row, shown));
    const image = W.el("img", { alt: `Spectrogram of ${row.path}`, loading: "lazy", decoding: "async", width: shown.size[0], height: shown.size[1] });
    image.src = W.media(`s${position}`);
    return image;
  }

  function axis() {
    const ticks = W.timeTicks(length, 6 * zoom);
    return W.el("div", { class: "axis", "aria-hidden": "true" }, ticks.map((t) => W.el("span", { style: { left: at(t) } }, began === null ? W.text.clock(t) : W.text.clock((began + t) % 86400))));
  }

  function lanes() {
    const counts = new Map();
    for (const d of detections) counts.set(d.label, (counts.get(d.label) || 0) + 1);
    const labels = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a - b);
    const own = labels.slice(0, labels.length > W.LANES ? W.LANES - 1 : W.LANES);
    const rest = labels.slice(own.length);
    namesBox.replaceChildren(...own.map((label) => W.el("div", { title: W.data.labels[label][0] }, W.data.labels[label][0])), ...(rest.length ? [W.el("div", {}, `${rest.length} others`)] : []));
    const boxes = own.concat(rest.length ? [-1] : []).map(() => W.el("div", { class: "lane" }));
    for (const d of detections) {
      const lane = own.includes(d.label) ? own.indexOf(d.label) : own.length;
      d.lane = lane;
      const name = W.data.labels[d.label][0];
      const button = W.el("button", {
        type: "button", class: "detection", tabindex: "-1", "data-i": d.i, title: `${name}, ${W.text.clock(d.start)}, ${d.score.toFixed(2)}`,
        "aria-label": `${name}, ${W.text.clock(d.start, true)} to ${W.text.clock(d.end, true)}, score ${d.score.toFixed(2)}${clips.has(clipKey(d)) ? "" : ", no clip"}`,
        style: { left: at(d.start), width: at(Math.min(d.end, length) - d.start) },
      });
      button.style.setProperty("--score", String(Math.min(1, 0.3 + 0.7 * d.score)));
      buttons.set(d.i, button);
      boxes[lane].append(button);
    }
    lanesBox.replaceChildren(...boxes);
    if (detections.length) buttons.get(detections[0].i).tabIndex = 0;
  }

  const clipKey = (d) => `${d.start}-${d.end}`;

  function choose(i, focus = false) {
    const d = detections.find((x) => x.i === i) || detections[0];
    if (!d) return;
    for (const [j, button] of buttons) {
      button.tabIndex = j === d.i ? 0 : -1;
      if (j === d.i) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    if (focus) {
      buttons.get(d.i).focus({ preventScroll: true });
      reveal(d);
    }
    if (chosen === d) return;
    chosen = d;
    showDetail(d);
  }

  /** Scrolls sideways only. */
  function reveal(d) {
    const scroller = strip.parentElement;
    const [left, right] = [d.start, d.end].map((s) => (s / length) * strip.offsetWidth);
    if (left < scroller.scrollLeft || right > scroller.scrollLeft + scroller.clientWidth) scroller.scrollLeft = left - scroller.clientWidth / 3;
  }

  function showDetail(d) {
    const clip = clips.get(clipKey(d));
    playhead.hidden = true;
    span.hidden = false;
    Object.assign(span.style, { left: at(d.start), width: at(Math.min(d.end, length) - d.start) });
    audio = clip ? W.el("audio", { controls: true, preload: "metadata", src: W.media(clip), "aria-label": `Clip of ${W.data.labels[d.label][0]}` }) : null;
    if (audio) followPlay(audio, Math.max(0, d.start - Math.max(0, 2 - (d.end - d.start)) / 2)) // as clip_span of media.py cut it;
    const same = detections.filter((x) => x !== d && x.start < d.end && x.end > d.start).slice(0, 6);
    const step = (by, name) => W.el("button", { type: "button", class: "quiet", onclick: () => choose(detections[(detections.indexOf(d) + by + detections.length) % detections.length].i) }, name);
    detail.replaceChildren(
      W.el("p", { class: "what" }, W.species(d.label), W.el("span", { class: "score" }, d.score.toFixed(3))),
      W.el("p", { class: "when" }, `${W.text.clock(d.start, true)} – ${W.text.clock(d.end, true)}`, began === null ? "" : `, at ${W.text.clock(Math.round(began + d.start) % 86400)} by the recorder’s clock`),
      audio || W.el("p", { class: "muted no-clip" }, shown.size ? "No clip in this page." : "No clip: the recording was not read."),
      same.length ? W.el("p", { class: "muted" }, "At the same time: ", same.map((x, k) => [k ? ", " : "", `${W.data.labels[x.label][0]} ${x.score.toFixed(2)}`])) : null,
      W.el("p", { class: "steps" }, step(-1, "Previous"), step(1, "Next"), W.el("span", { class: "muted" }, `${detections.indexOf(d) + 1} of ${detections.length}`)),
    );
  }

  function followPlay(player, from) {
    player.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
    });
    player.addEventListener("timeupdate", () => {
      playhead.hidden = player.ended;
      playhead.style.left = at(from + player.currentTime);
    });
  }

  function move(key) {
    const k = detections.indexOf(chosen || detections[0]);
    const d = detections[k];
    if (key === "Home") return detections[0];
    if (key === "End") return detections[detections.length - 1];
    if (key === "ArrowRight") return detections[k + (chosen ? 1 : 0)];
    if (key === "ArrowLeft") return detections[k - 1];
    const by = key === "ArrowUp" ? -1 : 1;
    for (let lane = d.lane + by; lane >= 0 && lane <= W.LANES; lane += by) {
      const there = detections.filter((x) => x.lane === lane);
      if (there.length) return there.reduce((a, b) => (Math.abs(b.start - d.start) < Math.abs(a.start - d.start) ? b : a));
    }
    return undefined;
  }

  lanesBox.addEventListener("click", (event) => {
    const button = event.target.closest(".detection");
    if (button) choose(Number(button.dataset.i));
  });
  lanesBox.addEventListener("keydown", (event) => {
    if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      const next = move(event.key);
      if (next) choose(next.i, true);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(Number(event.target.dataset.i));
      if (audio && audio.paused) audio.play().catch(() => {}); // a pause at once after it is no failure
      else if (audio) audio.pause();
    }
  });

  function setZoom(value) {
    zoom = value;
    strip.style.width = `${100 * zoom}%`;
    strip.querySelector(".axis").replaceWith(axis());
    [out.disabled, closer.disabled] = [zoom <= 1, zoom >= 64];
    if (chosen) reveal(chosen);
  }
  const out = W.el("button", { type: "button", class: "quiet", "aria-label": "Shorter timeline", disabled: true, onclick: () => setZoom(zoom / 2) }, "−");
  const closer = W.el("button", { type: "button", class: "quiet", "aria-label": "Longer timeline", onclick: () => setZoom(zoom * 2) }, "+");

  lanes();
  strip.append(W.el("div", { class: "picture" }, picture(), span, playhead), axis(), lanesBox);
  const facts = [row.recorded_at && row.recorded_at.slice(0, 19).replace("T", " "), W.text.clock(length), row.sample_rate_hz && W.text.hertz(row.sample_rate_hz), W.text.count(detections.length, "detection"), row.state === "done" ? null : row.state];
  article.replaceChildren(
    W.el(
      "header",
      {},
      W.el("h3", {}, W.el("span", { class: "muted" }, W.text.folder(row.path)), W.text.file(row.path)),
      W.el("p", { class: "muted" }, facts.filter(Boolean).join(" · ")),
      W.el("div", { class: "zoom" }, out, closer),
    ),
    W.el(
      "div",
      { class: "timeline" },
      W.el("div", { class: "names" }, W.el("div", { class: "frequencies", "aria-hidden": "true" }, (shown.ticks || []).map(([khz, share]) => W.el("span", { style: { bottom: `${100 * share}%` } }, `${khz} kHz`))), namesBox),
      W.el("div", { class: "scroller", tabindex: "-1" }, strip),
    ),
    detections.length ? detail : W.muted("Nothing detected here."),
  );
  if (detections.length) detail.append(W.el("p", { class: "muted" }, "Choose a detection to see and hear it."));
  return { choose, busy: () => article.contains(document.activeElement) || (audio !== null && !audio.paused) };
};

function whyNoPicture(row, shown) {
  const unreadable = (W.data.unreadable || []).find(([index]) => index === shown.r);
  if (unreadable) return `No spectrogram: ${unreadable[1]}`;
  return shown.seconds ? "No spectrogram: the page's size did not allow it." : "No spectrogram: the recording was not found.";
}

function secondOfDay(time) {
  const [h, m, s] = time.slice(11, 19).split(":").map(Number);
  return h * 3600 + m * 60 + (s || 0);
}

/** Round times, at most so many. */
W.timeTicks = (length, most) => {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800].find((s) => length / s <= most) || 86400;
  return [...Array(Math.floor(length / step - 1e-9) + 1).keys()].map((i) => i * step);
};
