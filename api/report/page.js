"use strict";
// Data: nodes by column (name, op, source, x, y, state), edges as pairs of numbers,
// columns of the table (title, values, kind), colours to choose from. All text is set as
// text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("graph");
if (data.nodes && canvas) start();

function start() {
  const {nodes, edges, columns, colours} = data;
  const count = nodes.name.length;
  const W = 150, H = 40, DX = 172, DY = 74, ROW = 26;
  const pen = canvas.getContext("2d");
  const view = {x: 0, y: 0, zoom: 1};
  let chosen = -1, hits = [], order = [...Array(count).keys()], wanted = false, palette = {};
  const px = Float64Array.from(nodes.x, v => v * DX), py = Float64Array.from(nodes.y, v => v * DY);
  const byLayer = [...Array(count).keys()].sort((a, b) => py[a] - py[b]);
  const layers = byLayer.map(i => py[i]);
  const lines = [];
  let longest = 0;
  for (let k = 0; k < edges.length; k += 2) {
    lines.push([edges[k], edges[k + 1]]);
    longest = Math.max(longest, Math.abs(py[edges[k + 1]] - py[edges[k]]));
  }
  lines.sort((a, b) => py[a[0]] - py[b[0]]);
  const lineTops = lines.map(e => py[e[0]]);

  function first(sorted, value) {
    let low = 0, high = sorted.length;
    while (low < high) { const m = (low + high) >> 1; if (sorted[m] < value) low = m + 1; else high = m; }
    return low;
  }

  function readPalette() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ground", "panel", "text", "dim", "line", "accent", "good", "bad", "s1", "s4"])
      palette[name] = style.getPropertyValue("--" + name).trim();
  }

  const select = document.getElementById("colour");
  colours.forEach((c, i) => select.add(new Option(c.title, String(i))));
  select.parentElement.hidden = colours.length < 2;

  function colourOf(i) {
    const c = colours[Number(select.value) || 0], v = c && c.values[i];
    if (v === null || v === undefined) return palette.line;
    if (c.kind === "state") return [palette.line, palette.s4, palette.good, palette.bad][v];
    if (c.kind === "error") return v > 1 ? palette.bad : mix(palette.good, palette.s4, level(v));
    return mix(palette.line, palette.s1, Math.sqrt(v / c.most));
  }
  const level = v => v <= 0 ? 0 : Math.min(1, Math.max(0, (Math.log10(v) + 4) / 4));
  function mix(a, b, t) {
    const p = s => [1, 3, 5].map(k => parseInt(s.slice(k, k + 2), 16));
    const [x, y] = [p(a), p(b)];
    return "rgb(" + x.map((v, k) => Math.round(v + (y[k] - v) * t)).join(",") + ")";
  }

  let colour = [];
  function recolour() { readPalette(); colour = Array.from({length: count}, (_, i) => colourOf(i)); ask(); }

  function ask() { if (!wanted) { wanted = true; requestAnimationFrame(draw); } }

  function draw() {
    wanted = false;
    const ratio = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
      canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio);
    }
    const z = view.zoom;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = palette.panel;
    pen.fillRect(0, 0, w, h);
    pen.setTransform(ratio * z, 0, 0, ratio * z, -view.x * z * ratio, -view.y * z * ratio);
    const left = view.x - W, right = view.x + w / z, top = view.y - H, bottom = view.y + h / z;
    pen.strokeStyle = palette.dim; pen.globalAlpha = 0.55; pen.lineWidth = Math.max(1, 0.7 / z);
    pen.beginPath();
    for (let k = first(lineTops, top - longest); k < lines.length && lineTops[k] <= bottom; k++) {
      const [a, b] = lines[k], xa = px[a] + W / 2, xb = px[b] + W / 2, ya = py[a] + H, yb = py[b];
      if (yb < top || Math.max(xa, xb) < left || Math.min(xa, xb) > right) continue;
      if (z < 0.12 && yb - ya < 2 / z) continue;
      pen.moveTo(xa, ya);
      if (z > 0.3 && xa !== xb) { const m = (ya + yb) / 2; pen.bezierCurveTo(xa, m, xb, m, xb, yb); }
      else pen.lineTo(xb, yb);
    }
    pen.stroke();
    pen.globalAlpha = 1;
    const marked = new Set(hits.slice(0, 400));
    pen.font = "12px system-ui, sans-serif"; pen.textBaseline = "middle";
    const words = z > 0.45, thin = Math.max(H, 1.5 / z);
    for (let k = first(layers, top); k < count && layers[k] <= bottom; k++) {
      const i = byLayer[k], x = px[i], y = py[i];
      if (x < left || x > right) continue;
      if (!words) { pen.fillStyle = colour[i]; pen.fillRect(x, y, W, thin); }
      else {
        pen.fillStyle = palette.ground; pen.fillRect(x, y, W, H);
        pen.fillStyle = colour[i]; pen.fillRect(x, y, 6, H);
        pen.strokeStyle = palette.line; pen.lineWidth = 1; pen.strokeRect(x, y, W, H);
        pen.fillStyle = palette.text; pen.fillText(short(nodes.op[i], 20), x + 13, y + 13);
        pen.fillStyle = palette.dim; pen.fillText(short(nodes.name[i], 20), x + 13, y + 28);
      }
      if (i === chosen || marked.has(i)) {
        pen.strokeStyle = i === chosen ? palette.accent : palette.s4;
        pen.lineWidth = Math.max(3, 3 / z); pen.strokeRect(x - 2, y - 2, W + 4, H + 4);
      }
    }
  }
  const short = (s, n) => s.length > n ? s.slice(0, n - 1) + "\u2026" : s;

  function fit() {
    let a = Infinity, b = -Infinity, c = Infinity, d = -Infinity;
    for (let i = 0; i < count; i++) { a = Math.min(a, px[i]); b = Math.max(b, px[i] + W); c = Math.min(c, py[i]); d = Math.max(d, py[i] + H); }
    const w = canvas.clientWidth, h = canvas.clientHeight;
    view.zoom = Math.min(1, w / (b - a + 40), h / (d - c + 40));
    view.x = (a + b) / 2 - w / view.zoom / 2; view.y = (c + d) / 2 - h / view.zoom / 2;
    ask();
  }
  function show(i) {
    if (view.zoom < 0.5) view.zoom = 0.9;
    view.x = px[i] + W / 2 - canvas.clientWidth / view.zoom / 2;
    view.y = py[i] + H / 2 - canvas.clientHeight / view.zoom / 2;
    ask();
  }
  function zoom(by, x, y) {
    const next = Math.min(3, Math.max(0.002, view.zoom * by));
    view.x += x / view.zoom - x / next; view.y += y / view.zoom - y / next; view.zoom = next; ask();
  }

  const detail = document.getElementById("detail");
  function choose(i, from) {
    if (i < 0 || i >= count) return;
    chosen = i;
    const list = document.createElement("dl");
    const add = (k, v) => {
      if (v === "" || v === null || v === undefined) return;
      const t = document.createElement("dt"), d = document.createElement("dd");
      t.textContent = k; d.textContent = v; list.append(t, d);
    };
    add("value", nodes.name[i]); add("op", nodes.op[i]); add("source", nodes.source[i]);
    for (const c of columns) if (!c.hide) add(c.title, text(c, i));
    detail.replaceChildren(list);
    if (from !== "graph") show(i); else ask();
    if (from !== "table") scrollTo(order.indexOf(i));
    fill();
  }

  // Pointer and keys of the graph.
  let held = null;
  canvas.addEventListener("pointerdown", e => { held = {x: e.clientX, y: e.clientY, far: 0}; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointermove", e => {
    if (!held) return;
    const dx = e.clientX - held.x, dy = e.clientY - held.y;
    held.far += Math.abs(dx) + Math.abs(dy); held.x = e.clientX; held.y = e.clientY;
    view.x -= dx / view.zoom; view.y -= dy / view.zoom; ask();
  });
  canvas.addEventListener("pointerup", e => {
    if (held && held.far < 5) {
      const box = canvas.getBoundingClientRect();
      const x = view.x + (e.clientX - box.left) / view.zoom, y = view.y + (e.clientY - box.top) / view.zoom;
      for (let k = first(layers, y - H); k < count && layers[k] <= y; k++) {
        const i = byLayer[k];
        if (x >= px[i] && x <= px[i] + W) { choose(i, "graph"); break; }
      }
    }
    held = null;
  });
  canvas.addEventListener("wheel", e => {
    e.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-e.deltaY / 400), e.clientX - box.left, e.clientY - box.top);
  }, {passive: false});
  canvas.addEventListener("keydown", e => {
    const step = 60 / view.zoom, middle = [canvas.clientWidth / 2, canvas.clientHeight / 2];
    const moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]};
    if (moves[e.key]) { view.x += moves[e.key][0]; view.y += moves[e.key][1]; ask(); }
    else if (e.key === "+" || e.key === "=") zoom(1.25, ...middle);
    else if (e.key === "-") zoom(0.8, ...middle);
    else if (e.key === "0") fit();
    else if (e.key === "n") choose(Math.min(count - 1, chosen + 1));
    else if (e.key === "p") choose(Math.max(0, chosen - 1));
    else if (e.key === "Enter" && chosen >= 0) table.focus();
    else return;
    e.preventDefault();
  });

  // Search.
  const search = document.getElementById("search"), said = document.getElementById("hits");
  const texts = nodes.name.map((n, i) => (n + "\n" + nodes.op[i] + "\n" + nodes.source[i]).toLowerCase());
  let next = 0;
  search.addEventListener("input", () => {
    const q = search.value.trim().toLowerCase();
    hits = q ? [...texts.keys()].filter(i => texts[i].includes(q)) : [];
    next = 0;
    said.textContent = q ? hits.length + " found" : "";
    order = sorted(q ? hits : [...Array(count).keys()]);
    fill(true); ask();
  });
  search.addEventListener("keydown", e => {
    if (e.key !== "Enter" || !hits.length) return;
    choose(hits[next % hits.length]); next++;
  });
  document.addEventListener("keydown", e => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (e.key === "/" && !typing) { e.preventDefault(); search.focus(); }
  });

  // Table: only the rows that can be seen exist.
  const table = document.getElementById("nodes"), head = document.getElementById("head"), body = document.getElementById("body");
  const shown = [{title: "value", values: nodes.name, kind: "text", wide: 170}, {title: "op", values: nodes.op, kind: "text", wide: 110},
    {title: "source", values: nodes.source, kind: "text", wide: 230}, ...columns];
  let by = null, down = true;
  function text(c, i) {
    const v = c.values[i];
    if (v === null || v === undefined) return c.other ? c.other[i] : "";
    return c.kind === "text" ? v : c.kind === "time" ? v.toPrecision(3) + " ms" : Number(v.toPrecision(3)).toString();
  }
  function sorted(rows) {
    if (!by) return rows;
    const value = i => { const v = by.values[i]; return v === null || v === undefined ? (by.kind === "text" ? "" : -1) : v; };
    const sign = down ? -1 : 1;
    return [...rows].sort((a, b) => { const x = value(a), y = value(b); return (x < y ? -sign : x > y ? sign : a - b); });
  }
  const wide = c => c.wide || Math.min(320, Math.max(150, 8 * c.title.length + 28));
  for (const c of shown) {
    const button = document.createElement("button");
    button.type = "button"; button.textContent = c.title; button.title = "sort by " + c.title;
    button.style.width = wide(c) + "px";
    button.addEventListener("click", () => { down = by === c ? !down : c.kind !== "text"; by = c; order = sorted(order); fill(true); });
    head.append(button);
  }
  function fill(anew) {
    body.style.height = order.length * ROW + "px";
    if (anew) table.scrollTop = 0;
    const from = Math.max(0, Math.floor(table.scrollTop / ROW) - 4), rows = [];
    for (let k = from; k < Math.min(order.length, from + table.clientHeight / ROW + 10); k++) {
      const i = order[k], row = document.createElement("div");
      row.className = i === chosen ? "row chosen" : "row"; row.style.top = k * ROW + "px";
      row.setAttribute("role", "row"); row.dataset.node = String(i);
      for (const c of shown) {
        const cell = document.createElement("span");
        cell.textContent = text(c, i); cell.style.width = wide(c) + "px";
        if (c.kind === "error" && c.values[i] > 1) cell.className = "bad";
        row.append(cell);
      }
      rows.push(row);
    }
    body.replaceChildren(...rows);
  }
  function scrollTo(k) {
    if (k < 0) return;
    const y = k * ROW;
    if (y < table.scrollTop || y > table.scrollTop + table.clientHeight - 3 * ROW) table.scrollTop = Math.max(0, y - 100);
  }
  table.addEventListener("scroll", () => fill(), {passive: true});
  body.addEventListener("click", e => { const row = e.target.closest(".row"); if (row) choose(Number(row.dataset.node), "table"); });
  table.addEventListener("keydown", e => {
    const k = order.indexOf(chosen);
    const to = {ArrowDown: k + 1, ArrowUp: Math.max(0, k - 1), Home: 0, End: order.length - 1, PageDown: k + 15, PageUp: Math.max(0, k - 15)}[e.key];
    if (to !== undefined) { e.preventDefault(); const at = Math.min(order.length - 1, to); if (at >= 0) { choose(order[at], "table"); scrollTo(at); } }
    else if (e.key === "Enter") canvas.focus();
  });

  document.getElementById("fit").addEventListener("click", fit);
  document.getElementById("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("--ground").trim() !== "#ffffff";
    document.documentElement.dataset.theme = dark ? "light" : "dark"; recolour();
  });
  select.addEventListener("change", recolour);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  new ResizeObserver(ask).observe(canvas);
  recolour(); fit(); fill();
  if (data.chosen >= 0) choose(data.chosen);
  window.report = {view, choose, fit, draw, get chosen() { return chosen; }, get order() { return order; }};
}
