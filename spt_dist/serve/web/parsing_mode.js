// Parsing: paint the person's map, or let a named edit change it, and see it repainted.

import { swatch } from "./drawing.js";
import { element, find } from "./dom.js";
import { History } from "./history.js";
import { takeOver } from "./map.js";
import { Mode } from "./mode.js";
import { Painter } from "./painter.js";
import { fields } from "./people.js";
import { writeMap } from "./png.js";
import { writePose } from "./pose.js";

const KEPT_BYTES = 64_000_000; // of maps that undo can bring back

export class ParsingMode extends Mode {
  name = "parsing";
  empty = "Paint on the map, or choose an edit: the picture follows.";
  places = { edit: "problem-parsing", new_parsing: "problem-parsing" };
  #history = new History();
  #edit = null; // the named edit that was asked for last

  constructor(page) {
    super(page);
    const stage = find("painter");
    this.painter = new Painter(stage, page.body);
    stage.addEventListener("painted", () => this.#painted());
    stage.addEventListener("cursor", () => page.status.tell(this.painter.words()));
    stage.addEventListener("key", ({ detail }) => this.#key(detail));
    this.#addPalette();
    this.#addEdits();
    find("brush-size").addEventListener("input", () => this.#showTools());
    find("tools").addEventListener("change", () => this.#showTools());
    find("painter-photo").addEventListener("change", () => this.#showTools());
    const buttons = { "paint-undo": () => this.undo(), "paint-redo": () => this.redo(), "paint-reset": () => this.#reset(), "paint-own": () => this.#keep() };
    for (const [id, act] of Object.entries(buttons)) find(id).addEventListener("click", () => this.person && act());
    this.#showTools();
  }

  #addPalette() {
    const choice = ({ name, colour }, label) => {
      const input = element("input", { type: "radio", name: "label", value: label, checked: name === "upper" });
      return element("label", { class: "choice" }, input, swatch(colour), element("span", {}, this.page.body.words(name)), element("kbd", {}, String(label)));
    };
    find("palette").append(...this.page.body.labels.map(choice));
    find("palette").addEventListener("change", () => this.#showTools());
  }

  #addEdits() {
    for (const edit of this.page.body.edits) {
      const button = element("button", { type: "button", "data-edit": edit }, edit.replaceAll("-", " "));
      button.addEventListener("click", () => this.person && this.#ask(edit));
      find("edits").append(button);
    }
  }

  setPerson(person) {
    super.setPerson(person);
    this.#edit = null;
    find("paint-own").hidden = !person.found;
    this.#history.begin(person.map.labels, Math.floor(KEPT_BYTES / person.map.labels.length));
    this.painter.open(person.map, person.image);
    this.#showTools();
  }

  open() {
    super.open();
    this.painter.draw();
  }

  undo() {
    if (this.#history.canUndo) this.#show(this.#history.undo());
  }

  redo() {
    if (this.#history.canRedo) this.#show(this.#history.redo());
  }

  order() {
    const { person } = this;
    if (!person) return null;
    const common = { name: "spt-parsing", pose: writePose(person.pose) };
    if (this.#edit) {
      const edit = this.#edit;
      const wanted = async () => ({ ...fields(person), edit });
      return { ...common, pictures: [{ path: "v1/edit", title: `${person.name}, ${edit.replaceAll("-", " ")}`, fields: wanted }], map: null, edit, person };
    }
    const labels = this.#history.now;
    if (labels === person.map.labels) return null; // nothing is painted: the picture would be the photo
    const painted = writeMap({ labels, size: person.map.size });
    const wanted = async () => ({ ...fields(person), new_parsing: await painted });
    return { ...common, pictures: [{ path: "v1/edit", title: `${person.name}, repainted`, fields: wanted }], map: painted };
  }

  /** What a named edit made of the map is there to be painted on. */
  drawn([{ map, drawn }], order) {
    if (!order.edit || order.person !== this.person || this.#edit !== order.edit) return;
    this.#edit = null;
    const labels = takeOver(this.person.map, map, drawn.window);
    this.#history.push(labels);
    this.painter.show({ labels, size: this.person.map.size });
    order.map = writeMap({ labels, size: this.person.map.size });
    this.#showTools();
  }

  /** What is painted is the map of the photo from now on: it corrects what was found there. */
  async #keep() {
    const { person } = this;
    person.map = { labels: this.#history.now, size: person.map.size };
    person.files.parsing = await writeMap(person.map);
    this.page.corrected(this);
    if (person === this.person) this.setPerson(person);
    this.forgetResult();
    this.page.status.tell("The painted map is the photo's own now");
  }

  #ask(edit) {
    this.#edit = edit;
    this.ask();
  }

  #painted() {
    const labels = this.painter.map.labels;
    if (labels.every((label, at) => label === this.#history.now[at])) return;
    this.#edit = null;
    this.#history.push(labels.slice());
    this.#showTools();
    this.ask();
  }

  #reset() {
    this.#history.push(this.person.map.labels);
    this.#show(this.person.map.labels);
  }

  #show(labels) {
    this.#edit = null;
    this.painter.show({ labels, size: this.person.map.size });
    this.#showTools();
    this.ask();
  }

  #key(key) {
    const palette = /^\d$/.test(key) && find("palette").querySelector(`input[value="${key}"]`);
    const size = find("brush-size");
    if (palette) palette.checked = true;
    else if (key === "]") size.stepUp();
    else if (key === "[") size.stepDown();
    else if (key === "f" || key === "b") find("tools").querySelector(`input[value=${{ f: "fill", b: "brush" }[key]}]`).checked = true;
    else return;
    this.#showTools();
    this.page.status.tell(palette ? this.page.body.label(Number(key)) : `${this.painter.tool}, ${this.painter.diameter} pixels`);
  }

  #showTools() {
    const checked = (name) => document.querySelector(`input[name=${name}]:checked`).value;
    this.painter.label = Number(checked("label"));
    this.painter.tool = checked("tool");
    this.painter.diameter = Number(find("brush-size").value);
    this.painter.seeThrough = find("painter-photo").checked;
    find("brush-words").textContent = `${this.painter.diameter} px`;
    find("paint-undo").setAttribute("aria-disabled", String(!this.#history.canUndo));
    find("paint-redo").setAttribute("aria-disabled", String(!this.#history.canRedo));
    this.painter.draw();
  }
}
