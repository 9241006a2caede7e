"use strict";
/* What the pages of the explorer share. */
const facts = JSON.parse(document.getElementById("facts").textContent);
const at = (id) => document.getElementById(id);

/* Asks the server; returns numbers or facts. What went wrong stands in the page until something goes well. */
async function ask(call, query = {}, body = null) {
  let answer;
  try {
    answer = await fetch(`/ask/${call}?${new URLSearchParams(query)}`, { method: "POST", body });
  } catch {
    return fail("The explorer does not answer: it may have been ended in its terminal.");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    return fail(told ? told.error : "The explorer did not understand.");
  }
  at("error").hidden = true;
  if (answer.headers.get("content-type").startsWith("application/json")) return answer.json();
  return new Float32Array(await answer.arrayBuffer());
}

function fail(sentence) {
  at("error").textContent = sentence;
  at("error").hidden = false;
  return null;
}

/* Returns a function that does `work` one at a time: of what is asked meanwhile, the last is done next. */
function latest(work) {
  let busy = false, next = null;
  return async (...given) => {
    next = given;
    if (busy) return;
    busy = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await work(...now);
      }
    } finally {
      busy = false;
    }
  };
}

/* Takes files: chosen in `input`, or dropped anywhere. */
function takeFiles(input, take) {
  input.addEventListener("click", () => { input.value = ""; });  // so that the same file may be chosen again
  input.addEventListener("change", () => { if (input.files[0]) take(input.files[0]); });
  document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop")?.classList.add("over"); });
  document.addEventListener("dragleave", () => at("drop")?.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop")?.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
