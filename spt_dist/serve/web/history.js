// Undo and redo: states that are never changed in place, one after the other.

export class History {
  #states = [];
  #at = -1;
  #most;

  /** @param {number} most states that are kept */
  constructor(most = 200) {
    this.#most = most;
  }

  get now() {
    return this.#states[this.#at];
  }

  get canUndo() {
    return this.#at > 0;
  }

  get canRedo() {
    return this.#at < this.#states.length - 1;
  }

  /** Begin anew with this state: nothing before it can be had back. */
  begin(state, most = this.#most) {
    [this.#states, this.#at, this.#most] = [[state], 0, Math.max(2, most)];
  }

  /** The next state; what was undone before it is forgotten. */
  push(state) {
    this.#states = [...this.#states.slice(0, this.#at + 1), state].slice(-this.#most);
    this.#at = this.#states.length - 1;
  }

  undo() {
    if (this.canUndo) this.#at -= 1;
    return this.now;
  }

  redo() {
    if (this.canRedo) this.#at += 1;
    return this.now;
  }
}
