// A gallery: pictures to pick one of, as radio buttons.

import { element } from "./dom.js";

export class Tiles {
  #entries = [];

  /** @param {HTMLElement} strip @param {string} name of the group @param {(entry: any) => void} pick called for what a user picks */
  constructor(strip, name, pick) {
    Object.assign(this, { strip, name });
    strip.addEventListener("change", (event) => pick(this.#entries[event.target.value]));
  }

  /** @param {any} entry @param {Element} drawing @param {{words: string, own?: boolean}} how own ones come first */
  add(entry, drawing, { words, own = false }) {
    const input = element("input", { type: "radio", name: this.name, value: this.#entries.push(entry) - 1, "aria-label": words });
    const tile = element("label", { class: "tile", title: words }, input, drawing, element("span", { class: "tick", "aria-hidden": "true" }, "✓"));
    if (own) tile.append(element("span", { class: "own", "aria-hidden": "true" }, "yours"));
    this.strip.dataset.wait = "";
    own ? this.strip.prepend(tile) : this.strip.append(tile);
  }

  get picked() {
    return this.#entries[this.#chosen?.value];
  }

  /** Mark an entry as picked, or none, without telling anybody. */
  set picked(entry) {
    const at = this.#entries.indexOf(entry);
    for (const input of this.strip.querySelectorAll("input")) input.checked = Number(input.value) === at;
    const tile = this.#chosen?.parentNode; // where the strip scrolls, it must be in view
    if (tile) this.strip.scrollLeft = tile.offsetLeft - this.strip.offsetLeft - (this.strip.clientWidth - tile.clientWidth) / 2;
  }

  get #chosen() {
    return this.strip.querySelector("input:checked");
  }
}
