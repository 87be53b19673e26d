// The painter of parsing maps: a brush and a fill, with mouse, finger or keys.

import { mapPicture } from "./drawing.js";
import { element, setAttributes } from "./dom.js";
import { fill, stamp, stroke } from "./map.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SEE_THROUGH = 0.55;

/** Tells by events of `stage`: "painted" when a stroke is done, "cursor" when the keys have moved it, "key" for other keys. */
export class Painter {
  /** @param {HTMLElement} stage @param {import("./body.js").Body} body */
  constructor(stage, body) {
    Object.assign(this, { stage, body, map: null, photo: null, label: 0, diameter: 5, tool: "brush", seeThrough: false });
    this.cursor = [0, 0]; // column, row
    this.canvas = element("canvas", { tabindex: 0, role: "application", "aria-describedby": "painter-keys" });
    this.canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.#go(event));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, (event) => event.pointerId === this.pointer && this.#end());
    this.canvas.addEventListener("pointerleave", () => this.#hover(null));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const change of ["focus", "blur"]) this.canvas.addEventListener(change, () => this.draw());
    stage.replaceChildren(this.canvas);
    new ResizeObserver(() => this.draw()).observe(stage);
  }

  /** Paint on this map, over this photo. @param {import("./png.js").LabelMap} map @param {string} photo */
  async open(map, photo) {
    this.photo = null;
    this.cursor = [map.size[1] >> 1, map.size[0] >> 1];
    this.stage.parentNode.style.setProperty("--aspect", `${map.size[1]} / ${map.size[0]}`);
    this.show(map);
    const image = new Image();
    image.src = photo;
    await image.decode();
    if (this.map?.size === map.size) this.photo = image;
    this.draw();
  }

  /** @param {import("./png.js").LabelMap} map */
  show(map) {
    this.map = { labels: map.labels.slice(), size: map.size };
    this.#describe();
    this.draw();
  }

  /** What lies under the cursor. */
  words() {
    const [column, row] = this.cursor;
    return `x ${column}, y ${row}: ${this.body.label(this.map.labels[row * this.map.size[1] + column])}`;
  }

  /** All of it, at the screen's own pixels. */
  draw() {
    const box = this.stage.getBoundingClientRect();
    if (!this.map || !box.width) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) setAttributes(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (this.seeThrough && this.photo) {
      context.imageSmoothingEnabled = true;
      context.drawImage(this.photo, 0, 0, width, height);
      context.globalAlpha = SEE_THROUGH;
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(mapPicture(this.map, this.body, { clear: context.globalAlpha < 1 }), 0, 0, width, height);
    context.globalAlpha = 1;
    this.#ring(context, width / this.map.size[1]);
  }

  /** The brush where it would paint, in light and dark so that it is seen on every label. */
  #ring(context, scale) {
    const at = this.hovered ?? (this.canvas.matches(":focus-visible") ? this.cursor : null);
    if (!at) return;
    const [x, y] = at.map((px) => (px + 0.5) * scale);
    const radius = Math.max(3, (this.tool === "fill" ? 0.5 : this.diameter / 2) * scale);
    for (const [line, colour] of [[4, "#111"], [1.5, "#fff"]]) {
      context.lineWidth = line * (window.devicePixelRatio || 1);
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [height, width] = this.map.size;
    const within = (share, side) => Math.min(side - 1, Math.max(0, Math.floor(share * side)));
    return [within((event.clientX - box.left) / box.width, width), within((event.clientY - box.top) / box.height, height)];
  }

  #begin(event) {
    if (!this.map || event.button > 0 || this.last) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true, focusVisible: false });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.last = this.cursor = this.#at(event);
    this.#apply(this.last);
    if (this.tool === "fill") this.#end();
  }

  #go(event) {
    if (!this.map || (this.last && event.pointerId !== this.pointer)) return; // a second finger paints nothing
    const at = this.#at(event);
    if (this.last) {
      stroke(this.map, this.last, at, this.diameter, this.label);
      this.last = this.cursor = at;
    }
    this.#hover(event.pointerType === "touch" && !this.last ? null : at);
  }

  #end() {
    if (!this.last) return;
    this.last = null;
    this.#painted();
  }

  #hover(at) {
    this.hovered = at;
    this.draw();
  }

  #apply([column, row]) {
    if (this.tool === "fill") fill(this.map, column, row, this.label);
    else stamp(this.map, column, row, this.diameter, this.label);
    this.draw();
  }

  #painted() {
    this.#describe();
    this.stage.dispatchEvent(new CustomEvent("painted"));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 5 : 1;
    if (ARROWS[event.key]) {
      const limit = [this.map.size[1] - 1, this.map.size[0] - 1];
      this.cursor = this.cursor.map((px, axis) => Math.min(limit[axis], Math.max(0, px + step * ARROWS[event.key][axis])));
      this.hovered = null;
      this.#describe();
      this.draw();
      this.stage.dispatchEvent(new CustomEvent("cursor"));
    } else if (event.key === " ") {
      this.#apply(this.cursor);
      this.#painted();
    } else {
      this.stage.dispatchEvent(new CustomEvent("key", { detail: event.key.toLowerCase() }));
      return;
    }
    event.preventDefault();
  }

  #describe() {
    setAttributes(this.canvas, { "aria-label": `Parsing map to paint. Cursor at ${this.words()}` });
  }
}
