/** A language model or a generator at work: text that appears symbol by symbol. */

import { labelled, make } from "./parts.js";

/** A browser draws between two symbols at least so often, in milliseconds. */
const FRAME = 16;

/** Show it in `place`; what goes wrong is told to `complain`, "" when nothing does. */
export function showWriting(place, model, complain) {
  const generates = "labels" in model;
  const given = generates ? labelInput(model) : promptInput();
  const inputs = {
    temperature: make("input", { type: "range", id: "temperature", min: 0, max: 1.5, step: 0.05 }),
    minP: make("input", { type: "range", id: "min-p", min: 0, max: 0.3, step: 0.01 }),
    maxLength: make("input", { type: "number", id: "length", min: 1, max: 5000, value: 400 }),
    seed: make("input", { type: "number", id: "seed", min: 0, value: 1 }),
  };
  [inputs.temperature.value, inputs.minP.value] = [0.8, 0.05];
  const write = make("button", {
    type: "submit",
    id: "write",
    className: "main",
    textContent: "Write",
  });
  const stop = make("button", { type: "button", id: "stop", textContent: "Stop", disabled: true });
  const text = make("div", { id: "text" });
  const form = make(
    "form",
    {},
    given.label,
    options(inputs),
    make("div", { className: "row" }, write, stop),
  );
  place.replaceChildren(make("h2", { textContent: "It writes" }), form, text);
  let running = null;
  stop.addEventListener("click", () => running?.return());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    [write.disabled, stop.disabled] = [true, false];
    text.dataset.state = "writing";
    try {
      running = started(model, given.input.value, inputs);
      await shown(running, text, generates ? "" : given.input.value, model);
      complain("");
    } catch (error) {
      complain(error.message);
    }
    [write.disabled, stop.disabled] = [false, true];
    text.dataset.state = "done";
  });
}

function promptInput() {
  const input = make("textarea", { id: "prompt", rows: 2, value: "The " });
  return { input, label: labelled("It goes on from", input) };
}

function labelInput(model) {
  const input = make("select", { id: "label" });
  input.append(...model.labels.map((one) => make("option", { value: one, textContent: one })));
  return { input, label: labelled("It writes for", input) };
}

function options({ temperature, minP, maxLength, seed }) {
  const said = (name, input) => {
    const label = labelled("", input);
    const tell = () => {
      label.firstChild.data = `${name} ${Number(input.value).toFixed(2)}`;
    };
    input.addEventListener("input", tell);
    tell();
    return label;
  };
  return make(
    "div",
    { className: "options" },
    said("Temperature", temperature),
    said("Min-p", minP),
    labelled("Symbols", maxLength),
    labelled("Seed", seed),
  );
}

function started(model, given, { temperature, minP, maxLength, seed }) {
  const chosen = {
    temperature: Number(temperature.value),
    minP: Number(minP.value),
    maxLength: Number(maxLength.value),
    seed: Number(seed.value),
  };
  return "labels" in model ? model.running(given, chosen) : model.generate(given, chosen);
}

/** Show the symbols as they come; the browser gets its turn once a frame. */
async function shown(symbols, place, prompt, model) {
  const made = document.createTextNode("");
  place.replaceChildren(make("span", { className: "prompt", textContent: prompt }), made);
  const space = (model.vocabularies.symbols ?? model.vocabularies.output).space;
  let drawn = performance.now();
  for await (const symbol of symbols) {
    made.data += (made.data || prompt ? space : "") + symbol;
    if (performance.now() - drawn > FRAME) {
      place.scrollTop = place.scrollHeight;
      await new Promise(requestAnimationFrame);
      drawn = performance.now();
    }
  }
}
