// One's own person: three files, chosen or dropped together or one after the other, sorted by what they hold.

import { element, find } from "./dom.js";
import { fromFiles, kindOf } from "./people.js";

const WANTED = { image: "Photo", parsing: "Parsing map", joints: "Joints" };

/** @param {import("./body.js").Body} body @param {(person: import("./people.js").Person) => void} use */
export function ownPerson(body, use) {
  const [drop, input, problem] = [find("own-drop"), find("own-files"), find("problem-own")];
  let files = {};

  function showSlots() {
    const slot = ([kind, words]) => element("li", { class: files[kind] ? "there" : "" }, `${words}: `, element("b", {}, files[kind]?.name ?? "missing"));
    find("own-slots").replaceChildren(...Object.entries(WANTED).map(slot));
  }

  async function take(list) {
    problem.textContent = "";
    for (const file of list) files[await kindOf(file)] = file;
    showSlots();
    if (!Object.keys(WANTED).every((kind) => files[kind])) return;
    try {
      use(await fromFiles(files, body));
      files = {};
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  input.addEventListener("change", () => take([...input.files]).then(() => (input.value = "")));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take([...event.dataTransfer.files]);
    });
  }
  showSlots();
}
