// Small pictures of poses and maps.

import { element, rgb } from "./dom.js";
import { seen } from "./pose.js";

/** A pose to look at. @param {import("./pose.js").Pose} pose @param {import("./body.js").Body} body */
export function skeletonPicture(pose, body) {
  const [height, width] = pose.size;
  const thick = 0.019 * height;
  const svg = element("svg", { viewBox: `-0.5 -0.5 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", "aria-hidden": "true" });
  for (const { ends: [a, b], colour } of body.bones) {
    if (!seen(pose, a) || !seen(pose, b)) continue;
    const [[x1, y1], [x2, y2]] = [pose.joints[a], pose.joints[b]];
    svg.append(element("line", { x1, y1, x2, y2, stroke: rgb(colour), "stroke-width": thick, "stroke-linecap": "round" }));
  }
  pose.joints.forEach(([cx, cy, visible]) => visible && svg.append(element("circle", { cx, cy, r: 0.55 * thick, class: "dot" })));
  return svg;
}

/**
 * A map's colours, a canvas pixel for each of its own; `clear`: the background has none. @param {import("./png.js").LabelMap} map @returns {HTMLCanvasElement}
 */
export function mapPicture({ labels, size: [height, width] }, body, { clear = false, ...attributes } = {}) {
  const canvas = element("canvas", { width, height, ...attributes });
  const pixels = new ImageData(width, height);
  const colours = body.labels.map(({ colour: [red, green, blue] }) => red | (green << 8) | (blue << 16) | (255 << 24));
  if (clear) colours[0] = 0;
  const words = new Uint32Array(pixels.data.buffer);
  for (let at = 0; at < labels.length; at++) words[at] = colours[labels[at]] ?? 0;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** A square of a label's colour. */
export const swatch = (colour) =>
  element("svg", { class: "swatch", viewBox: "0 0 12 12", "aria-hidden": "true" },
    element("rect", { x: 0.5, y: 0.5, width: 11, height: 11, rx: 3, fill: rgb(colour) }));
