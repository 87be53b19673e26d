// What the page is waiting for, and what came of it: in words for eyes at once, for ears when they have settled.

import { find } from "./dom.js";

const CALM_MS = 700; // of silence before the live region speaks: dragging must not make it chatter
const PATIENCE_MS = 500; // a wait shorter than this needs no clock

export class Status {
  #line = find("status");
  #clock = find("clock");
  #live = find("live");
  #timers = { clock: 0, live: 0 };

  /** Show words with a running clock. @param {string} words @param {number} since of `performance.now` */
  wait(words, since = performance.now()) {
    this.#stop();
    this.#show(words, "waiting");
    const tick = () => {
      const waited_ms = performance.now() - since;
      this.#clock.textContent = waited_ms < PATIENCE_MS ? "" : `${(waited_ms / 1000).toFixed(1)} s`;
    };
    tick();
    this.#timers.clock = setInterval(tick, 100);
  }

  /** Show words that will stay. */
  say(words) {
    this.#stop();
    this.#show(words, "");
  }

  /** Show what went wrong, with a way to try again. */
  fail(words) {
    this.#stop();
    this.#show(words, "bad");
    find("again").hidden = false;
  }

  /** Say something to those who listen only. */
  tell(words) {
    clearTimeout(this.#timers.live);
    this.#timers.live = setTimeout(() => (this.#live.textContent = words), CALM_MS);
  }

  #stop() {
    clearInterval(this.#timers.clock);
    this.#clock.textContent = "";
    find("again").hidden = true;
  }

  #show(words, kind) {
    if (this.#line.textContent !== words) this.#line.textContent = words;
    find("status-line").className = kind;
    this.tell(words);
  }
}
