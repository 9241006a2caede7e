"use strict";
/* A training, drawn anew as epochs come: its losses, and samples beside what the network makes of them. */
const rows = [], chart = at("chart"), colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const MOST = 1000;  // rows that are drawn, evenly spaced, and the last
let frame = 0;

function draw() {
  frame = 0;
  const { clientWidth: width, clientHeight: height } = chart, [left, right, top, bottom] = [64, 12, 10, 34];
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const curves = new Map(), step = Math.ceil(rows.length / MOST);
  rows.forEach((row, i) => {
    if (i % step && i !== rows.length - 1) return;
    for (const [name, value] of Object.entries(row.losses)) {
      const key = row.stage ? `${row.stage}: ${name}` : name;
      if (!curves.has(key)) curves.set(key, []);
      curves.get(key).push([i, value]);
    }
  });
  const values = [...curves.values()].flat().map(([, value]) => value).filter(Number.isFinite);
  const logarithmic = Math.min(...values) > 0, scale = logarithmic ? Math.log10 : (v) => v;
  let [low, high] = [scale(Math.min(...values)), scale(Math.max(...values))];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const x = (i) => left + (rows.length < 2 ? 0.5 : i / (rows.length - 1)) * (width - left - right);
  const y = (v) => top + (high - scale(v)) / (high - low) * (height - top - bottom);
  const parts = [];
  for (let i = 0; i <= 4; i++) {
    const v = low + (high - low) * i / 4, value = logarithmic ? 10 ** v : v;
    parts.push(part("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: "#ddd" }));
    parts.push(text(left - 6, y(value) + 4, Number(value.toPrecision(3)).toString(), "end"));
  }
  const every = Math.max(1, Math.ceil(rows.length / 8));
  rows.forEach((row, i) => { if (i % every === 0) parts.push(text(x(i), height - 16, row.epoch, "middle")); });
  parts.push(text((left + width) / 2, height - 2, "epoch", "middle"));
  const marks = [];
  [...curves].forEach(([name, points], number) => {
    const stroke = colours[number % colours.length], line = points.map(([i, v]) => `${x(i)},${y(v)}`).join(" ");
    const dashes = name.includes("validation") ? "6 3" : "none";
    parts.push(part("polyline", { points: line, fill: "none", stroke, "stroke-width": 2, "stroke-dasharray": dashes }));
    if (points.length === 1) parts.push(part("circle", { cx: x(points[0][0]), cy: y(points[0][1]), r: 3, fill: stroke }));
    marks.push(mark(name, dashes === "none" ? "━━ " : "╍╍ ", stroke));
  });
  chart.replaceChildren(...parts);
  at("legend").replaceChildren(...marks);
}

/* Rows of images, or lines over features. */
function show({ when, images, lines, n_shown, n_features }) {
  at("seen").hidden = false;
  at("when").textContent = `${when}:`;
  at("images").hidden = !images;
  at("lines").hidden = !lines;
  if (images) {
    for (const name of ["samples", "given", "reconstructions"]) {
      at(name).parentElement.hidden = !images[name];
      if (images[name]) at(name).src = images[name];
    }
  } else {
    at("panels").replaceChildren(...lines.samples.map((_, i) => panel(lines, i)));
    const features = n_shown < n_features ? `${n_shown} of the ${n_features.toLocaleString("en")} features` : "All features";
    at("lines-told").replaceChildren(
      ...Object.entries(KINDS).filter(([name]) => lines[name]).map(([, { told, dash, stroke }]) => mark(told, dash, stroke)),
      `${features}, each from its least to its greatest value in these samples.`);
  }
}

const KINDS = {
  samples: { told: "sample", dash: "━━ ", stroke: "#999", "stroke-width": 4 },
  given: { told: "as the network is given it", dash: "┅┅ ", stroke: "#D55E00", "stroke-width": 1.5, "stroke-dasharray": "2 3" },
  reconstructions: { told: "reconstruction", dash: "── ", stroke: "#0072B2", "stroke-width": 2 },
};

function panel(lines, i) {
  const picture = part("svg", { viewBox: "0 0 200 96", preserveAspectRatio: "none" });
  for (const [name, { told, dash, ...style }] of Object.entries(KINDS)) {
    if (!lines[name]) continue;
    const row = lines[name][i], x = (j) => 4 + 192 * j / Math.max(1, row.length - 1);
    const points = row.map((v, j) => `${x(j)},${88 - 80 * v}`).join(" ");
    picture.append(part("polyline", { points, fill: "none", "vector-effect": "non-scaling-stroke", ...style }));
  }
  return picture;
}

function mark(name, dash, colour) {
  const mark = document.createElement("span"), line = document.createElement("span");
  line.textContent = dash;
  line.style.color = colour;
  mark.append(line, name);
  return mark;
}

function part(kind, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function text(x, y, content, anchor) {
  const element = part("text", { x, y, "text-anchor": anchor, "font-size": 13, fill: "#444" });
  element.textContent = content;
  return element;
}

const redraw = () => { if (rows.length && !frame) frame = requestAnimationFrame(draw); };
const events = new EventSource("/events");
events.onopen = () => { rows.length = 0; };
events.onmessage = ({ data }) => {
  const row = JSON.parse(data);
  if (row.finished) {
    events.close();
    at("now").append(" The training is over.");
    return;
  }
  if (row.picture) {
    show(row.picture);
    return;
  }
  rows.push(row);
  const losses = Object.entries(row.losses).map(([name, value]) => `${name} ${value.toPrecision(4)}`).join(", ");
  at("now").textContent = `${row.stage ? `${row.stage}, epoch` : "Epoch"} ${row.epoch}: ${losses}; ${Math.round(row.speed).toLocaleString("en")} samples a second.`;
  redraw();
};
events.onerror = () => { fail("The training does not answer: it may have been ended in its terminal."); };
window.addEventListener("resize", redraw);
