// What the three modes share: an order, one request at a time, a result that stays until there is a better one.

import { Newest } from "./newest.js";
import { forget, shown } from "./result.js";

/**
 * @typedef {object} Wanted a picture to ask for
 * @property {string} path @property {string} title
 * @property {() => Promise<Record<string, string | Blob>>} fields
 *
 * @typedef {object} Order
 * @property {Wanted[]} pictures
 * @property {string} name of the files that a user saves
 * @property {string} pose the JSON of the pose that the first picture has
 * @property {Blob | null} map the map that was painted; null: the picture's own is offered
 */

/** A mode of the page. Those that extend it say what to ask for, and where a refusal is shown. */
export class Mode {
  /** @type {{pictures: import("./result.js").Shown[], order: Order} | null} */
  result = null;
  /** @type {import("./people.js").Person | null} */
  person = null;
  empty = ""; // what is said while there is no picture
  places = {}; // field of a refusal -> id of the element beside what it concerns
  drawing = false;
  #forgotten = 0; // how often: what was asked for before is of no use then
  #newest = new Newest((order, superseded) => this.#draw(order, superseded));

  /** @param {any} page what `page.js` gives: api, body, status, and who is told of what happens */
  constructor(page) {
    this.page = page;
  }

  /** Draw another person. @param {import("./people.js").Person} person */
  setPerson(person) {
    this.person = person;
    this.stale = true;
  }

  /** The tab is open now. */
  open() {
    if (this.stale) this.ask();
    else if (this.drawing) this.page.began(this);
  }

  /** @returns {Order | null} null: nothing to ask for yet */
  order() {
    throw new Error("each mode has its own");
  }

  /** Ask for what is wanted now, or as soon as the tab is opened. */
  ask() {
    this.stale = this.page.mode !== this;
    if (this.stale) return;
    const order = this.order();
    if (order) this.#newest.ask(order);
    else this.forgetResult();
  }

  forgetResult() {
    if (this.result) forget(this.result.pictures);
    this.result = null;
    this.#forgotten += 1;
    this.page.cleared(this);
  }

  /** Called with what was drawn, before it is shown. @param {import("./result.js").Shown[]} _pictures @param {Order} _order */
  drawn(_pictures, _order) {}

  async #draw(order, superseded) {
    const forgotten = this.#forgotten;
    const unwanted = () => forgotten !== this.#forgotten;
    this.drawing = true;
    this.page.began(this);
    try {
      const pictures = [];
      for (const { path, fields, title } of order.pictures) {
        const pausing = (seconds, why) => this.page.paused(this, seconds, why);
        const drawn = await this.page.api.draw(path, await fields(), { superseded: () => superseded() || unwanted(), pausing });
        if (!drawn) return;
        pictures.push(await shown(drawn, title));
      }
      if (unwanted()) return forget(pictures);
      if (this.result) forget(this.result.pictures);
      this.result = { pictures, order };
      this.drawn(pictures, order);
      this.page.drew(this, superseded());
    } catch (error) {
      if (!superseded() && !unwanted()) this.page.failed(this, error);
    } finally {
      this.drawing = false;
    }
  }
}
