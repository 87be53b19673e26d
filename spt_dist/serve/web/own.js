// One's own person: a photo, its parsing map and its joints, chosen or dropped together or one after the other, sorted by
// what they hold. Of a photo alone the endpoint finds map and joints, where it annotates.

import { element, find } from "./dom.js";
import { fromFiles, kindOf, shrunk } from "./people.js";

const WANTED = { image: "Photo", parsing: "Parsing map", joints: "Joints" };

/** @param {any} page api, body, annotates, pickOwn and refused are used */
export function ownPerson(page) {
  const [drop, input, problem, rest] = [find("own-drop"), find("own-files"), find("problem-own"), find("own-find")];
  let files = {};

  function showSlots(missing = "missing") {
    const slot = ([kind, words]) => element("li", { class: files[kind] ? "there" : "" }, `${words}: `, element("b", {}, files[kind]?.name ?? missing));
    find("own-slots").replaceChildren(...Object.entries(WANTED).map(slot));
    rest.hidden = !page.annotates || !files.image;
  }

  async function take(list) {
    problem.textContent = "";
    for (const file of list) files[await kindOf(file)] = file;
    const given = Object.keys(WANTED).filter((kind) => files[kind]);
    if (page.annotates && String(given) === "image") return annotate();
    showSlots();
    if (given.length === Object.keys(WANTED).length) await use(files);
  }

  /** Find in the photo what is missing, and use the person. */
  async function annotate() {
    problem.textContent = "";
    showSlots("looked for in the photo …");
    try {
      const alone = !files.parsing && !files.joints;
      const image = alone ? await shrunk(files.image) : files.image;
      const { joints, parsing } = await page.api.annotate(image);
      const found = { joints: new File([JSON.stringify(joints)], "found joints"), parsing: new File([parsing], "found map", { type: "image/png" }) };
      await use({ ...found, ...files, image }, true);
    } catch (error) {
      problem.textContent = page.refused(error).message;
      showSlots();
    }
  }

  async function use(whole, found = false) {
    try {
      page.pickOwn(await fromFiles(whole, page.body), found);
      files = {};
      showSlots();
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  rest.addEventListener("click", annotate);
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
