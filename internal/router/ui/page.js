"use strict";
// Everything shown is set as text, never as markup: paths and error texts come from outside.

const at = id => document.getElementById(id);

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = text;
  if (className) e.className = className;
  return e;
}

// Numbers and times, for people.
const count = n => Number(n).toLocaleString("en-US");

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i === 0 ? n : n.toFixed(1)) + " " + units[i];
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s < 600 && s % 60 ? " " + s % 60 + " s" : "");
  if (s < 86400) return Math.floor(s / 3600) + " h" + (Math.floor(s % 3600 / 60) ? " " + Math.floor(s % 3600 / 60) + " min" : "");
  return Math.floor(s / 86400) + " d" + (Math.floor(s % 86400 / 3600) ? " " + Math.floor(s % 86400 / 3600) + " h" : "");
}

// The daemon's clock, not this machine's, is what times are compared with.
let skew = 0;
const now = () => Date.now() + skew;
const ago = time => time ? span((now() - Date.parse(time)) / 1000) + " ago" : "";
const until = time => {
  if (!time) return "";
  const left = (Date.parse(time) - now()) / 1000;
  return left < 0 ? "now" : "in " + span(left);
};

// table fills a table: columns are [title, cell(row), class]; a cell is a text, or a text and a class.
function table(id, columns, rows, none) {
  const t = at(id);
  const head = element("tr");
  for (const [title, , kind] of columns) head.append(element("th", title, kind === "number" ? "number" : ""));
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  for (const row of rows) {
    const tr = element("tr");
    for (const [, cell, kind] of columns) {
      const value = cell(row);
      const [text, className] = Array.isArray(value) ? value : [value, ""];
      tr.append(element("td", text, [kind, className].filter(Boolean).join(" ")));
    }
    body.append(tr);
  }
  if (rows.length === 0) {
    const td = element("td", none, "faint");
    td.colSpan = columns.length;
    const tr = element("tr");
    tr.append(td);
    body.append(tr);
  }
  t.replaceChildren(thead, body);
}

// Plots.
const svgNS = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const e = document.createElementNS(svgNS, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}

// roof is the least round number that is not below n.
function roof(n) {
  if (!(n > 0)) return 1;
  const power = Math.pow(10, Math.floor(Math.log10(n)));
  for (const step of [1, 2, 2.5, 5, 10]) if (step * power >= n) return step * power;
  return 10 * power;
}

// spanRoof is the same for seconds, in steps that clocks have.
const spans = [60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200, 86400];
const spanRoof = n => spans.find(s => n <= s) || 86400 * roof(n / 86400);

// plot draws series over time: each has a name, a class and points of [milliseconds, value or null]. A null is a gap.
function plot(id, series, format, ceiling = roof) {
  const width = 640, height = 190, left = 62, right = 10, above = 10, below = 24;
  const points = series.flatMap(s => s.points).filter(p => p[1] !== null && Number.isFinite(p[1]));
  const figure = at(id);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const title = svg("title", {});
  title.textContent = series.length === 0 ? "nothing to show" : series.map(s => s.name + ": " + latest(s, format)).join(", ");
  drawing.append(title);
  const end = points.length ? Math.max(...points.map(p => p[0])) : now();
  const begin = points.length ? Math.min(...points.map(p => p[0]), end - 60000) : end - 60000;
  const high = ceiling(Math.max(0, ...points.map(p => p[1])));
  const x = t => left + (t - begin) / (end - begin) * (width - left - right);
  const y = v => height - below - Math.min(v, high) / high * (height - above - below);
  for (let i = 0; i <= 4; i++) {
    const value = high * i / 4;
    drawing.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    if (i % 2 === 0) label(drawing, format(value), left - 8, y(value) + 4, "end");
  }
  label(drawing, span((end - begin) / 1000) + " ago", left, height - 6, "start");
  label(drawing, "now", width - right, height - 6, "end");
  for (const s of series) draw(drawing, s, x, y);
  const caption = element("figcaption");
  if (series.length === 0) caption.append(element("span", "nothing to show"));
  for (const s of series) caption.append(element("span", s.name + ": " + latest(s, format), "key " + s.className));
  figure.replaceChildren(drawing, caption);
}

function draw(drawing, series, x, y) {
  let path = "", pen = false, only = 0;
  for (const [t, v] of series.points) {
    if (v === null || !Number.isFinite(v)) { pen = false; continue; }
    path += (pen ? "L" : "M") + x(t).toFixed(1) + " " + y(v).toFixed(1);
    pen = true;
    only++;
  }
  const group = svg("g", { class: series.className });
  group.append(svg("path", { class: "series", d: path }));
  if (only === 1) {
    const p = series.points.find(p => p[1] !== null && Number.isFinite(p[1]));
    group.append(svg("circle", { class: "dot", cx: x(p[0]), cy: y(p[1]), r: 2.5 }));
  }
  drawing.append(group);
}

function label(drawing, text, x, y, anchor) {
  const e = svg("text", { x, y, "text-anchor": anchor });
  e.textContent = text;
  drawing.append(e);
}

function latest(series, format) {
  for (let i = series.points.length - 1; i >= 0; i--) {
    const v = series.points[i][1];
    if (v !== null && Number.isFinite(v)) return format(v);
  }
  return "–";
}

// What the daemon has sent.
let samples = [];

// rates turns two counts that only grow into values between samples.
function rates(value) {
  const points = [];
  for (let i = 1; i < samples.length; i++) {
    const before = samples[i - 1], after = samples[i];
    points.push([Date.parse(after.at), value(before, after, (Date.parse(after.at) - Date.parse(before.at)) / 1000)]);
  }
  return points;
}

function showSamples() {
  const own = value => samples.map(s => [Date.parse(s.at), value(s)]);
  plot("plot-rate", [{
    name: "hits of what the cache was asked", className: "one", points: rates((a, b) => {
      const hits = b.hits - a.hits, all = hits + b.misses - a.misses;
      return all > 0 ? 100 * hits / all : null;
    }),
  }], v => v.toFixed(0) + " %", () => 100);
  plot("plot-requests", [
    { name: "answered", className: "one", points: rates((a, b, s) => s > 0 ? (b.requests - a.requests) / s : null) },
    { name: "without an answer of Vault", className: "two", points: rates((a, b, s) => s > 0 ? (b.failed - a.failed) / s : null) },
  ], v => v >= 10 ? v.toFixed(0) : v.toFixed(1));
  plot("plot-runway", [
    { name: "half of the entries", className: "one", points: own(s => s.entries > 0 ? s.runway_median_seconds : null) },
    { name: "95 % of the entries", className: "two", points: own(s => s.entries > 0 ? s.runway_95_seconds : null) },
  ], span, spanRoof);
  plot("plot-held", [
    { name: "entries", className: "one", points: own(s => s.entries) },
    { name: "tokens known", className: "two", points: own(s => s.tokens) },
    { name: "failing to renew", className: "bad", points: own(s => s.failing) },
  ], count);
  const logins = [...new Set(samples.flatMap(s => Object.keys(s.token_left_seconds)))].sort();
  plot("plot-left", logins.map((name, i) => ({
    name, className: ["one", "two", "three", "four"][i % 4], points: own(s => s.token_left_seconds[name] ?? null),
  })), span, spanRoof);
  plot("plot-up", [{ name: "a node is up", className: "one", points: own(s => s.vault_up ? 1 : 0) }],
    v => v >= 1 ? "yes" : v <= 0 ? "no" : "", () => 1);
}

function showStatus(s) {
  skew = Date.parse(s.started) + s.uptime_seconds * 1000 - Date.now();
  at("version").textContent = s.version;
  const away = s.vault.breaker_open;
  badge(s.ready ? (away ? "ready, Vault is away" : "ready") : "not ready", s.ready ? (away ? "poor" : "good") : "bad");
  showGlance(s);
  table("logins", [
    ["login", l => l.name || "(without a name)"], ["method", l => l.method],
    ["state", l => [l.state, l.state === "held" ? "good" : "poor"]], ["since", l => ago(l.since)],
    ["ends", l => l.expires ? until(l.expires) : l.accessor_hash ? "never" : ""],
    ["next", l => l.next ? l.next + " " + until(l.next_at) : ""],
    ["sinks", l => sinks(l.sinks)],
    ["last error", l => [l.failures ? `${l.last_error} (${l.failures} times)` : "", "bad"]],
  ], s.auto_auth, "no auto_auth: clients bring tokens of their own");
  table("nodes", [
    ["address", n => n.address, "code"], ["state", n => [n.state, n.state === "up" ? "good" : "bad"]], ["since", n => ago(n.since)],
    ["", n => n.in_use ? "in use" : ""], ["last error", n => n.last_error ? `${n.last_error} (${ago(n.last_error_at)})` : ""],
  ], s.vault.nodes, "none");
  table("problems", [
    ["when", p => ago(p.at)], ["level", p => [p.level.toLowerCase(), p.level === "ERROR" ? "bad" : "poor"]], ["what", p => p.message],
    ["details", p => Object.entries(p.details || {}).map(([k, v]) => `${k}=${v}`).join("  "), "code"],
  ], [...s.problems].reverse(), "none since the start");
}

function sinks(all) {
  const bad = all.filter(s => s.error || s.behind);
  if (bad.length) return [bad.map(s => `${s.name}: ${s.error || "behind"}`).join("; "), "bad"];
  return all.length ? `${all.length} written` : "";
}

function showGlance(s) {
  const tiles = [["up for", span(s.uptime_seconds), `process ${s.pid}`]];
  const c = s.cache;
  if (c) {
    const asked = c.hits + c.misses;
    tiles.push(["leases and tokens held", count(c.entries), c.max_entries ? `of ${count(c.max_entries)} at most` : ""],
      ["memory for them", bytes(c.bytes), c.max_bytes ? `of ${bytes(c.max_bytes)} at most` : ""],
      ["hits since the start", count(c.hits), asked ? `${(100 * c.hits / asked).toFixed(1)} % of what it was asked` : ""],
      ["in trouble", count((c.states.failing || 0)), `failing to renew; ${count(c.states.ending || 0)} cannot be prolonged`]);
  }
  tiles.push(["renewals", count(s.clock.renewals), `${count(s.clock.renewals_failed)} failed; next ${until(s.clock.next_due) || "none"}`],
    ["without an answer of Vault", count(s.requests.failed), `of ${count(s.requests.success + s.requests.client_error + s.requests.failed)} requests`],
    ["denied", count(s.requests.denied), `${count(s.requests.refused)} refused by limits`]);
  if (s.state_file) tiles.push(["state file", bytes(s.state_file.file_bytes + s.state_file.write_ahead_bytes), s.state_file.state]);
  const r = s.configuration.last_reload;
  if (r) tiles.push(["last reload", r.ok ? "done" : "refused", ago(r.at)]);
  if (s.configuration.needs_restart.length) tiles.push(["needs a restart", count(s.configuration.needs_restart.length), s.configuration.needs_restart.join(", ")]);
  at("glance").replaceChildren(...tiles.map(([name, value, more]) => {
    const d = element("div"), dd = element("dd", value);
    if (more) dd.append(element("small", more));
    d.append(element("dt", name), dd);
    return d;
  }));
}

function badge(text, className) {
  at("ready").textContent = text;
  at("ready").className = "badge " + className;
}

// Asking. require_request_header wants the header.
const ask = (path, signal) => fetch(path, { headers: { "X-Vault-Request": "true" }, cache: "no-store", credentials: "same-origin", signal });

async function problem(resp) {
  try { return (await resp.json()).errors.join("; "); } catch { return resp.status + " " + resp.statusText; }
}

let page = [];

async function showLeases(after) {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(at("filter"))) if (value) query.set(name, value);
  query.set("limit", "50");
  if (after) query.set("after", after);
  let found;
  try {
    const resp = await ask("leases?" + query);
    if (!resp.ok) throw new Error(await problem(resp));
    found = await resp.json();
  } catch (e) {
    at("total").textContent = e.message;
    return;
  }
  page = after ? page.concat(found.leases) : found.leases;
  const style = { fresh: "good", due: "poor", failing: "bad", ending: "poor" };
  table("leases", [
    ["path", l => (l.namespace || "") + l.path, "code"], ["kind", l => l.kind], ["state", l => [l.state, style[l.state]]],
    ["ends", l => until(l.until)], ["next renewal", l => l.next_renewal ? until(l.next_renewal) : "none"], ["held since", l => ago(l.created)],
    ["hits", l => count(l.hits), "number"], ["size", l => bytes(l.size_bytes), "number"],
    ["token", l => l.accessor_hash, "code"], ["lease", l => l.id, "code"],
  ], page, "nothing is held that fits");
  at("total").textContent = `${count(page.length)} of ${count(found.total)}`;
  at("more").hidden = !found.next;
  at("more").onclick = () => showLeases(found.next);
}

at("filter").addEventListener("submit", e => { e.preventDefault(); showLeases(); });

// The list is asked for now and then while somebody looks at it, unless he has gone further: the daemon goes through all entries for it.
let since = 0;

function renewLeases() {
  if (++since < 3 || document.hidden || page.length > 50) return;
  since = 0;
  showLeases();
}

// Live: server-sent events, read by fetch because EventSource can set no header.
function dispatch(event) {
  let name = "message", data = "";
  for (const line of event.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5).trim();
  }
  if (!data) return;
  const value = JSON.parse(data);
  if (name === "history") { samples = value; showSamples(); }
  if (name === "sample") { samples = samples.concat(value).slice(-360); showSamples(); renewLeases(); }
  if (name === "status") showStatus(value);
}

// listen returns when the stream ends. A status comes every five seconds: when nothing does, the connection is dead, or this machine slept.
async function listen() {
  const dead = new AbortController();
  let watchdog = setTimeout(() => dead.abort(), 20000);
  try {
    const resp = await ask("events", dead.signal);
    if (!resp.ok) throw new Error(await problem(resp));
    const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => dead.abort(), 20000);
      at("live").textContent = "live";
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      events.forEach(dispatch);
    }
  } finally {
    clearTimeout(watchdog);
  }
}

async function follow() {
  for (let wait = 1; ; wait = Math.min(wait * 2, 15)) {
    const begun = Date.now();
    let why = "";
    try {
      await listen();
    } catch (e) {
      why = e.name === "AbortError" ? "nothing comes" : e.message;
    }
    const lasted = Date.now() - begun > 10000;
    if (lasted) wait = 1;
    if (lasted && !why) continue; // max_request_duration, most likely: nothing is wrong
    at("live").textContent = why ? "not connected: " + why : "not connected";
    badge("not connected", "bad");
    await new Promise(done => setTimeout(done, wait * 1000));
  }
}

showSamples();
showLeases();
follow();
