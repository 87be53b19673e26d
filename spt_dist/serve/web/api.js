// The endpoint, as the page asks it: tables, files and pictures. It is a client like any other.

const LONGEST_WAIT_S = 60; // beyond it, such as with a day's quota used up, the page does not try again by itself

/** What the endpoint refuses: the field at fault, and why. */
export class Refusal extends Error {
  /** @param {string} message */
  constructor(message, { field = "", status = 0 } = {}) {
    super(message);
    Object.assign(this, { field, status });
  }
}

/**
 * @typedef {object} Drawn
 * @property {Blob} image exactly as the endpoint sent it
 * @property {Blob} parsing
 * @property {number[] | null} window what it shows of the pose's picture: top, left, height, width in px
 * @property {number} seconds from question to answer
 * @property {Record<string, number>} stages in seconds, by the names of `Server-Timing`
 */

export class Api {
  key = ""; // where the endpoint wants one; forgotten with the page
  model = ""; // "" is the first

  /** @param {string} path of a JSON document */
  async table(path) {
    const answer = await ask(path);
    if (!answer.ok) throw await refusal(answer);
    return answer.json();
  }

  /** @param {string} path */
  async file(path) {
    const answer = await ask(path);
    if (!answer.ok) throw await refusal(answer);
    return answer.blob();
  }

  /** Whether somebody is awake to draw; true where nobody can tell. */
  async awake() {
    try {
      const answer = await fetch("readyz");
      return answer.ok && (await answer.json()).status === "ready";
    } catch {
      return true;
    }
  }

  /**
   * A picture; where the endpoint is busy it is asked again when it says, unless the order was superseded meanwhile.
   * @param {string} path @param {Record<string, string | Blob>} fields
   * @param {{superseded: () => boolean, pausing: (seconds: number, why: string) => void}} how
   * @returns {Promise<Drawn | null>} null: superseded while it paused
   */
  async draw(path, fields, how) {
    const start = performance.now();
    const answer = await this.#post(path, this.model ? { ...fields, model: this.model } : fields, how);
    return answer && drawn(answer, await answer.json(), start);
  }

  /** The person in a photo: joints, and the parsing map as a file. @param {Blob} image */
  async annotate(image) {
    const answer = await this.#post("v1/annotate", { image }, { superseded: () => false, pausing: () => {} });
    const { joints, parsing } = await answer.json();
    return { joints, parsing: decode(parsing, "image/png") };
  }

  async #post(path, fields, { superseded, pausing }) {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) value instanceof Blob ? body.append(name, value, name) : body.append(name, value);
    const headers = { Accept: "application/json", ...(this.key && { Authorization: `Bearer ${this.key}` }) };
    for (;;) {
      const answer = await ask(path, { method: "POST", body, headers });
      if (answer.ok) return answer;
      const problem = await refusal(answer);
      const wait_s = Number(answer.headers.get("Retry-After")) || 1;
      if (![429, 503].includes(answer.status) || wait_s > LONGEST_WAIT_S) throw problem;
      const end = performance.now() + 1000 * wait_s;
      for (let left; (left = end - performance.now()) > 0; ) {
        if (superseded()) return null;
        pausing(Math.ceil(left / 1000), problem.message);
        await new Promise((done) => setTimeout(done, Math.min(left, 200)));
      }
    }
  }
}

async function ask(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Refusal("The endpoint does not answer. Is it still running?");
  }
}

async function refusal(answer) {
  const found = await answer.json().catch(() => ({}));
  const { field = "", message = `The endpoint answered ${answer.status}.` } = found.error ?? {};
  return new Refusal(message, { field, status: answer.status });
}

/** @returns {Drawn} */
function drawn(answer, document, start) {
  return {
    image: decode(document.image, `image/${document.format}`),
    parsing: decode(document.parsing, "image/png"),
    window: document.window,
    seconds: (performance.now() - start) / 1000,
    stages: stages(answer.headers.get("Server-Timing") ?? ""),
  };
}

const decode = (base64, type) => new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });

const stages = (header) =>
  Object.fromEntries([...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms) / 1000]));
