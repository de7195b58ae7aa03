"use strict";
// The data of a run: columns become events with absolute times in µs.

const LAST = 1e15;

function decode(run) {
  const text = i => run.texts[i];
  const events = [];
  run.arrows = columns(run.arrows, c => {
    const e = { type: "arrow", t: c[0], end: c[1] < 0 ? -1 : c[0] + c[1], lane: c[2], to: c[3], kind: text(c[4]), text: text(c[5]), bytes: c[6] };
    e.group = "message";
    events.push(e);
    return e;
  });
  run.marks = columns(run.marks, c => {
    const e = { type: "mark", t: c[0], lane: c[1], kind: text(c[2]), text: text(c[3]) };
    e.group = e.kind.split(" ")[0];
    events.push(e);
    return e;
  });
  run.calls = columns(run.calls, c => {
    const e = { type: "call", t: c[0], end: c[1] < 0 ? -1 : c[0] + c[1], client: c[2], branch: text(c[3]), text: text(c[4]), key: text(c[5]), outcome: text(c[6]) };
    e.kind = "call " + e.outcome;
    e.group = "call";
    events.push(e);
    return e;
  });
  for (const b of run.bands) {
    Object.assign(b, { type: "band", end: b.t, t: b.f, text: b.x, kind: b.k, group: "fault", lanes: b.l });
    if (b.s) events.push(b);
  }
  for (const s of run.series) {
    let at = 0;
    s.t = s.t.map(d => at += d);
    s.max = s.v.length ? s.v[s.v.length - 1] : 0;
  }
  events.sort((a, b) => a.t - b.t);
  run.events = events;
  run.order = run.lanes.map((l, i) => i).sort((a, b) => run.lanes[a].rank - run.lanes[b].rank || natural(run.lanes[a].name, run.lanes[b].name) || a - b);
  packCalls(run);
  packBands(run);
  return run;
}

function natural(a, b) { return a.localeCompare(b, "en", { numeric: true }); }

// columns calls make for every row; the first column is the time since the row before.
function columns(cols, make) {
  const out = [];
  let at = 0;
  for (let i = 0; cols.length && i < cols[0].length; i++) {
    const row = cols.map(c => c[i]);
    at += row[0];
    row[0] = at;
    out.push(make(row));
  }
  return out;
}

// packCalls gives calls rows, so that those at the same time lie below each other.
function packCalls(run) {
  run.callRows = {};
  for (const c of run.calls) {
    const rows = run.callRows[c.branch] ||= [];
    const end = c.end < 0 ? c.t + 400000 : c.end;
    let row = rows.findIndex(until => until < c.t);
    if (row < 0) row = rows.length < 8 ? rows.length : 7;
    rows[row] = end;
    c.row = row;
  }
}

function packBands(run) {
  const rows = [];
  for (const b of [...run.bands].sort((x, y) => x.t - y.t)) {
    if (!b.s || b.kind === "cut" || b.kind === "pause") continue;
    let row = rows.findIndex(until => until < b.t);
    if (row < 0) row = rows.length < 6 ? rows.length : 5;
    rows[row] = b.end;
    b.row = row;
  }
  run.bandRows = rows.length;
}

// seconds since the clients began, as the story has them.
function clock(run, t) { return ((t - run.began) / 1e6).toFixed(6).replace(/0{1,3}$/, "") + "s"; }

function lsn(v) { return Math.floor(v / 4294967296).toString(16).toUpperCase() + "/" + (v % 4294967296).toString(16).toUpperCase(); }

const PALETTE = { vote: "#d1359b", elected: "#8e44ec", append: "#2f7ed8", ack: "#1f9e89", wal: "#7a9a01", page: "#b07d2b", http: "#7f8c9b", reset: "#e03131",
  error: "#e03131", greeting: "#c08ad8", heartbeat: "#9db8d8", keepalive: "#a9b8a0", feedback: "#a9b8a0", query: "#8895a7",
  process: "#e03131", note: "#8e44ec", disk: "#8a6d3b", object: "#b8860b", net: "#999", log: "#6a9fb5", call: "#2f7ed8", fault: "#d9730d" };

function colour(e) {
  if (e.type === "call") return { ok: "#2f9e44", failed: "#868e96", forgotten: "#adb5bd" }[e.outcome] || "#e8590c";
  return PALETTE[e.kind] || PALETTE[e.group] || "#8895a7";
}

// The colour of a term: neighbours differ much.
function termColour(n) { return `hsl(${(n * 137 + 200) % 360} 60% ${dark() ? 60 : 45}%)`; }

function dark() { return document.documentElement.dataset.theme === "dark"; }
function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
