"use strict";
/* A scatter plot of up to some hundred thousand points in two or three dimensions, on a canvas.

   scatter(root, data): `root` holds a canvas, elements of class "legend", "sample" and "row", and buttons with
   data-do="in", "out" or "reset". `data` has n, dimensions, codes (base64 of uint16, a point after the other), groups
   (base64 of uint16: number of each point's label), labels (name, colour and count of each), sprite (PNG as data URI,
   or null), tile (width and height of a thumbnail), columns (thumbnails in a row) and pictured (base64 of uint32: rows
   that have a thumbnail, in order). `take`, where there is one, is called with the row that is clicked on or typed.
   While it moves, as many points are drawn as can be at once; the others follow when it rests. */
function scatter(root, data, take = null) {
  const canvas = root.querySelector("canvas"), context = canvas.getContext("2d");
  const sampleBox = root.querySelector(".sample"), rowBox = root.querySelector(".row");
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const raw = new Uint16Array(bytes(data.codes)), groups = new Uint16Array(bytes(data.groups));
  const pictures = new Map(Array.from(new Uint32Array(bytes(data.pictured)), (row, i) => [row, i]));
  const { n, dimensions } = data, shown = data.labels.map(() => true);
  const points = Float32Array.from(raw, (v) => v / 32767.5 - 1);
  const x = new Float32Array(n), y = new Float32Array(n), depth = new Uint8Array(n);
  const order = new Uint32Array(n), screen = { width: 0, height: 0, ratio: 1 };
  const MOVING = 100000, REST = 150;  // points, and milliseconds
  const view = { zoom: 1, left: 0, top: 0, turn: 0.6, tilt: 0.4 };
  let selected = -1, frame = 0, dragged = false, drawn = n, resting = 0;

  const sprite = data.sprite ? new Image() : null;
  if (sprite) { sprite.src = data.sprite; sprite.onload = () => describe(selected); }
  const packed = data.labels.map(({ color }) => {
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
  // points of all labels are mixed, so that none lies on top of all others: a fixed stride visits each once
  const stride = [1000003, 15485863, 32452843].find((prime) => n % prime);
  for (let i = 0, at = 0; i < n; i++, at = (at + stride) % n) order[i] = at;

  function project() {
    const side = Math.min(screen.width, screen.height) * 0.46 * view.zoom;
    const cx = screen.width / 2 + view.left, cy = screen.height / 2 + view.top;
    const [ct, st, cp, sp] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
    const place = (i) => {
      let px = points[i * dimensions], py = dimensions > 1 ? points[i * dimensions + 1] : 0;
      if (dimensions === 3) {
        const pz = points[i * 3 + 2], side = px * ct - pz * st, back = px * st + pz * ct;
        depth[i] = 127 + 73 * (py * sp + back * cp);
        [px, py] = [side * 0.75, (py * cp - back * sp) * 0.75];
      }
      x[i] = cx + px * side;
      y[i] = cy - py * side;
    };
    if (drawn === n) for (let i = 0; i < n; i++) place(i);
    else for (let k = 0; k < drawn; k++) place(order[k]);
    if (selected >= 0) place(selected);
  }

  function ordered() {
    const some = order.subarray(0, drawn);
    if (dimensions < 3) return some;
    const starts = new Uint32Array(257), sorted = new Uint32Array(drawn);
    for (const i of some) starts[depth[i] + 1]++;
    for (let i = 0; i < 256; i++) starts[i + 1] += starts[i];
    for (const i of some) sorted[starts[depth[i]]++] = i;
    return sorted;
  }

  function draw() {
    frame = 0;
    project();
    const { width, height } = canvas, ratio = screen.ratio;
    const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const radius = ratio * Math.max(1, Math.min(5, 130 / Math.sqrt(n) * Math.sqrt(view.zoom)));
    const reach = Math.ceil(radius), disc = [];
    for (let dy = -reach; dy <= reach; dy++)
      for (let dx = -reach; dx <= reach; dx++) if (dx * dx + dy * dy <= radius * radius) disc.push([dx, dy]);
    for (const i of ordered()) {
      if (!shown[groups[i]]) continue;
      const px = Math.round(x[i] * ratio), py = Math.round(y[i] * ratio);
      if (px < reach || py < reach || px >= width - reach || py >= height - reach) continue;
      const color = packed[groups[i]];
      for (const [dx, dy] of disc) pixels[(py + dy) * width + px + dx] = color;
    }
    context.putImageData(image, 0, 0);
    if (selected >= 0) {
      context.lineWidth = 2 * ratio;
      context.strokeStyle = "#000";
      context.beginPath();
      context.arc(x[selected] * ratio, y[selected] * ratio, radius + 4 * ratio, 0, 7);
      context.stroke();
    }
  }

  function redraw(moving = false) {
    clearTimeout(resting);
    drawn = moving ? Math.min(n, MOVING) : n;
    if (drawn < n) resting = setTimeout(redraw, REST);
    if (!frame) frame = requestAnimationFrame(draw);
    canvas.dataset.drawn = drawn;
  }

  function nearest(px, py) {
    let best = -1, least = 14 * 14;
    for (let i = 0; i < n; i++) {
      if (!shown[groups[i]]) continue;
      // of points in one place, one with a picture is shown
      const distance = (x[i] - px) ** 2 + (y[i] - py) ** 2 + (!sprite || pictures.has(i) ? 0 : 25);
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  function select(i) {
    if (i === selected) return;
    selected = i;
    describe(i);
    redraw();
  }

  function describe(i) {
    sampleBox.replaceChildren();
    if (i < 0) { sampleBox.textContent = "Point at a sample, or give its row."; return; }
    rowBox.value = i;
    const label = data.labels[groups[i]], at = pictures.get(i), text = document.createElement("p");
    text.textContent = `Row ${i.toLocaleString("en")}` + (data.labels.length > 1 || label.name ? `: ${label.name}` : "");
    sampleBox.append(text);
    if (sprite && at === undefined) sampleBox.append("Too many samples for a picture of each.");
    if (!sprite || at === undefined || !sprite.complete) return;
    const [w, h] = data.tile, larger = Math.max(1, Math.floor(112 / Math.max(w, h)));
    const thumbnail = Object.assign(document.createElement("canvas"), { width: w * larger, height: h * larger });
    const brush = thumbnail.getContext("2d");
    brush.imageSmoothingEnabled = false;
    const [column, line] = [at % data.columns, Math.floor(at / data.columns)];
    brush.drawImage(sprite, column * w, line * h, w, h, 0, 0, w * larger, h * larger);
    thumbnail.setAttribute("role", "img");
    thumbnail.setAttribute("aria-label", `Picture of row ${i}`);
    sampleBox.append(thumbnail);
  }

  function zoom(factor, px = screen.width / 2, py = screen.height / 2) {
    const next = Math.min(200, Math.max(0.5, view.zoom * factor)), change = next / view.zoom;
    view.left = px - screen.width / 2 - (px - screen.width / 2 - view.left) * change;
    view.top = py - screen.height / 2 - (py - screen.height / 2 - view.top) * change;
    view.zoom = next;
    redraw(true);
  }

  function move(dx, dy, turning) {
    if (turning) {
      view.turn -= dx / 150;
      view.tilt = Math.max(-1.57, Math.min(1.57, view.tilt + dy / 150));
    } else {
      view.left += dx;
      view.top += dy;
    }
    redraw(true);
  }

  function reset() {
    Object.assign(view, { zoom: 1, left: 0, top: 0, turn: 0.6, tilt: 0.4 });
    redraw();
  }

  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    dragged = false;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId), now = [event.offsetX, event.offsetY];
    if (!before) { select(nearest(...now)); return; }
    dragged = true;
    const other = [...fingers].find(([id]) => id !== event.pointerId);
    if (other) {
      const apart = ([a, b]) => Math.hypot(a - other[1][0], b - other[1][1]) || 1;
      zoom(apart(now) / apart(before), ...other[1]);
    } else {
      move(now[0] - before[0], now[1] - before[1], dimensions === 3 && !event.shiftKey);
    }
    fingers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      if (event.pointerType !== "mouse") select(nearest(event.offsetX, event.offsetY));
    });
  if (take)
    canvas.addEventListener("click", (event) => {
      const row = nearest(event.offsetX, event.offsetY);
      if (row >= 0 && !dragged) take(row);
    });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });

  const keys = {
    ArrowLeft: [30, 0], ArrowRight: [-30, 0], ArrowUp: [0, 30], ArrowDown: [0, -30],
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in keys) move(...keys[event.key], dimensions === 3 && !event.shiftKey);
    else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
  });
  const actions = { in: () => zoom(1.3), out: () => zoom(1 / 1.3), reset };
  for (const button of root.querySelectorAll("[data-do]"))
    button.addEventListener("click", actions[button.dataset.do]);
  rowBox.max = n - 1;
  rowBox.addEventListener("input", () => {
    const row = Number(rowBox.value);
    if (rowBox.value === "" || !Number.isInteger(row) || row < 0 || row >= n) return;
    select(row);
    if (take) take(row);
  });

  const legend = root.querySelector(".legend");
  if (data.labels.length > 1 || data.labels[0].name)
    data.labels.forEach(({ name, color, count }, group) => {
      const item = document.createElement("label"), box = document.createElement("input");
      const mark = document.createElement("span"), text = document.createElement("span");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => { shown[group] = box.checked; redraw(); });
      mark.className = "mark";
      mark.style.background = color;
      text.textContent = `${name} (${count.toLocaleString("en")})`;
      item.append(box, mark, text);
      legend.append(item);
    });

  new ResizeObserver(() => {
    screen.ratio = Math.min(2, window.devicePixelRatio || 1);
    screen.width = canvas.clientWidth;
    screen.height = canvas.clientHeight;
    canvas.width = Math.round(screen.width * screen.ratio);
    canvas.height = Math.round(screen.height * screen.ratio);
    draw();
  }).observe(canvas);
  describe(-1);
}
