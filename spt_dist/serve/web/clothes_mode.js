// Clothes: another person's garments, by kind, on the person that was picked.

import { element, find } from "./dom.js";
import { Mode } from "./mode.js";
import { fields, load } from "./people.js";
import { writePose } from "./pose.js";
import { Tiles } from "./tiles.js";
import { swatch } from "./drawing.js";

const GARMENTS = ["upper", "pants", "skirt"]; // of the labels those that can be put on

export class ClothesMode extends Mode {
  name = "clothes";
  empty = "Pick who gives the clothes.";
  places = { labels: "problem-clothes", giver_image: "problem-clothes", giver_parsing: "problem-clothes", giver_joints: "problem-clothes" };
  giver = null;

  constructor(page) {
    super(page);
    this.tiles = new Tiles(find("givers").querySelector(".strip"), "giver", (person) => this.give(person));
    const tick = ({ name, colour }) => {
      const input = element("input", { type: "checkbox", name: "garment", value: name, checked: true });
      return element("label", { class: "choice" }, input, swatch(colour), element("span", {}, name), element("small", { class: "worn" }));
    };
    find("garments").append(...page.body.labels.filter(({ name }) => GARMENTS.includes(name)).map(tick));
    find("garments").addEventListener("change", () => this.ask());
    find("both-ways").addEventListener("change", () => this.ask());
  }

  /** @param {import("./people.js").Person} person */
  add(person, own = false) {
    this.tiles.add(person, element("img", { src: person.image, alt: "" }), { words: `${person.name} gives the clothes`, own });
  }

  /** Take the clothes of this person. @param {import("./people.js").Person} person */
  async give(person) {
    this.giver = this.tiles.picked = person;
    try {
      await load(person, this.page.api);
    } catch (error) {
      find("problem-clothes").textContent = error.message;
      return;
    }
    if (this.giver !== person) return;
    for (const worn of find("garments").querySelectorAll(".worn")) {
      const label = this.page.body.labels.findIndex(({ name }) => name === worn.parentNode.querySelector("input").value);
      worn.textContent = person.map.labels.includes(label) ? "" : "not worn";
    }
    this.ask();
  }

  order() {
    const { person, giver } = this;
    if (!person || !giver?.files) return null;
    const labels = [...find("garments").querySelectorAll("input:checked")].map((input) => input.value).join(",");
    find("problem-clothes").textContent = labels ? "" : "Tick a garment: nothing is taken over otherwise.";
    if (!labels) return null;
    const dress = (wearer, from) => ({
      path: "v1/transfer",
      title: `${wearer.name} in the clothes of ${from.name}`,
      fields: async () => ({ ...fields(wearer), ...fields(from, "giver_"), labels }),
    });
    const pictures = [dress(person, giver), ...(find("both-ways").checked ? [dress(giver, person)] : [])];
    return { pictures, name: "spt-clothes", pose: writePose(person.pose), map: null };
  }
}
