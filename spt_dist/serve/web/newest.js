// Orders that supersede each other: one is worked on at a time, and of those that wait only the newest counts.

/** So answers come in the order of their questions, and an older one never overwrites a newer one. */
export class Newest {
  #work;
  #waiting = null;
  #busy = false;

  /** @param {(order: any, superseded: () => boolean) => Promise<void>} work must not throw */
  constructor(work) {
    this.#work = work;
  }

  /** Work on this order as soon as the one under way is done, unless a newer one comes before. */
  ask(order) {
    this.#waiting = { order };
    if (!this.#busy) this.#run();
  }

  async #run() {
    this.#busy = true;
    while (this.#waiting) {
      const { order } = this.#waiting;
      this.#waiting = null;
      await this.#work(order, () => this.#waiting !== null);
    }
    this.#busy = false;
  }
}
