"use strict";
/* An autoencoder: a sample, its code under sliders, and what that decodes to. */
const state = { sample: null, seen: null, code: null, decoded: null, seenCode: null };
const inputs = new Map();  // by unit
const shape = facts.image_shape;

// ---------------------------------------------------------------------------- pictures

function paint(canvas, values, other = null) {
  if (shape) paintImage(canvas, values); else paintLines(canvas, values, other);
}

function paintImage(canvas, values) {
  const [height, width, channels] = shape, span = (facts.high - facts.low) || 1;
  if (canvas.width !== width || canvas.height !== height || !canvas.style.width) {
    canvas.width = width;
    canvas.height = height;
    canvas.style.width = `${Math.max(1, Math.round(192 / Math.max(width, height))) * width}px`;
  }
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++)
      image.data[4 * i + c] = 255 * (values[i * channels + (channels === 3 ? c : 0)] - facts.low) / span;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/* Each feature between its least and greatest value; `other` is drawn in grey behind. */
function paintLines(canvas, values, other) {
  const [width, height, margin] = [640, 200, 20], context = canvas.getContext("2d");
  canvas.width = width;
  canvas.height = height;
  const x = (i) => margin + i * (width - 2 * margin) / Math.max(1, values.length - 1);
  const y = (v, i) => {
    const share = (v - facts.low[i]) / ((facts.high[i] - facts.low[i]) || 1);
    return height - margin - Math.max(-0.1, Math.min(1.1, share)) * (height - 2 * margin);
  };
  for (const [row, colour] of [[other, "#999"], [values, "#0060a0"]]) {
    if (!row) continue;
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 2;
    context.beginPath();
    row.forEach((v, i) => context.lineTo(x(i), y(v, i)));
    context.stroke();
    if (row.length <= 64) row.forEach((v, i) => context.fillRect(x(i) - 3, y(v, i) - 3, 6, 6));
  }
}

function showValues() {
  const rows = [];
  for (let i = 0; i < Math.min(200, facts.n_features); i++) {
    const row = document.createElement("tr"), name = document.createElement("th");
    name.scope = "row";
    name.textContent = facts.names ? facts.names[i] : `feature ${i}`;
    row.append(name);
    for (const values of [state.sample, state.decoded]) {
      const cell = document.createElement("td");
      cell.className = "number";
      cell.textContent = values ? readable(values[i]) : "";
      row.append(cell);
    }
    rows.push(row);
  }
  at("values").querySelector("tbody").replaceChildren(...rows);
}

/* A number as people read it. */
function readable(value) {
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(4);
}

function showDecoded(values) {
  state.decoded = values;
  paint(at("decoded"), values, state.sample);
  let error = 0;
  for (let i = 0; i < values.length; i++) error += (values[i] - state.sample[i]) ** 2;
  at("told").textContent = `Squared error ${readable(error)}, summed over ${values.length} features.`;
  if (!shape && at("values").open) showValues();
  at("decoded").dispatchEvent(new Event("painted"));
}

// ---------------------------------------------------------------------------- sample and code

const encode = latest(async () => {
  const amount = Number(at("amount").value), sample = state.sample;
  const seen = amount ? await ask("noise", { kind: at("kind").value, amount }, sample) : sample;
  const found = seen && await ask("encode", {}, seen);
  if (!found) return;
  state.seen = seen;
  at("seen-figure").hidden = !amount;
  paint(at("original"), sample);
  if (amount) paint(at("seen"), seen, sample);
  state.code = found.slice(0, facts.n_components);
  state.seenCode = state.code.slice();
  showSliders();
  showDecoded(found.slice(facts.n_components));
});

const decode = latest(async () => {
  const values = await ask("decode", {}, state.code);
  if (values) showDecoded(values);
});

function take(sample) {
  if (!sample) return;
  state.sample = sample;
  encode();
}

const choose = latest(async (number) => take(await ask("sample", { number })));

function makeSliders() {
  for (const unit of facts.units) {
    const label = document.createElement("label"), input = document.createElement("input");
    const value = document.createElement("output");
    input.type = "range";
    input.step = "any";
    input.addEventListener("input", () => {
      state.code[unit] = Number(input.value);
      value.textContent = Number(input.value).toPrecision(3);
      decode();
    });
    label.append(`unit ${unit}`, input, value);
    at("sliders").append(label);
    inputs.set(unit, [input, value]);
  }
}

function showSliders() {
  for (const [unit, [input, value]] of inputs) {
    const v = state.code[unit], [low, high] = facts.ends[unit];
    input.min = Math.min(low, v);
    input.max = Math.max(high, v, low + 1e-6);
    input.value = v;
    value.textContent = v.toPrecision(3);
  }
}

// ---------------------------------------------------------------------------- drawing

function makePad() {
  const pad = at("pad"), context = pad.getContext("2d", { willReadFrequently: true }), [height, width, channels] = shape;
  const side = 240, unit = side / Math.max(height, width);
  pad.width = Math.round(width * unit);
  pad.height = Math.round(height * unit);
  const [ground, ink] = facts.dark ? ["#000", "#fff"] : ["#fff", "#000"];
  const pen = { x: pad.width / 2, y: pad.height / 2, down: false };
  const small = Object.assign(document.createElement("canvas"), { width, height });
  const clear = () => { context.fillStyle = ground; context.fillRect(0, 0, pad.width, pad.height); };
  const send = () => {
    const brush = small.getContext("2d", { willReadFrequently: true });
    brush.imageSmoothingQuality = "high";
    brush.drawImage(pad, 0, 0, width, height);
    const pixels = brush.getImageData(0, 0, width, height).data, sample = new Float32Array(facts.n_features);
    for (let i = 0; i < sample.length; i++)
      sample[i] = facts.low + (facts.high - facts.low) * pixels[4 * Math.floor(i / channels) + (i % channels)] / 255;
    take(sample);
  };
  const line = (x, y) => {
    context.strokeStyle = ink;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = at("pen").value * side / 100;
    context.beginPath();
    context.moveTo(pen.x, pen.y);
    context.lineTo(x, y);
    context.stroke();
    Object.assign(pen, { x, y });
    send();
  };
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) * pad.width / box.width, (event.clientY - box.top) * pad.height / box.height];
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    [pen.x, pen.y] = place(event);
    line(pen.x, pen.y);
  });
  pad.addEventListener("pointermove", (event) => { if (event.buttons) line(...place(event)); });
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  pad.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) line(pen.x, pen.y);
    } else if (event.key in steps) {
      const [dx, dy] = steps[event.key], x = pen.x + dx * side / 24, y = pen.y + dy * side / 24;
      if (pen.down) line(x, y); else Object.assign(pen, { x, y });
    } else return;
    event.preventDefault();
  });
  at("clear").addEventListener("click", () => { clear(); send(); });
  clear();
}

// ---------------------------------------------------------------------------- controls

makeSliders();
at("back").addEventListener("click", () => { state.code = state.seenCode.slice(); showSliders(); decode(); });
at("kind").addEventListener("change", () => encode());
at("amount").addEventListener("input", () => { at("amount-value").textContent = at("amount").value; encode(); });
takeFiles(at("file"), async (file) => take(await ask("upload", { name: file.name }, file)));
if (shape) {
  makePad();
  at("invert").addEventListener("click", () => take(state.sample.map((v) => facts.low + facts.high - v)));
} else {
  at("values").addEventListener("toggle", showValues);
}
if (facts.n_samples) {
  at("number").addEventListener("input", () => { if (at("number").value !== "") choose(at("number").value); });
  at("any").addEventListener("click", () => {
    at("number").value = Math.floor(Math.random() * facts.n_samples);
    choose(at("number").value);
  });
  scatter(at("map"), facts.map, (row) => { at("number").value = row; choose(row); });
  choose(0);
} else {
  take(Float32Array.from(facts.first));
}
