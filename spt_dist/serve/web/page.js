// The page: brings tables and people, and lets the modes, the result and the status know of each other.

import { Api } from "./api.js";
import { Body } from "./body.js";
import { ClothesMode } from "./clothes_mode.js";
import { element, find } from "./dom.js";
import { ownPerson } from "./own.js";
import { ParsingMode } from "./parsing_mode.js";
import { fromGallery, load } from "./people.js";
import { PoseMode } from "./pose_mode.js";
import { Result } from "./result.js";
import { Status } from "./status.js";
import { tabs } from "./tabs.js";
import { Tiles } from "./tiles.js";

const PATIENCE_MS = 3000; // after which the page asks whether anybody is awake to draw
const SOURCE_FIELDS = ["image", "parsing", "source_joints"];
const PLACES = { ...Object.fromEntries(SOURCE_FIELDS.map((field) => [field, "problem-person"])), model: "problem-result" };
const ASLEEP = "The endpoint is asleep: the first picture wakes it, which takes a while.";

class Page {
  api = new Api();
  status = new Status();
  asleep = false;

  async start() {
    this.status.wait("Loading the people");
    const [gallery, tables, models, health] = await Promise.all(
      ["v1/gallery", "v1/body", "v1/models", "healthz"].map((path) => this.api.table(path)),
    );
    this.body = new Body(tables);
    this.result = new Result(this.body);
    this.asleep = models.replicas.running === 0;
    find("run").textContent = `Model ${health.run}`;
    this.#offerModels(models.models);
    this.modes = { pose: new PoseMode(this), parsing: new ParsingMode(this), clothes: new ClothesMode(this) };
    this.mode = this.modes.pose;
    this.people = new Tiles(find("people").querySelector(".strip"), "person", (person) => this.pick(person));
    this.annotates = models.annotates;
    ownPerson(this);
    tabs(find("tabs"), (name) => this.#open(this.modes[name]));
    this.#listen();
    const people = gallery.people.map(fromGallery).map((person) => this.#offer(person));
    if (people.length) this.#begin(people);
    else this.#noGallery();
  }

  /** Draw this person from now on. @param {import("./people.js").Person} person */
  async pick(person) {
    this.picked = this.people.picked = person;
    find("problem-person").textContent = "";
    try {
      await load(person, this.api);
    } catch (error) {
      find("problem-person").textContent = `The photo did not load: ${error.message}`;
      return;
    }
    if (this.picked !== person) return; // another was picked meanwhile
    this.result.source(person);
    for (const mode of Object.values(this.modes)) mode.setPerson(person);
    this.mode.open();
  }

  /** Draw a person whom the user brought; what was found in the photo is shown first, to be corrected. */
  async pickOwn(person, found) {
    person.found = found;
    await this.pick(this.#offer(person, true));
    if (!found) return;
    this.modes.pose.correct();
    this.status.tell("Somebody was found in the photo: drag the joints that are wrong, or paint over the map.");
  }

  /** The pose or the map of the person's photo was corrected: what was drawn of it is of no use. */
  corrected(mode) {
    for (const other of Object.values(this.modes)) if (other !== mode) other.stale = true;
  }

  /** A mode asks for a picture. */
  began(mode) {
    if (mode !== this.mode) return;
    this.result.busy = true;
    const since = (this.since = performance.now());
    this.status.wait(this.asleep ? ASLEEP : "Drawing", since);
    setTimeout(async () => {
      const waits = () => this.since === since;
      if (waits() && !(await this.api.awake()) && waits()) this.status.wait(ASLEEP, since);
    }, PATIENCE_MS);
  }

  /** The endpoint is busy; the page asks again by itself. */
  paused(mode, seconds, why) {
    if (mode !== this.mode) return;
    this.since = 0;
    const words = `The endpoint is busy; asking again in ${seconds} s (${why.replace(/; try again in \d+ s$/, "")})`;
    this.status.say(words);
  }

  /** A mode has a new result; `more` if a newer picture is wanted already. */
  drew(mode, more) {
    this.asleep = false;
    find("key-form").hidden = true;
    for (const id of new Set(["problem-result", "problem-person", ...Object.values(mode.places)])) find(id).textContent = "";
    if (mode === this.mode) this.#show(more);
  }

  /** A mode has nothing to ask for. */
  cleared(mode) {
    if (mode === this.mode) this.#show();
  }

  /** A mode's order was refused; what was drawn before stays. */
  failed(mode, error) {
    this.refused(error);
    find(mode.places[error.field] ?? PLACES[error.field] ?? "problem-result").textContent = error.message;
    if (mode !== this.mode) return;
    this.since = 0;
    this.result.busy = false;
    this.status.fail(mode.result ? "Not drawn; this is the picture before" : "Not drawn");
  }

  /** A refusal in words for the user, who is asked for a key where one is wanted. */
  refused(error) {
    if (error.status === 401) {
      find("key-form").hidden = false;
      find("key").focus();
      error.message = this.api.key ? "The endpoint does not know this key." : "The endpoint draws for those who have a key.";
    }
    return error;
  }

  #show(more = false) {
    const { result, empty } = this.mode;
    this.since = 0;
    this.result.busy = more;
    if (!result) {
      this.result.clear(empty);
      this.status.say("");
      return;
    }
    const { pictures, order } = result;
    if (!more) this.status.say(drawnIn(pictures.map(({ drawn }) => drawn)));
    this.#offerFiles(pictures, order);
  }

  async #offerFiles(pictures, order) {
    const map = (await order.map) ?? pictures[0].drawn.parsing;
    if (this.mode.result?.pictures === pictures) this.result.show(pictures, { pose: order.pose, name: order.name, map });
  }

  #open(mode) {
    this.mode = mode;
    this.#show();
    mode.open();
  }

  #offer(person, own = false) {
    this.people.add(person, element("img", { src: person.image, alt: "" }), { words: person.name, own });
    this.modes.pose.add(person, own);
    this.modes.clothes.add(person, own);
    return person;
  }

  /** First impressions: the two people of whom most joints are seen, one in the pose and then the clothes of the other. */
  #begin(people) {
    const visible = ({ pose }) => pose.joints.filter((joint) => joint[2]).length;
    const [first, second = first] = [...people].sort((a, b) => visible(b) - visible(a));
    this.modes.pose.begin(second.pose);
    this.modes.clothes.give(second);
    this.pick(first);
  }

  #noGallery() {
    for (const strip of document.querySelectorAll(".strip")) strip.dataset.wait = "There are no sample people: bring your own.";
    find("own").open = true;
    this.#show();
  }

  #offerModels(models) {
    const option = ({ id, size: [height, width] }) => element("option", { value: id }, `${id} (${width} × ${height})`);
    find("model").append(...models.map(option));
    find("model-field").hidden = models.length < 2;
    find("run").hidden = models.length > 1;
    find("model").addEventListener("change", () => {
      this.api.model = find("model").value;
      for (const mode of Object.values(this.modes)) mode.stale = true;
      this.mode.open();
    });
  }

  #listen() {
    find("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.api.key = find("key").value.trim();
      find("problem-result").textContent = "";
      this.mode.ask();
    });
    find("again").addEventListener("click", () => this.mode.ask());
    document.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.matches("input:not([type=radio],[type=checkbox],[type=range])")) return;
      event.preventDefault();
      event.shiftKey ? this.mode.redo?.() : this.mode.undo?.();
    });
  }
}

/** How long pictures took, and what of it the networks. @param {import("./api.js").Drawn[]} drawn */
function drawnIn(drawn) {
  const sum = (seconds) => drawn.reduce((all, each) => all + (seconds(each) || 0), 0).toFixed(2);
  const cold = drawn.some(({ stages }) => stages.cold) ? "; somebody had to wake up first" : "";
  return `Drawn in ${sum(({ seconds }) => seconds)} s, the networks ${sum(({ stages }) => stages.draw)} s${cold}`;
}

const page = new Page();
page.start().catch((error) => page.status.say(`The page did not load: ${error.message}`));
