/** Elements of the page, made in one line each. */

/** A new element with properties and children; text becomes text, never markup. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    element[name] = value;
  }
  element.append(...children);
  return element;
}

export const at = (id) => document.getElementById(id);

/** An input under its label. */
export function labelled(text, input) {
  return make("label", {}, text, input);
}

/** Names and values as a list of definitions. */
export function showFigures(list, figures) {
  list.replaceChildren(
    ...Object.entries(figures).map(([name, value]) =>
      make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })),
    ),
  );
}
