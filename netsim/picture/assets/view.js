// A view is one run on the page; all views share one span of time.

class Time {
  constructor(from, to, end) { this.from = from; this.to = to; this.end = end; }
  x(t, width) { return LABEL + (t - this.from) / (this.to - this.from) * (width - LABEL); }
  at(x, width) { return this.from + (x - LABEL) / (width - LABEL) * (this.to - this.from); }
  set(from, to) {
    const span = Math.min(Math.max(to - from, 20), this.end * 1.05);
    const mid = (from + to) / 2;
    this.from = Math.max(-this.end * .02, Math.min(mid - span / 2, this.end * 1.03 - span));
    this.to = this.from + span;
  }
  zoom(factor, around) {
    this.set(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }
  pan(share) { const d = (this.to - this.from) * share; this.set(this.from + d, this.to + d); }
}

class View {
  constructor(run, time, shown, app) {
    Object.assign(this, { run, time, shown, app, cursor: null, selected: null, charts: [] });
    this.box = document.createElement("section");
    this.box.className = "view";
    const head = document.createElement("h2");
    head.textContent = `${run.title}: ${run.verdict}`;
    head.className = run.failed ? "failed" : "passed";
    this.head = head;
    this.overview = document.createElement("canvas");
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "lanes of all processes; the list of events beside has the same in words");
    this.box.append(head, this.overview, this.canvas);
    for (const group of [...new Set(run.series.map(s => s.group))]) this.charts.push(new Chart(this, group));
    this.canvas.addEventListener("pointerdown", e => this.press(e, this.canvas));
    this.canvas.addEventListener("wheel", e => this.wheel(e), { passive: false });
    this.canvas.addEventListener("pointermove", e => { this.canvas.title = this.hit(e)?.text || ""; });
    this.overview.addEventListener("pointerdown", e => this.jump(e));
    this.overview.addEventListener("pointermove", e => { if (e.buttons) this.jump(e); });
  }

  draw() {
    this.width = this.box.clientWidth;
    if (!this.width) return;
    this.at = layout(this.run, this.shown);
    this.drawOverview();
    drawLanes(sized(this.canvas, this.width, this.at.height), this);
    for (const c of this.charts) c.draw();
  }

  // drawOverview is the whole run in a strip: how much happened, faults, where we are.
  drawOverview() {
    const { run, width } = this, h = 30, g = sized(this.overview, width, h);
    const x = t => LABEL + t / run.end * (width - LABEL);
    g.clearRect(0, 0, width, h);
    g.fillStyle = css("--lane"); g.fillRect(LABEL, 0, width - LABEL, h);
    const bins = run.lanes[0]?.load.length || 0, sum = new Array(bins).fill(0);
    for (const l of run.lanes) l.load.forEach((n, i) => sum[i] += n);
    const peak = Math.max(1, ...sum);
    g.fillStyle = css("--soft"); g.globalAlpha = .5;
    sum.forEach((n, i) => { const top = Math.sqrt(n / peak) * (h - 8); g.fillRect(x(run.end * i / bins), h - top, Math.max(1, (width - LABEL) / bins), top); });
    for (const b of run.bands) {
      if (b.row === undefined) continue;
      g.globalAlpha = .8; g.fillStyle = css(b.kind === "work" ? "--work" : "--fault");
      g.fillRect(x(b.t), 1, Math.max(2, x(b.end) - x(b.t)), 5);
    }
    g.globalAlpha = 1;
    if (run.failure >= 0) { g.fillStyle = css("--wrong"); g.fillRect(x(run.failure) - 1, 0, 2, h); }
    g.strokeStyle = css("--cursor"); g.lineWidth = 1.5;
    g.strokeRect(x(this.time.from), 1, Math.max(3, x(this.time.to) - x(this.time.from)), h - 2);
    g.fillStyle = css("--soft"); g.font = "11px system-ui, DejaVu Sans, sans-serif"; g.textBaseline = "middle";
    g.fillText("whole run", 12, h / 2, LABEL - 16);
  }

  jump(e) {
    const t = (e.offsetX - LABEL) / (this.width - LABEL) * this.run.end, half = (this.time.to - this.time.from) / 2;
    this.time.set(t - half, t + half);
    this.app.draw();
  }

  wheel(e) {
    e.preventDefault();
    if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) this.time.pan(e.deltaX / 800);
    else this.time.zoom(Math.exp(e.deltaY / 400), this.time.at(e.offsetX, this.width));
    this.app.draw();
  }

  // press is the beginning of a pan, or a click.
  press(e, canvas) {
    const start = e.clientX, from = this.time.from, to = this.time.to;
    let moved = false;
    const move = m => {
      const d = (m.clientX - start) / (this.width - LABEL) * (to - from);
      if (Math.abs(m.clientX - start) > 3) moved = true;
      if (moved) { this.time.set(from - d, to - d); this.app.draw(); }
    };
    const up = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      if (moved) return;
      const hit = canvas ? this.hit(e) : null;
      hit ? this.app.select(this, hit) : this.app.moveTo(this, this.time.at(e.offsetX, this.width));
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
  }

  // hit is the event that is nearest to a point, if any is near.
  hit(e) {
    const { run, at, time, width } = this, px = e.offsetX, py = e.offsetY;
    if (!at) return null;
    let best = null, least = 7;
    const near = (event, d) => { if (d < least) { least = d; best = event; } };
    for (const m of run.marks) {
      if (m.t > time.to) break;
      const y = at.lane.get(m.lane);
      if (m.t >= time.from && y !== undefined && py > y + 16 && py < y + LANE && this.shown.kind(m)) near(m, Math.abs(time.x(m.t, width) - px) + (m.group === "note" ? 0 : 1));
    }
    for (const a of run.arrows) {
      if (a.t > time.to) break;
      if (!this.shown.kind(a) || !at.lane.has(a.lane) || !at.lane.has(a.to)) continue;
      const end = a.end < 0 ? a.t : a.end;
      if (end >= time.from) near(a, distance(px, py, time.x(a.t, width), laneY(at, a.lane), time.x(end, width), laneY(at, a.to)) + 1);
    }
    if (best) return best;
    for (const c of run.calls) {
      const top = at.calls[c.branch];
      if (top === undefined) continue;
      const y = top + c.row * CALLROW, x = time.x(c.t, width), w = Math.max(3, time.x(c.end < 0 ? c.t + 400000 : c.end, width) - x);
      if (py >= y - 1 && py <= y + CALLROW && px >= x - 1 && px <= x + w) return c;
    }
    for (const b of run.bands) {
      const y = at.bands + b.row * BANDROW;
      if (b.row !== undefined && py >= y && py < y + BANDROW && px >= time.x(b.t, width) - 2 && px <= Math.max(time.x(b.end, width), time.x(b.t, width) + 3)) return b;
    }
    return this.hitLane(px, py);
  }

  // hitLane is the role or the incarnation at a point.
  hitLane(px, py) {
    const { run, at, time, width } = this, t = time.at(px, width);
    for (const [i, y] of at.lane) {
      if (py < y || py > y + LANE - 5 || px < LABEL) continue;
      const lane = run.lanes[i], top = py < y + 15;
      for (const [from, to, text, kind, n] of top ? lane.roles : []) if (from <= t && t <= to) return { type: "role", t: from, end: to, lane: i, kind: "role " + kind, group: "role", text: text };
      for (const [from, to, how, , n] of lane.alive) if (from <= t && t <= to) return { type: "life", t: from, end: to, lane: i, kind: "process", group: "process", text: `incarnation ${n}` + (how ? `, its end: ${how}` : "") };
    }
    return null;
  }
}

function distance(px, py, x1, y1, x2, y2) {
  const dx = x2 - x1, dy = y2 - y1, n = dx * dx + dy * dy || 1;
  const u = Math.max(0, Math.min(1, ((px - x1) * dx + (py - y1) * dy) / n));
  return Math.hypot(px - x1 - u * dx, py - y1 - u * dy);
}
