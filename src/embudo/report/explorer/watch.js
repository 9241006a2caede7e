"use strict";
/* The losses of a training, drawn anew as epochs come. */
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
    const mark = document.createElement("span"), dash = document.createElement("span");
    dash.textContent = dashes === "none" ? "━━ " : "╍╍ ";
    dash.style.color = stroke;
    mark.append(dash, name);
    marks.push(mark);
  });
  chart.replaceChildren(...parts);
  at("legend").replaceChildren(...marks);
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
  rows.push(row);
  const losses = Object.entries(row.losses).map(([name, value]) => `${name} ${value.toPrecision(4)}`).join(", ");
  at("now").textContent = `${row.stage ? `${row.stage}, epoch` : "Epoch"} ${row.epoch}: ${losses}; ${Math.round(row.speed).toLocaleString("en")} samples a second.`;
  redraw();
};
events.onerror = () => { fail("The training does not answer: it may have been ended in its terminal."); };
window.addEventListener("resize", redraw);
