// What is drawn of the lanes of one run, in rows from the top: axis, faults,
// lanes, clients.

const LABEL = 92, AXIS = 20, BANDROW = 15, LANE = 40, CALLROW = 7;

// layout puts everything at its height.
function layout(run, shown) {
  const at = { bands: AXIS, lane: new Map(), calls: {} };
  let y = AXIS + run.bandRows * BANDROW + 6;
  for (const i of run.order) {
    if (!shown.lane(run, i)) continue;
    at.lane.set(i, y);
    y += LANE;
  }
  for (const branch of Object.keys(run.callRows)) {
    if (!shown.kind({ group: "call", kind: "call" })) continue;
    at.calls[branch] = y + 6;
    y += 10 + run.callRows[branch].length * CALLROW;
  }
  at.height = y + 6;
  return at;
}

function drawLanes(g, view) {
  const { run, at, time, width } = view;
  const ink = { fg: css("--fg"), soft: css("--soft"), line: css("--line"), lane: css("--lane"), dead: css("--dead"), fault: css("--fault"), work: css("--work"), wrong: css("--wrong"), cursor: css("--cursor"), bg: css("--bg") };
  g.clearRect(0, 0, width, at.height);
  g.font = "11px system-ui, DejaVu Sans, sans-serif";
  g.textBaseline = "middle";
  for (const [i, y] of at.lane) drawLane(g, view, run.lanes[i], y, ink);
  g.save();
  g.beginPath();
  g.rect(LABEL, 0, width - LABEL, at.height);
  g.clip();
  drawBands(g, view, ink);
  drawArrows(g, view, ink);
  drawMarks(g, view);
  drawCalls(g, view, ink);
  g.restore();
  drawAxis(g, view, ink);
  drawMoments(g, view, ink);
}

function drawAxis(g, { run, time, width, at }, ink) {
  const span = time.to - time.from;
  let step = Math.pow(10, Math.floor(Math.log10(span / 5)));
  if (span / step > 14) step *= 2;
  if (span / step > 14) step *= 2.5;
  g.fillStyle = ink.soft;
  g.strokeStyle = ink.line;
  g.textAlign = "center";
  for (let t = Math.ceil((time.from - run.began) / step) * step + run.began; t < time.to; t += step) {
    const x = time.x(t, width);
    g.beginPath(); g.moveTo(x, AXIS - 4); g.lineTo(x, at.height); g.globalAlpha = .45; g.stroke(); g.globalAlpha = 1;
    g.fillText(((t - run.began) / 1e6).toFixed(Math.max(0, Math.min(6, -Math.floor(Math.log10(step / 1e6))))) + "s", x, 8);
  }
}

function drawLane(g, { run, time, width }, lane, y, ink) {
  const x0 = LABEL, h = LANE - 5;
  g.fillStyle = ink.fg;
  g.textAlign = "left";
  g.font = "600 12px system-ui, DejaVu Sans, sans-serif";
  g.fillText(lane.name, 12, y + h / 2, LABEL - 16);
  g.font = "11px system-ui, DejaVu Sans, sans-serif";
  g.save();
  g.beginPath(); g.rect(x0, y, width - x0, h); g.clip();
  if (lane.alive.length) hatch(g, x0, y, width - x0, h, ink); else { g.fillStyle = ink.lane; g.fillRect(x0, y, width - x0, h); }
  for (const [from, to, how, , n] of lane.alive) {
    const a = time.x(from, width), b = time.x(to, width);
    g.fillStyle = ink.bg;
    g.fillRect(a, y, b - a, h);
    g.fillStyle = ink.lane;
    g.fillRect(a, y, Math.max(1, b - a), h);
    if (n > 1 && b - a > 26) { g.fillStyle = ink.soft; g.fillText("#" + n, Math.max(a, x0) + 3, y + h - 7); }
    if (how) { g.fillStyle = ink.wrong; g.fillRect(b - 1, y, 2, h); if (time.to - time.from < 2e7) g.fillText(how === "exit" ? "ends" : how, b + 4, y + h - 7); }
  }
  const peak = Math.max(1, ...lane.load), bins = lane.load.length;
  g.fillStyle = ink.soft;
  g.globalAlpha = .22;
  for (let i = 0; i < bins; i++) {
    if (!lane.load[i]) continue;
    const a = time.x(run.end * i / bins, width), b = time.x(run.end * (i + 1) / bins, width);
    if (b < x0 || a > width) continue;
    const top = (h - 16) * Math.sqrt(lane.load[i] / peak);
    g.fillRect(a, y + h - top, Math.max(1, b - a), top);
  }
  g.globalAlpha = 1;
  for (const [from, to, text, kind, n] of lane.roles) {
    const a = Math.max(x0, time.x(from, width)), b = Math.min(width, time.x(to, width));
    if (b < x0 || a > width) continue;
    const leads = kind === "leader";
    g.fillStyle = n ? termColour(n) : ink.soft;
    g.globalAlpha = leads ? 1 : kind === "candidate" ? .45 : .38;
    g.fillRect(a, y, Math.max(1.5, b - a), leads ? 15 : 11);
    g.globalAlpha = 1;
    if (b - a > 34) { g.fillStyle = leads ? "#fff" : ink.fg; g.fillText(text, a + 4, y + (leads ? 8 : 6), b - a - 6); }
  }
  g.restore();
}

// hatch is where no process runs.
function hatch(g, x, y, w, h, ink) {
  g.strokeStyle = ink.dead;
  g.globalAlpha = .6;
  g.beginPath();
  for (let i = -h; i < w; i += 7) { g.moveTo(x + i, y + h); g.lineTo(x + i + h, y); }
  g.stroke();
  g.globalAlpha = 1;
}

function drawBands(g, view, ink) {
  const { run, at, time, width, selected } = view;
  g.textAlign = "left";
  for (const b of run.bands) {
    if (!b.s || b.end < time.from || b.t > time.to) continue;
    const x = time.x(b.t, width), w = Math.max(2, time.x(b.end, width) - x);
    g.fillStyle = b.kind === "work" ? ink.work : b.kind === "cut" || b.kind === "pause" ? ink.soft : ink.fault;
    for (const l of b.lanes) {
      const y = at.lane.get(l);
      if (y === undefined) continue;
      g.globalAlpha = b === selected ? .4 : b.kind === "fault" ? .16 : .1;
      g.fillRect(x, y, w, LANE - 5);
    }
    if (b.row === undefined) { g.globalAlpha = 1; continue; }
    const y = at.bands + b.row * BANDROW;
    g.globalAlpha = b.e ? .85 : .35;
    g.fillRect(x, y + 1, w, BANDROW - 3);
    if (b === selected) { g.globalAlpha = 1; g.strokeStyle = ink.fg; g.strokeRect(x, y + 1, w, BANDROW - 3); }
    g.globalAlpha = 1;
    const name = label(run, b);
    const seen = Math.max(x, LABEL);
    if (w > 30) { g.fillStyle = !b.e ? ink.fg : dark() ? "#14171c" : "#fff"; g.fillText(name, seen + 3, y + 7, Math.max(8, x + w - seen - 4)); }
  }
}

// label of a fault: its class and whom it befell.
function label(run, b) {
  const words = b.text.trim().split(/\s+/);
  const who = b.lanes.map(l => run.lanes[l].name).join(" ");
  return (words[1] || b.text) + (b.lanes.length && b.lanes.length < 4 ? " " + who : "");
}

function laneY(at, i, sending) {
  const y = at.lane.get(i);
  return y === undefined ? undefined : y + (sending ? 24 : 24);
}

function drawArrows(g, view, ink) {
  const { run, at, time, width, shown, selected } = view;
  const seen = [];
  for (const a of run.arrows) {
    if (a.t > time.to) break;
    if ((a.end < 0 ? a.t + 2e5 : a.end) < time.from || !shown.kind(a) || !at.lane.has(a.lane) || !at.lane.has(a.to)) continue;
    seen.push(a);
  }
  const crowd = seen.length > 1500 ? .12 : seen.length > 400 ? .35 : .8;
  for (const a of seen) {
    const loud = a.kind === "vote" || a.kind === "elected" || a.kind === "error";
    const x1 = time.x(a.t, width), y1 = laneY(at, a.lane), y2 = laneY(at, a.to);
    const lost = a.end < 0, x2 = lost ? x1 + 12 : time.x(a.end, width);
    g.globalAlpha = a === selected ? 1 : loud ? .95 : crowd;
    g.strokeStyle = g.fillStyle = colour(a);
    g.lineWidth = a === selected ? 3 : loud ? 1.6 : 1;
    g.beginPath();
    g.moveTo(x1, y1);
    const ye = lost ? y1 + (y2 - y1) * .45 : y2;
    g.lineTo(x2, ye);
    g.stroke();
    if (lost) { g.beginPath(); g.moveTo(x2 - 3, ye - 3); g.lineTo(x2 + 3, ye + 3); g.moveTo(x2 + 3, ye - 3); g.lineTo(x2 - 3, ye + 3); g.stroke(); }
    else if (crowd > .12 || loud) head(g, x1, y1, x2, ye);
  }
  g.lineWidth = 1;
  g.globalAlpha = 1;
  if (time.to - time.from < 60000 && seen.length < 120) nameArrows(g, view, seen, ink);
}

// head is the point of an arrow.
function head(g, x1, y1, x2, y2) {
  const a = Math.atan2(y2 - y1, x2 - x1);
  g.beginPath();
  g.moveTo(x2, y2);
  g.lineTo(x2 - 6 * Math.cos(a - .4), y2 - 6 * Math.sin(a - .4));
  g.lineTo(x2 - 6 * Math.cos(a + .4), y2 - 6 * Math.sin(a + .4));
  g.fill();
}

function nameArrows(g, { at, time, width }, seen, ink) {
  g.font = "10px system-ui, DejaVu Sans, sans-serif";
  const taken = [];
  for (const a of seen) {
    if (a.end < 0) continue;
    const x = (time.x(a.t, width) + time.x(a.end, width)) / 2, y = (laneY(at, a.lane) + laneY(at, a.to)) / 2;
    const w = Math.min(200, g.measureText(a.text).width);
    if (taken.some(p => Math.abs(p.y - y) < 11 && x < p.x + p.w + 6 && p.x < x + w + 6)) continue;
    taken.push({ x, y, w });
    g.fillStyle = ink.bg; g.globalAlpha = .75; g.fillRect(x + 2, y - 6, w + 4, 12); g.globalAlpha = 1;
    g.fillStyle = colour(a); g.textAlign = "left";
    g.fillText(a.text, x + 4, y, 200);
  }
  g.font = "11px system-ui, DejaVu Sans, sans-serif";
}

function drawMarks(g, { run, at, time, width, shown, selected }) {
  for (const m of run.marks) {
    if (m.t > time.to) break;
    if (m.t < time.from || !shown.kind(m)) continue;
    const y = at.lane.get(m.lane);
    if (y === undefined) continue;
    const x = time.x(m.t, width), big = m.group === "note" || m.group === "process" || m === selected;
    g.fillStyle = colour(m);
    g.globalAlpha = big ? .95 : .55;
    g.fillRect(x - (big ? 1 : .5), y + (big ? 20 : 27), big ? 2 : 1, big ? 14 : 7);
    if (m === selected) { g.beginPath(); g.arc(x, y + 24, 5, 0, 7); g.fill(); }
  }
  g.globalAlpha = 1;
}

function drawCalls(g, view, ink) {
  const { run, at, time, width, selected } = view;
  for (const c of run.calls) {
    const top = at.calls[c.branch];
    if (top === undefined || c.t > time.to || c.end >= 0 && c.end < time.from) continue;
    const x = time.x(c.t, width), open = c.end < 0;
    const w = Math.max(1.5, (open ? time.x(c.t + 400000, width) : time.x(c.end, width)) - x);
    g.fillStyle = colour(c);
    g.globalAlpha = c === selected ? 1 : open ? .5 : .75;
    g.fillRect(x, top + c.row * CALLROW, w, CALLROW - 2);
    if (c === selected) { g.strokeStyle = ink.fg; g.strokeRect(x - 1, top + c.row * CALLROW - 1, w + 2, CALLROW); }
  }
  g.globalAlpha = 1;
}

// drawMoments draws the names of client rows, the failure and the cursor.
function drawMoments(g, { run, at, time, width, cursor }, ink) {
  g.textAlign = "left";
  g.fillStyle = ink.fg;
  for (const branch of Object.keys(at.calls)) g.fillText("clients " + branch, 12, at.calls[branch] + 8, LABEL - 16);
  const line = (t, style, text) => {
    if (t < time.from || t > time.to) return;
    const x = time.x(t, width);
    g.strokeStyle = g.fillStyle = style;
    g.lineWidth = 1.5;
    g.beginPath(); g.moveTo(x, AXIS - 6); g.lineTo(x, at.height); g.stroke();
    g.lineWidth = 1;
    if (text) { const right = x > width - 110; g.textAlign = right ? "right" : "left"; g.fillText(text, x + (right ? -4 : 4), AXIS - 2); }
  };
  const failed = run.failure >= 0;
  const apart = failed && cursor !== null && [run.failure, run.wrongAt].every(t => Math.abs(time.x(cursor, width) - time.x(t, width)) > 130);
  if (cursor !== null) line(cursor, ink.cursor, !failed || apart ? clock(run, cursor) : "");
  if (!failed) return;
  const wrongAt = run.wrongAt < 0 ? run.failure : run.wrongAt;
  line(run.failure, ink.wrong, (wrongAt === run.failure ? "failure " : "found ") + clock(run, run.failure));
  if (wrongAt !== run.failure) line(wrongAt, ink.wrong, "first wrong fact");
  for (const i of run.wrong) {
    const y = at.lane.get(i), x = time.x(wrongAt, width);
    if (y === undefined || x < LABEL || x > width) continue;
    g.fillStyle = ink.wrong;
    g.beginPath(); g.arc(x, y + 17, 9, 0, 7); g.fill();
    g.fillStyle = "#fff"; g.textAlign = "center"; g.font = "bold 13px system-ui, DejaVu Sans, sans-serif";
    g.fillText("!", x, y + 18);
    g.font = "11px system-ui, DejaVu Sans, sans-serif";
  }
}
