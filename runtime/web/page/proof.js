/** The golden trace, replayed on demand. */

import { replay } from "../treadle.js";
import { at, showFigures } from "./parts.js";

const FRAME = 50;

/** Let the button replay `model`; what goes wrong is told to `complain`. */
export function offerReplay(model, complain) {
  const [button, progress, list] = [at("replay"), at("progress"), at("proof")];
  list.replaceChildren();
  button.disabled = false;
  button.onclick = async () => {
    [button.disabled, progress.hidden] = [true, false];
    try {
      let drawn = performance.now();
      const found = await replay(model, async (step, steps) => {
        progress.value = step / steps;
        if (performance.now() - drawn > FRAME) {
          await new Promise(requestAnimationFrame);
          drawn = performance.now();
        }
      });
      showFigures(list, figures(found));
      complain("");
    } catch (error) {
      complain(error.message);
    }
    [button.disabled, progress.hidden] = [false, true];
  };
}

function figures({ steps, flips, checkpoints, outputs, states }) {
  return {
    "same choice": `${(steps - flips).toLocaleString("en")} of ${steps.toLocaleString("en")} steps`,
    "checkpoints compared": String(checkpoints),
    "outputs differ by": small(outputs),
    "states differ by": small(states),
  };
}

function small(value) {
  return value === 0 ? "0" : value.toExponential(1);
}
