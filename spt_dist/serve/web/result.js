// The result: pictures, their parsing maps, and the files that a user takes away.

import { mapPicture, swatch } from "./drawing.js";
import { element, find, setAttributes } from "./dom.js";
import { readMap } from "./png.js";

const ENDINGS = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp" };

/**
 * @typedef {object} Shown
 * @property {string} title
 * @property {import("./api.js").Drawn} drawn
 * @property {string} url of the picture
 * @property {import("./png.js").LabelMap} map
 */

/** A drawn picture made ready to be shown. @param {import("./api.js").Drawn} drawn @returns {Promise<Shown>} */
export async function shown(drawn, title) {
  return { title, drawn, url: URL.createObjectURL(drawn.image), map: await readMap(drawn.parsing) };
}

/** Let the browser forget pictures that nothing shows any more. @param {Shown[]} pictures */
export const forget = (pictures) => setTimeout(() => pictures.forEach(({ url }) => URL.revokeObjectURL(url)), 10_000);

export class Result {
  #pictures = [];
  #files = [];

  /** @param {import("./body.js").Body} body */
  constructor(body) {
    this.body = body;
    find("views").addEventListener("change", () => this.#render());
    const entry = ({ name, colour }) => element("li", {}, swatch(colour), body.words(name));
    find("legend").append(...body.labels.slice(1).map(entry));
  }

  /**
   * @param {Shown[]} pictures @param {{pose: string, map: Blob, name: string}} extras the pose as JSON and the map that belong to
   *    the first of them
   */
  show(pictures, extras) {
    this.#pictures = pictures;
    this.#render();
    this.#offer(pictures, extras);
  }

  /** Nothing is drawn yet: say why. */
  clear(words) {
    this.#pictures = [];
    find("hero").replaceChildren(element("p", { class: "empty" }, words));
    find("downloads").hidden = true;
    find("legend").hidden = true;
  }

  /** The photo that pictures are drawn from. @param {import("./people.js").Person} person */
  source(person) {
    find("source").replaceChildren(element("img", { src: person.image, alt: `The photo: ${person.name}` }));
  }

  /** Whether a newer picture is under way. */
  set busy(is) {
    find("result").setAttribute("aria-busy", String(is));
  }

  #render() {
    if (!this.#pictures.length) return;
    const view = document.querySelector("input[name=view]:checked").value;
    const figures = this.#pictures.flatMap(({ title, url, map }) => [
      view !== "map" && figure(element("img", { src: url, alt: `${title}: the drawn picture`, class: "drawn" }), title),
      view !== "picture" && figure(mapPicture(map, this.body, { role: "img", "aria-label": `${title}: its parsing map` }), "Parsing map"),
    ]);
    const [height, width] = this.#pictures[0].map.size;
    find("hero").style.setProperty("--aspect", `${width} / ${height}`);
    find("hero").replaceChildren(...figures.filter(Boolean));
    find("hero").classList.toggle("several", find("hero").children.length > 1);
    find("legend").hidden = view === "picture";
  }

  #offer(pictures, { pose, map, name }) {
    for (const url of this.#files) URL.revokeObjectURL(url);
    const ending = ENDINGS[pictures[0].drawn.image.type];
    const files = [
      ["save-picture", pictures[0].drawn.image, `${name}.${ending}`],
      ["save-other", pictures[1]?.drawn.image, `${name}-other.${ending}`],
      ["save-pose", new Blob([pose], { type: "application/json" }), `${name}-pose.json`],
      ["save-map", map, `${name}-parsing.png`],
    ];
    this.#files = files.map(([id, blob, download]) => {
      const href = blob ? URL.createObjectURL(blob) : null;
      setAttributes(find(id), { href, download, hidden: !blob });
      return href;
    });
    find("downloads").hidden = false;
  }
}

function figure(picture, title) {
  return element("figure", {}, element("div", { class: "frame" }, picture), element("figcaption", {}, title));
}
