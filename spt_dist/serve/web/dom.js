// Elements: how the page finds them and makes them.

const SVG = "http://www.w3.org/2000/svg"; // a name, not an address: nothing is loaded from it
const DRAWN = new Set(["svg", "g", "line", "circle", "rect", "image"]);

/** @param {string} id @returns {any} the element of page.html */
export const find = (id) => document.getElementById(id);

/**
 * A new element; an attribute that is false or null is left out.
 * @param {string} name @param {Record<string, any>} attributes @param {...(Node|string)} children @returns {any}
 */
export function element(name, attributes = {}, ...children) {
  const node = DRAWN.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  setAttributes(node, attributes);
  node.append(...children);
  return node;
}

/** @param {Element} node @param {Record<string, any>} attributes */
export function setAttributes(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value == null) node.removeAttribute(key);
    else node.setAttribute(key, value === true ? "" : value);
  }
}

/** @param {number[]} colour red, green, blue from 0 to 255 */
export const rgb = (colour) => `rgb(${colour.join(",")})`;
