// The skeleton editor: joints to drag with mouse, finger or keys, over the picture that was drawn for them.

import { element, rgb, setAttributes } from "./dom.js";
import { guess, moveAll, moveJoint, seen } from "./pose.js";

const REACH_PX = 32; // of the screen: how near to a joint it is taken hold of
const MARGIN = 0.07; // of the picture's sides: how far beyond its edge joints may go
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NEXT = { n: 1, "]": 1, p: -1, "[": -1 };

/** Tells by events of `stage`: "change" while and after a pose changes (`detail.done`), "choose" for a joint. */
export class Skeleton {
  /** @param {HTMLElement} stage @param {import("./body.js").Body} body */
  constructor(stage, body) {
    this.stage = stage;
    this.body = body;
    this.pose = null;
    this.chosen = 0;
    this.outside = new Set(); // joints that the picture does not show, and knows nothing of
    this.whole = false; // whether all joints move together
    this.places = body.joints.map(() => null); // where hidden joints were last seen
    this.backdrop = element("image", { preserveAspectRatio: "none", class: "backdrop" });
    this.bones = element("g", { class: "bones" });
    this.handles = body.joints.map((_, index) => this.#handle(index));
    this.svg = element("svg", { role: "group", "aria-label": "Skeleton, drawn over the picture", "aria-describedby": "skeleton-keys" },
      this.backdrop, this.bones, element("g", { class: "joints" }, ...this.handles));
    this.tag = element("span", { class: "tag", "aria-hidden": "true" });
    stage.replaceChildren(this.svg, this.tag);
    this.svg.addEventListener("pointerdown", (event) => this.#take(event));
    this.svg.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, (event) => this.#drop(event));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show a pose. @param {import("./pose.js").Pose} pose */
  show(pose) {
    const [height, width] = pose.size;
    if (String(this.pose?.size) !== String(pose.size)) {
      const [x, y] = [MARGIN * width, MARGIN * height];
      setAttributes(this.svg, { viewBox: [-0.5 - x, -0.5 - y, width + 2 * x, height + 2 * y].join(" ") });
      this.stage.parentNode.style.setProperty("--aspect", `${width} / ${height}`);
    }
    this.pose = pose;
    this.outside = new Set();
    pose.joints.forEach(([x, y, visible], index) => visible && (this.places[index] = [x, y]));
    this.#draw();
  }

  /** Forget where hidden joints were: another person's pose comes. */
  forget() {
    this.places = this.places.map(() => null);
  }

  /** Lay the picture that was drawn for `pose` under the skeleton, where its `window` of the pose's px is; none without. */
  async lay(url, window, pose) {
    if (pose === this.pose && window) {
      const [top, left, height, width] = window;
      const without = ([x, y]) => x < left - 0.5 || y < top - 0.5 || x > left + width - 0.5 || y > top + height - 0.5;
      this.outside = new Set([...pose.joints.keys()].filter((index) => seen(pose, index) && without(pose.joints[index])));
      this.#draw();
    }
    if (!url || !window) return setAttributes(this.backdrop, { href: null });
    const [top, left, height, width] = window;
    const picture = new Image();
    picture.src = url;
    await picture.decode().catch(() => {}); // shown only when it can be: no flash in between
    setAttributes(this.backdrop, { href: url, x: left - 0.5, y: top - 0.5, width, height });
  }

  /** Where a joint is, or would be if it were shown. */
  place(index) {
    if (seen(this.pose, index)) return this.pose.joints[index];
    return (this.places[index] ??= guess(this.pose, index, this.body));
  }

  /** What is said of a joint. */
  words(index) {
    const [x, y] = this.place(index).map((px) => Math.round(px));
    const where = seen(this.pose, index) ? `x ${x}, y ${y}` : "hidden";
    return `${this.body.joint(index)}, ${where}${this.outside.has(index) ? ", outside the picture: not drawn" : ""}`;
  }

  choose(index, { focus = false } = {}) {
    this.chosen = (index + this.handles.length) % this.handles.length;
    this.#draw();
    if (focus) this.handles[this.chosen].focus({ preventScroll: true });
    this.#tell("choose");
  }

  #handle(index) {
    const dot = element("circle", { class: "dot" });
    const handle = element("g", { class: "joint", role: "button", "aria-roledescription": "joint", "data-joint": this.body.joints[index] },
      element("circle", { class: "ring" }), dot);
    handle.addEventListener("focus", () => index !== this.chosen && this.choose(index));
    return handle;
  }

  #draw() {
    const unit = this.pose.size[0] / 128; // strokes and dots keep their size on the screen whatever the px are
    this.stage.style.setProperty("--unit", unit);
    this.bones.replaceChildren();
    const drawnBones = this.body.bones.filter(({ ends }) => ends.every((end) => seen(this.pose, end)));
    for (const kind of ["edge", "bone"]) {
      for (const { ends: [a, b], colour } of drawnBones) {
        const [[x1, y1], [x2, y2]] = [this.pose.joints[a], this.pose.joints[b]];
        this.bones.append(element("line", { x1, y1, x2, y2, class: kind, stroke: kind === "bone" ? rgb(colour) : null }));
      }
    }
    this.handles.forEach((handle, index) => {
      const [x, y] = this.place(index);
      const chosen = index === this.chosen;
      setAttributes(handle, {
        transform: `translate(${x} ${y})`,
        tabindex: chosen ? 0 : -1,
        "aria-label": this.words(index),
        "aria-current": chosen ? "true" : null,
      });
      handle.classList.toggle("hidden-joint", !seen(this.pose, index));
      handle.classList.toggle("outside", this.outside.has(index));
      handle.classList.toggle("chosen", chosen);
    });
    this.#drawTag();
  }

  #drawTag() {
    const [height, width] = this.pose.size;
    const [x, y] = this.place(this.chosen);
    const share = (px, side) => (px + 0.5 + MARGIN * side) / (side * (1 + 2 * MARGIN));
    this.tag.textContent = this.whole ? "whole skeleton" : this.body.joint(this.chosen);
    this.tag.classList.toggle("low", share(y, height) < 0.12);
    this.tag.style.setProperty("--x", Math.min(0.85, Math.max(0.15, share(x, width))));
    this.tag.style.setProperty("--y", share(y, height));
  }

  #toPx(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return [point.x, point.y];
  }

  #take(event) {
    if (!this.pose || event.button > 0 || this.held) return;
    const at = this.#toPx(event);
    const scale = this.svg.getScreenCTM().a;
    const far = this.handles.map((_, index) => {
      const [x, y] = this.place(index);
      return scale * Math.hypot(x - at[0], y - at[1]) + (seen(this.pose, index) ? 0 : REACH_PX / 2);
    });
    const nearest = far.indexOf(Math.min(...far));
    if (!this.whole && far[nearest] > REACH_PX) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    this.held = { pointer: event.pointerId, at, from: this.pose, place: this.place(nearest), moved: false };
    this.choose(this.whole ? this.chosen : nearest, { focus: true });
    this.stage.classList.add("held");
  }

  #drag(event) {
    if (this.held?.pointer !== event.pointerId) return; // a second finger moves nothing
    const [x, y] = this.#toPx(event);
    const [dx, dy] = [x - this.held.at[0], y - this.held.at[1]];
    if (!dx && !dy) return;
    this.held.moved = true;
    this.#change(this.#moved(this.held.from, this.held.place, dx, dy), false);
  }

  #drop(event) {
    const held = this.held;
    if (held?.pointer !== event.pointerId) return;
    this.held = null;
    this.stage.classList.remove("held");
    if (held.moved) this.#change(this.pose, true);
  }

  #moved(pose, [x, y], dx, dy) {
    const within = (px, side) => Math.min(side * (1 + MARGIN) - 0.5, Math.max(-MARGIN * side - 0.5, px));
    if (!this.whole) return moveJoint(pose, this.chosen, within(x + dx, pose.size[1]), within(y + dy, pose.size[0]));
    const [shiftX, shiftY] = [dx, dy].map((shift, axis) => {
      const all = pose.joints.filter((joint) => joint[2]).map((joint) => joint[axis]);
      const end = shift > 0 ? Math.max(...all) : Math.min(...all); // that end stops at the stage's edge
      const moved = within(end + shift, pose.size[1 - axis]) - end;
      return moved * shift > 0 ? moved : 0;
    });
    return moveAll(pose, shiftX, shiftY);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const letter = event.key.toLowerCase();
    const step = event.shiftKey ? 5 : 1;
    if (ARROWS[event.key]) {
      const [dx, dy] = ARROWS[event.key].map((way) => way * step);
      this.#change(this.#moved(this.pose, this.place(this.chosen), dx, dy), true);
    } else if (NEXT[letter]) this.choose(this.chosen + NEXT[letter], { focus: true });
    else if (letter === "h") this.#tell("toggle");
    else return;
    event.preventDefault();
  }

  #change(pose, done) {
    this.show(pose);
    this.#tell("change", { done });
  }

  #tell(what, detail = {}) {
    this.stage.dispatchEvent(new CustomEvent(what, { detail }));
  }
}
