// Builds and updates elements. All data becomes text: nothing in this page parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function assign(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

/** Creates an HTML element. `attributes.text` is its text; `on…` are listeners. Children are nodes or strings. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, attributes);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Creates an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  assign(element, attributes);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Sets the text, if it differs: an update that changes nothing must not disturb a selection or a screen reader. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Shows or hides an element. */
export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/**
 * A button that cannot be used now. It keeps the focus, unlike a disabled one, so that a keyboard user does not lose the place.
 * Listeners must ask `isOff`.
 */
export function setOff(button, isOff) {
  setAttribute(button, "aria-disabled", isOff ? "true" : null);
}

export const isOff = (button) => button.getAttribute("aria-disabled") === "true";

/** Fills `list` with one child per line of text, and touches only what differs. */
export function setLines(list, lines, tag = "li") {
  while (list.children.length > lines.length) list.lastElementChild.remove();
  lines.forEach((line, index) => {
    const child = list.children[index] ?? list.appendChild(document.createElement(tag));
    setText(child, line);
  });
}

/** A button that copies a text, and says so for two seconds. */
export function copyButton(text, label = "Copy") {
  const button = el("button", { type: "button", class: "button small copy", text: label });
  let timer = 0;
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      said = "Select and copy";
    }
    setText(button, said);
    clearTimeout(timer);
    timer = setTimeout(() => setText(button, label), 2000);
  });
  return button;
}
