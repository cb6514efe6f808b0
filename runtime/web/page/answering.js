/** A transducer at work: what is typed, and its answers with every key. */

import { labelled, make } from "./parts.js";
import { canSpeak, respelled, speak } from "./speaking.js";

const BEAMS = [1, 4, 8];
const MOST_SHOWN = 3;

/** Show a transducer in `place`; what goes wrong is told to `complain`, "" when nothing does. */
export function showAnswering(place, model, complain) {
  const text = make("input", {
    type: "text",
    id: "source",
    className: "large",
    autocomplete: "off",
  });
  text.spellcheck = false;
  text.placeholder = "a word or two";
  const beam = make("select", { id: "beam" });
  beam.append(...BEAMS.map((one) => make("option", { value: one, textContent: one })));
  beam.value = 4;
  const answers = make("div", { id: "answers" });
  place.replaceChildren(
    make("h2", { textContent: "Type, and it answers" }),
    labelled("Text", text),
    make("div", { className: "options" }, labelled("Beam: hypotheses kept", beam)),
    answers,
  );
  const answer = latestOnly(async () => {
    const parts = split(text.value, model.vocabularies.input);
    try {
      const options = { beam: Number(beam.value), nBest: Math.min(beam.value, MOST_SHOWN) };
      const found = parts.length ? await model.transduce(parts, options) : [];
      answers.replaceChildren(...found.map((best, at) => card(parts[at], best)));
      answers.dataset.of = text.value;
      complain("");
    } catch (error) {
      complain(error.message);
    }
  });
  text.addEventListener("input", answer);
  beam.addEventListener("change", answer);
  text.focus();
}

/** Words one by one where the model knows no space; in lower case where it knows no capitals. */
function split(text, vocabulary) {
  const known = new Set(vocabulary.symbols);
  const lower = vocabulary.kind === "characters" && !known.has("A") ? text.toLowerCase() : text;
  const byWord = vocabulary.kind === "characters" && !known.has(" ");
  return (byWord ? lower.split(/\s+/) : [lower]).filter((part) => part.trim());
}

function card(word, [best, ...others]) {
  const spelled = respelled(best);
  const head = make(
    "div",
    { className: "row" },
    make("span", { className: "word", textContent: word }),
  );
  if (canSpeak && spelled) {
    const button = make("button", { type: "button", textContent: `Say “${spelled}”` });
    button.addEventListener("click", () => speak(spelled));
    head.append(button);
  }
  const chips = best.symbols.length ? best.symbols : ["(nothing)"];
  const symbols = chips.map((symbol) => make("span", { textContent: symbol }));
  const made = make(
    "div",
    { className: "answer" },
    head,
    make("div", { className: "symbols" }, ...symbols),
  );
  made.dataset.text = best.text;
  made.append(make("ul", { className: "others" }, ...others.map((other) => line(other))));
  return made;
}

function line({ text, score }) {
  const shown = make("span", { className: "score", textContent: score.toFixed(2) });
  shown.title = "log-probability, divided by the length penalty";
  return make("li", {}, make("span", { textContent: text || "(nothing)" }), shown);
}

/** Runs `work` one at a time, and once more where it was asked for meanwhile. */
function latestOnly(work) {
  let running = false;
  let again = false;
  return async () => {
    again = true;
    if (running) {
      return;
    }
    running = true;
    while (again) {
      again = false;
      await work();
    }
    running = false;
  };
}
