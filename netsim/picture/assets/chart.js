// The LSN curves of one timeline: who has what, on the same axis of time.

const CURVE = { flush: "#1f9e89", commit: "#2f7ed8", ingest: "#7a9a01", disk: "#b07d2b", remote: "#c2255c", write: "#868e96" };
const CHART = 150;

class Chart {
  constructor(view, group) {
    this.view = view;
    this.series = view.run.series.filter(s => s.group === group && s.t.length);
    this.off = new Set();
    this.canvas = document.createElement("canvas");
    this.legend = document.createElement("div");
    this.legend.className = "legend";
    this.group = group;
    view.box.append(this.legend, this.canvas);
    this.canvas.addEventListener("pointerdown", e => view.press(e, null));
    this.canvas.addEventListener("wheel", e => view.wheel(e), { passive: false });
    this.names();
  }

  number(v) { return this.view.run.unit === "LSN" ? lsn(v) : String(v); }

  colour(s) {
    const same = this.series.filter(o => o.name === s.name), n = same.indexOf(s);
    const base = CURVE[s.name] || "#8895a7";
    return { base, dash: [[], [5, 3], [2, 2], [8, 3, 2, 3]][n % 4] };
  }

  names() {
    this.legend.replaceChildren();
    const head = document.createElement("b");
    head.textContent = `${this.view.run.unit} on ${this.group}`;
    this.legend.append(head);
    for (const s of this.series) {
      const span = document.createElement("span"), c = this.colour(s);
      const at = this.view.cursor === null ? s.t.length - 1 : place(s.t, this.view.cursor);
      span.style.color = c.base;
      span.textContent = `${this.view.run.lanes[s.lane].name} ${s.name} ${at < 0 ? "–" : this.number(s.o + s.v[at])}`;
      span.className = this.off.has(s) ? "off" : "";
      span.title = "show or hide";
      span.onclick = () => { this.off.has(s) ? this.off.delete(s) : this.off.add(s); this.draw(); };
      this.legend.append(span);
    }
  }

  draw() {
    this.names();
    const { time, width, run, cursor } = this.view;
    const g = sized(this.canvas, width, CHART);
    g.clearRect(0, 0, width, CHART);
    const live = this.series.filter(s => !this.off.has(s));
    let least = Infinity, most = -Infinity;
    for (const s of live) {
      const a = Math.max(0, place(s.t, time.from)), b = place(s.t, time.to);
      for (let i = a; i <= b; i++) { least = Math.min(least, s.o + s.v[i]); most = Math.max(most, s.o + s.v[i]); }
    }
    if (most < least) return;
    if (most === least) { most += 8; least -= 8; }
    const y = v => CHART - 12 - (v - least) / (most - least) * (CHART - 24);
    g.font = "10px system-ui, DejaVu Sans, sans-serif";
    g.fillStyle = css("--soft");
    g.textBaseline = "middle";
    for (const v of [least, (least + most) / 2, most]) {
      g.fillText(this.number(Math.round(v)), 12, y(v), LABEL - 16);
      g.strokeStyle = css("--line"); g.beginPath(); g.moveTo(LABEL, y(v)); g.lineTo(width, y(v)); g.stroke();
    }
    g.save();
    g.beginPath(); g.rect(LABEL, 0, width - LABEL, CHART); g.clip();
    for (const s of live) this.curve(g, s, y);
    const line = (t, style) => { const x = time.x(t, width); g.setLineDash([]); g.strokeStyle = style; g.lineWidth = 1.5; g.beginPath(); g.moveTo(x, 0); g.lineTo(x, CHART); g.stroke(); };
    if (run.failure >= 0) line(run.failure, css("--wrong"));
    if (cursor !== null) line(cursor, css("--cursor"));
    g.restore();
  }

  curve(g, s, y) {
    const { time, width } = this.view, c = this.colour(s);
    g.strokeStyle = c.base;
    g.setLineDash(c.dash);
    g.lineWidth = s.name === "commit" ? 1.8 : 1.2;
    g.beginPath();
    let i = Math.max(0, place(s.t, time.from)), started = false;
    for (; i < s.t.length && s.t[i] <= time.to; i++) {
      const x = time.x(s.t[i], width), v = y(s.o + s.v[i]);
      if (started) g.lineTo(x, y(s.o + s.v[i - 1]));
      started ? g.lineTo(x, v) : g.moveTo(x, v);
      started = true;
    }
    if (started) g.lineTo(Math.min(width, time.x(this.view.run.end, width)), y(s.o + s.v[i - 1]));
    g.stroke();
    g.setLineDash([]);
  }
}

// place is the index of the last time that is not after t, -1 if all are.
function place(times, t) {
  let a = 0, b = times.length;
  while (a < b) { const m = (a + b) >> 1; times[m] <= t ? a = m + 1 : b = m; }
  return a - 1;
}

function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = height + "px";
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  return g;
}
