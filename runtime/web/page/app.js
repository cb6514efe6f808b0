/** The page: opens a bundle, shows what its task can do, and opens another that is dropped. */

import { Generator, LanguageModel, load, Transducer } from "../treadle.js";
import { showAnswering } from "./answering.js";
import { chosenSource, droppedSource } from "./dropping.js";
import { Latency } from "./latency.js";
import { at, make } from "./parts.js";
import { offerReplay } from "./proof.js";
import { showWriting } from "./writing.js";

const ENGINE = new URL("../assets/ort.wasm.bundle.min.mjs", import.meta.url);
const BUNDLE = new URL("../bundle/", import.meta.url);
const latency = new Latency();
let open = null;

function say(text, bad = false) {
  at("message").textContent = text;
  at("message").classList.toggle("bad", bad);
}

const complain = (text) => say(text, text !== "");

/** Open what `find` gives; a bundle that cannot be opened leaves the one before it at work. */
async function openFrom(find) {
  document.body.dataset.state = "loading";
  say("Opening the bundle…");
  try {
    const source = await find();
    const model = await load(source, { engine: await import(ENGINE) });
    await model.session("step" in model.manifest.graphs ? "step" : "sequence");
    const before = open;
    open = model;
    show(model);
    say("");
    await before?.close();
  } catch (error) {
    say(error.message, true);
  }
  document.body.dataset.state = open ? "ready" : "failed";
}

function show(model) {
  const { manifest } = model;
  const bytes = Object.values(manifest.files).reduce((sum, file) => sum + file.bytes, 0);
  const facts = [manifest.task, manifest.precision, `${(bytes / 1e6).toFixed(2)} MB`];
  document.title = `${manifest.name} · Treadle`;
  at("name").textContent = manifest.name;
  at("facts").replaceChildren(...facts.map((fact) => make("li", { textContent: fact })));
  latency.clear();
  model.onCall = (graph, milliseconds) => graph === "step" && latency.add(milliseconds);
  offerReplay(model, complain);
  const place = at("work");
  if (model instanceof Transducer) {
    showAnswering(place, model, complain);
  } else if (model instanceof LanguageModel || model instanceof Generator) {
    showWriting(place, model, complain);
  } else {
    place.replaceChildren(
      make("h2", { textContent: "Opened" }),
      make("p", {
        textContent: `This page has no view of the task ${manifest.task}; replay its trace.`,
      }),
    );
  }
}

function listen() {
  for (const kind of ["zip", "folder"]) {
    at(`choose-${kind}`).addEventListener("click", () => at(kind).click());
    at(kind).addEventListener("change", ({ target }) => {
      const files = [...target.files];
      target.value = ""; // so that the same can be chosen again
      if (files.length) {
        openFrom(async () => chosenSource(files));
      }
    });
  }
  const dragging = (is) => (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", is);
  };
  addEventListener("dragover", dragging(true));
  addEventListener("dragleave", dragging(false));
  addEventListener("drop", (event) => {
    dragging(false)(event);
    const { dataTransfer } = event;
    openFrom(() => droppedSource(dataTransfer));
  });
}

listen();
openFrom(async () => BUNDLE);
