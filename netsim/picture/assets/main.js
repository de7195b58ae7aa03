// The page around the views: story, filters, events in words, keys.

const $ = id => document.getElementById(id);

// Shown is what the filters let through.
class Shown {
  constructor(runs) {
    this.lanes = new Map();
    this.kinds = new Map();
    for (const run of runs) {
      for (const i of run.order) if (!this.lanes.has(run.lanes[i].name)) this.lanes.set(run.lanes[i].name, !run.lanes[i].aside);
      for (const e of run.events) {
        const k = this.key(e);
        if (k !== "fault") this.kinds.set(k, (this.kinds.get(k) ?? !QUIET.has(k)));
      }
    }
    this.count = new Map();
    for (const e of runs[0].events) this.count.set(this.key(e), (this.count.get(this.key(e)) || 0) + 1);
  }
  key(e) { return e.group === "message" ? e.kind : e.group; }
  lane(run, i) { return this.lanes.get(run.lanes[i].name); }
  kind(e) { return this.kinds.get(this.key(e)) ?? true; }
}
const QUIET = new Set(["heartbeat", "keepalive", "feedback", "pq", "bytes", "close", "http", "net", "log", "query", "greeting", "copy"]);

class App {
  constructor(runs) {
    this.runs = runs;
    const end = Math.max(...runs.map(r => r.end));
    this.time = new Time(0, end, end);
    this.shown = new Shown(runs);
    this.views = runs.map(r => new View(r, this.time, this.shown, this));
    this.main = this.views[0];
    this.head();
    this.story();
    this.filters();
    this.pages();
    this.keys();
    this.compare(runs.length > 1 && !location.hash.includes("alone"));
    this.start();
    new ResizeObserver(() => this.draw()).observe($("views"));
    this.list();
    this.detail(this.main, this.main.selected);
  }

  head() {
    const run = this.main.run;
    $("title").textContent = run.title;
    $("verdict").textContent = run.verdict;
    $("verdict").className = run.failed ? "failed" : "";
    $("fit").onclick = () => this.fit();
    $("toFailure").onclick = () => this.toFailure();
    $("toFailure").hidden = run.failure < 0;
    $("in").onclick = () => { this.time.zoom(.6, this.middle()); this.draw(); };
    $("out").onclick = () => { this.time.zoom(1.67, this.middle()); this.draw(); };
    $("theme").onclick = () => this.theme();
    $("help").onclick = () => { $("keys").hidden = !$("keys").hidden; };
    $("both").hidden = this.runs.length < 2;
    $("both").onclick = () => this.compare(!this.two);
    if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.dataset.theme = "dark";
    if (location.hash.includes("dark")) document.documentElement.dataset.theme = "dark";
    $("omitted").textContent = run.omitted.length ? "Not all is drawn: " + run.omitted.join("; ") + ". The grey height of a lane counts everything." : "";
    $("search").oninput = () => this.list();
  }

  theme() {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    this.draw();
  }

  story() {
    for (const line of this.main.run.story) {
      const li = document.createElement("li"), at = document.createElement("span"), text = document.createElement("span");
      li.tabIndex = 0;
      at.className = "at";
      at.textContent = line.t < 0 ? "" : ((line.t - this.main.run.began) / 1e6).toFixed(3) + "s";
      text.textContent = line.x;
      text.className = line.k;
      li.append(at, text);
      li.onclick = () => this.tell(line);
      li.onkeydown = e => { if (e.key === "Enter") this.tell(line); };
      $("story").append(li);
    }
  }

  // tell shows the moment of a line of the story.
  tell(line) {
    if (line.t < 0) return this.fit();
    const span = Math.min(this.time.to - this.time.from, 2e6);
    this.time.set(line.t - span * .35, line.t + span * .65);
    this.moveTo(this.main, line.t);
  }

  filters() {
    const chip = (map, name, text, paint) => {
      const b = document.createElement("button");
      const mark = () => { b.className = "chip" + (map.get(name) ? " on" : ""); b.setAttribute("aria-pressed", map.get(name)); };
      if (paint) { const dot = document.createElement("i"); dot.style.background = paint; b.append(dot); }
      b.append(text);
      b.onclick = e => {
        if (e.shiftKey) for (const k of map.keys()) map.set(k, k === name); else map.set(name, !map.get(name));
        this.marks.forEach(f => f());
        this.draw();
        this.list();
      };
      b.title = "show or hide; with shift only this";
      mark();
      this.marks.push(mark);
      $("filters").append(b);
    };
    this.marks = [];
    for (const name of this.shown.lanes.keys()) chip(this.shown.lanes, name, name);
    const gap = document.createElement("span");
    gap.className = "chipgap";
    $("filters").append(gap);
    for (const name of this.shown.kinds.keys()) chip(this.shown.kinds, name, `${name} ${this.shown.count.get(name) || 0}`, PALETTE[name] || "#8895a7");
  }

  pages() {
    const run = this.main.run, all = [...run.pages];
    if (run.changes.length) all.unshift({ Name: "Comparison", changes: run.changes });
    for (const p of all) {
      const b = document.createElement("button");
      b.textContent = p.Name;
      b.onclick = () => {
        for (const o of $("tabs").children) o.classList.toggle("on", o === b);
        $("page").replaceChildren(this.page(p));
      };
      $("tabs").append(b);
    }
    const asked = decodeURIComponent(location.hash.match(/page=([^,]*)/)?.[1] || "");
    ([...$("tabs").children].find(b => b.textContent === asked) || $("tabs").firstChild)?.click();
  }

  page(p) {
    if (p.HTML) {
      const f = document.createElement("iframe");
      f.srcdoc = p.Text;
      f.title = p.Name;
      return f;
    }
    const pre = document.createElement("pre");
    if (!p.changes) pre.textContent = p.Text;
    for (const c of p.changes || []) {
      const line = document.createElement("div");
      line.textContent = ({ this: "this run    ", other: "passing run ", "": "            " })[c.Only] + c.Text;
      line.className = c.Only ? "only-" + c.Only : "";
      pre.append(line);
    }
    return pre;
  }

  compare(on) {
    this.two = on && this.runs.length > 1;
    $("views").className = this.two ? "two" : "";
    $("views").replaceChildren(...(this.two ? this.views : [this.main]).map(v => v.box));
    for (const v of this.views) v.head.hidden = !this.two;
    $("both").classList.toggle("on", this.two);
    this.draw();
  }

  // start looks at what led to the failure: from the last faults on.
  start() {
    const run = this.main.run;
    if (run.failure < 0) return this.time.set(run.began - 2e5, run.end);
    const wrong = this.wrongAt(), told = run.story.filter(l => l.t >= 0 && l.t < wrong).map(l => l.t);
    const from = told.length ? Math.max(told[Math.max(0, told.length - 3)], wrong - 4e6) : wrong - 1e6;
    const span = Math.max(wrong - from, 1e5);
    this.time.set(wrong - span * 1.15, wrong + span * .2);
    const last = told[told.length - 1];
    if (wrong - last > 2e7) this.time.set(told[Math.max(0, told.length - 4)] - 2e5, last + 4e6); // it waits for ever: what counts was long before
    this.set(wrong);
    const call = run.wrongAt !== run.failure && run.calls.find(c => Math.abs(c.t - wrong) < 2 && run.story.some(l => l.x.includes(`client ${c.client}: `)));
    if (call) this.main.selected = call;
  }

  wrongAt() { const r = this.main.run; return r.wrongAt < 0 ? r.failure : r.wrongAt; }
  middle() { return this.main.cursor ?? (this.time.from + this.time.to) / 2; }
  fit() { this.time.set(0, this.time.end); this.draw(); }
  toFailure() {
    const f = this.wrongAt();
    if (f >= 0) { this.time.set(f - 4e5, f + 1e5); this.moveTo(this.main, f); }
  }

  set(t) { for (const v of this.views) v.cursor = t; }

  moveTo(view, t) {
    this.set(t);
    for (const v of this.views) v.selected = null;
    this.draw();
    this.list(view);
  }

  select(view, e) {
    for (const v of this.views) v.selected = v === view ? e : null;
    this.set(e.t);
    if (e.t < this.time.from || e.t > this.time.to) { const half = (this.time.to - this.time.from) / 2; this.time.set(e.t - half, e.t + half); }
    this.draw();
    this.detail(view, e);
    this.list(view);
  }

  detail(view, e) {
    const box = $("detail");
    if (!e) { box.textContent = "Click an arrow, a mark, a bar or a fault for all of it."; return; }
    const run = view.run, rows = [["time", clock(run, e.t)], ["what", e.kind]];
    const lane = i => run.lanes[i]?.name;
    if (e.type === "arrow") rows.push(["from", lane(e.lane)], ["to", lane(e.to)], ["arrives", e.end < 0 ? "never" : clock(run, e.end) + `, ${((e.end - e.t) / 1e3).toFixed(3)} ms later`], ["bytes", e.bytes]);
    else if (e.type === "band") rows.push(["until", clock(run, e.end)], ["befalls", e.lanes.map(lane).join(", ") || "everybody"], ["effect", e.e ? "it changed the course of the run" : "none was seen"]);
    else if (e.type === "call") rows.push(["client", e.client], ["branch", e.branch], ["key", e.key], ["until", e.end < 0 ? "its client never learned" : clock(run, e.end)], ["outcome", e.outcome]);
    else rows.push(["at", lane(e.lane)]);
    if (e.type === "role" || e.type === "life") rows.push(["until", clock(run, e.end)]);
    rows.push(["", e.text]);
    const dl = document.createElement("dl");
    for (const [name, value] of rows) {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name || "text"; dd.textContent = value;
      dl.append(dt, dd);
    }
    box.replaceChildren(dl);
  }

  // matching are the events that the filters and the search let through.
  matching(run) {
    const word = $("search").value.toLowerCase();
    return run.events.filter(e => this.shown.kind(e) && (e.lane === undefined || this.shown.lane(run, e.lane) || e.to !== undefined && this.shown.lane(run, e.to)) &&
      (!word || e.text.toLowerCase().includes(word) || e.kind.includes(word) || run.lanes[e.lane]?.name.includes(word)));
  }

  list(view = this.last || this.main) {
    this.last = view;
    const run = view.run, all = this.matching(run), t = view.cursor ?? this.time.from;
    const mid = Math.max(0, place(all.map(e => e.t), t)), from = Math.max(0, mid - 120);
    const rows = all.slice(from, mid + 120).map(e => this.row(view, e));
    $("events").replaceChildren(...rows);
    const at = rows[mid - from];
    if (at) $("events").scrollTop = at.offsetTop - $("events").offsetTop - 180;
  }

  row(view, e) {
    const run = view.run, div = document.createElement("div"), t = document.createElement("span"), w = document.createElement("span"), x = document.createElement("span");
    div.className = "event" + (e === view.selected ? " on" : "");
    t.className = "t"; w.className = "w"; x.className = "x";
    t.textContent = clock(run, e.t);
    w.textContent = e.type === "arrow" ? `${run.lanes[e.lane].name}→${run.lanes[e.to].name}` : e.type === "call" ? `client ${e.client}` : e.type === "band" ? "fault" : run.lanes[e.lane].name;
    if (e !== view.selected) w.style.color = colour(e);
    x.textContent = e.text || e.kind;
    div.title = e.text;
    div.append(t, w, x);
    div.onclick = () => this.select(view, e);
    return div;
  }

  // step selects the event before or after.
  step(by) {
    const view = this.last || this.main, all = this.matching(view.run);
    let i = view.selected ? all.indexOf(view.selected) + by : place(all.map(e => e.t), view.cursor ?? this.time.from) + (by > 0 ? 1 : 0);
    if (all.length) this.select(view, all[Math.max(0, Math.min(all.length - 1, i))]);
  }

  fault(by) {
    const view = this.last || this.main, all = view.run.bands.filter(b => b.row !== undefined).sort((a, b) => a.t - b.t), t = view.cursor ?? this.time.from;
    const next = by > 0 ? all.find(b => b.t > t) : all.filter(b => b.t < t).pop();
    if (next) this.select(view, next);
  }

  keys() {
    document.addEventListener("keydown", e => {
      if (e.target.tagName === "INPUT") { if (e.key === "Escape") e.target.blur(); return; }
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      const does = { "+": () => $("in").click(), "=": () => $("in").click(), "-": () => $("out").click(), 0: () => this.fit(), f: () => this.toFailure(),
        a: () => { this.time.pan(-.2); this.draw(); }, d: () => { this.time.pan(.2); this.draw(); }, ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
        n: () => this.fault(1), p: () => this.fault(-1), t: () => this.theme(), c: () => this.compare(!this.two), "?": () => $("help").click(),
        "/": () => $("search").focus(), Escape: () => { for (const v of this.views) { v.selected = null; v.cursor = null; } this.detail(null); this.draw(); } }[e.key];
      if (does) { e.preventDefault(); does(); return; }
      const n = "123456789".indexOf(e.key);
      if (n >= 0 && this.main.run.story[n + 1]) this.tell(this.main.run.story[n + 1]);
    });
  }

  draw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      for (const v of this.two ? this.views : [this.main]) v.draw();
    });
  }
}

const app = new App(JSON.parse($("data").textContent).map(decode));
document.body.dataset.ready = "yes";
