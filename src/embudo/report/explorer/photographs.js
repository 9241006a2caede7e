"use strict";
/* A photograph, and what a model makes of it as a slider stands. */
const shown = at("shown"), setting = at("setting");
let photograph = null;

const update = latest(async () => {
  shown.classList.add("busy");
  const found = await ask(shown.dataset.call, { photograph, [shown.dataset.setting]: setting.value });
  shown.classList.remove("busy");
  if (!found) return;
  for (const [name, picture] of Object.entries(found)) {
    at(name).hidden = !picture;
    if (picture) at(name).src = picture.picture;
    at(`${name}-told`).textContent = picture ? picture.told : "has no file as small as this.";
  }
  setting.dispatchEvent(new Event("painted"));
});

function open(found) {
  if (!found) return;
  photograph = found.photograph;
  at("size").textContent = found.size;
  at("photograph").src = found.picture;
  shown.hidden = false;
  update();
}

const choose = latest(async (number) => open(await ask("sample", { number })));

setting.addEventListener("input", () => { at("setting-value").textContent = setting.value; update(); });
takeFiles(at("file"), async (file) => open(await ask("upload", { name: file.name }, file)));
if (facts.n_samples) {
  at("number").addEventListener("input", () => { if (at("number").value !== "") choose(at("number").value); });
  choose(0);
}
