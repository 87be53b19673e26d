// The page: pick a person and a pose, ask the endpoint, show the picture and its parsing map.

const SVG = "http://www.w3.org/2000/svg"; // a name, not an address: nothing is loaded from it
const find = (id) => document.getElementById(id);
const rgb = (colour) => `rgb(${colour.join(",")})`;

let body; // joints, labels and bones, from /v1/body
let key = ""; // of the endpoint, where it wants one; forgotten with the page
let asked = null; // the AbortController of the request under way

function element(name, attributes = {}, ...children) {
  const node = document.createElementNS(["svg", "line", "circle", "rect"].includes(name) ? SVG : "http://www.w3.org/1999/xhtml", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// --- drawing

function skeleton({ size: [height, width], joints }) {
  const thick = 0.019 * height;
  const box = { viewBox: `-0.5 -0.5 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", role: "img", "aria-label": "pose" };
  const svg = element("svg", box);
  const seen = (joint) => joints[joint] && joints[joint][2];
  for (const { ends: [a, b], colour } of body.bones) {
    if (!seen(a) || !seen(b)) continue;
    const [[x1, y1], [x2, y2]] = [joints[a], joints[b]];
    svg.append(element("line", { x1, y1, x2, y2, stroke: rgb(colour), "stroke-width": thick, "stroke-linecap": "round" }));
  }
  joints.forEach((joint, index) => {
    if (seen(index)) svg.append(element("circle", { cx: joint[0], cy: joint[1], r: 0.55 * thick, fill: "#f7f8fa" }));
  });
  return svg;
}

async function parsingMap(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const canvas = element("canvas", { width: bitmap.width, height: bitmap.height, role: "img", "aria-label": "parsing map" });
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const entry = body.labels[pixels.data[i]];
    if (entry) pixels.data.set(entry.colour, i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function show(view, node) {
  const frame = find(`view-${view}`);
  frame.classList.toggle("drawn", view === "image" || view === "parsing");
  frame.replaceChildren(node);
}

// --- picking

const lists = { people: [], poses: [] };

function addTile(list, entry, drawing, { first = false, tag = "", name } = {}) {
  const index = lists[list].push(entry) - 1;
  const input = element("input", { type: "radio", name: list, value: index, "aria-label": name });
  const tile = element("label", { class: "tile", title: name }, input, drawing);
  const strip = find(list).querySelector(".strip");
  if (tag) {
    strip.querySelector(".tile:has(.tag)")?.remove();
    tile.append(element("span", { class: "tag" }, tag));
  }
  first ? strip.prepend(tile) : strip.append(tile);
  return input;
}

const picked = (list) => lists[list][document.querySelector(`input[name=${list}]:checked`)?.value];

async function openGallery() {
  const [people, tables, health] = await Promise.all(["v1/gallery", "v1/body", "healthz"].map(async (path) => {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
    return answer.json();
  }));
  body = tables;
  find("run").textContent = `run ${health.run}`;
  for (const { name, colour } of body.labels.slice(1)) {
    const square = element("svg", { viewBox: "0 0 1 1", "aria-hidden": "true" }, element("rect", { width: 1, height: 1, fill: rgb(colour) }));
    find("legend").append(element("li", {}, square, name.replace("l_", "left ").replace("r_", "right ")));
  }
  people.people.forEach((person, index) => {
    addTile("people", person, element("img", { src: person.image, alt: "" }), { name: `person ${index + 1}` });
    addTile("poses", person, skeleton(person), { name: `pose ${index + 1}` });
  });
  if (!people.people.length) return noGallery();
  const [height, width] = people.people[0].size;
  document.documentElement.style.setProperty("--aspect", `${width} / ${height}`);
  document.querySelector("input[name=people]").checked = true;
  [...document.querySelectorAll("input[name=poses]")][Math.min(1, people.people.length - 1)].checked = true;
  await ask();
}

function noGallery() {
  for (const list of ["people", "poses"]) {
    find(list).querySelector(".strip").dataset.wait = "This run has no gallery. Use your own:";
    find(list).querySelector("details").open = true;
  }
  say("Choose a person and a pose.");
}

// --- asking

function say(text, bad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", bad);
  find("again").hidden = !bad;
}

async function form(person, pose) {
  const parts = new FormData();
  for (const field of ["image", "parsing"]) parts.append(field, person.files?.[field] ?? (await (await fetch(person[field])).blob()), field);
  parts.append("source_joints", JSON.stringify(person.joints));
  parts.append("target_joints", JSON.stringify({ joints: pose.joints, size: pose.size }));
  return parts;
}

async function ask() {
  const [person, pose] = [picked("people"), picked("poses")];
  if (person) show("source", element("img", { src: person.image, alt: "the photo" }));
  if (pose) show("pose", skeleton(pose));
  if (!person || !pose) return say(person ? "Choose a pose." : "Choose a person.");
  asked?.abort();
  const mine = (asked = new AbortController());
  const start = performance.now();
  const seconds = (digits) => ((performance.now() - start) / 1000).toFixed(digits);
  const waitingFor = () => say(`Waiting for the networks to draw this person in this pose… ${seconds(1)} s`);
  waitingFor();
  const clock = setInterval(waitingFor, 100);
  find("result").classList.add("waiting");
  find("result").setAttribute("aria-busy", "true");
  try {
    const answer = await send(await form(person, pose), mine.signal, () => mine === asked);
    const image = `data:image/png;base64,${answer.image}`;
    const map = await parsingMap(decode(answer.parsing));
    if (mine !== asked) return;
    show("image", element("img", { src: image, alt: "the generated picture" }));
    show("parsing", map);
    find("save").href = image;
    find("save").hidden = false;
    clearInterval(clock);
    say(`Drawn in ${seconds(2)} s.`);
  } catch (error) {
    clearInterval(clock);
    if (mine !== asked) return;
    for (const view of ["image", "parsing"]) find(`view-${view}`).replaceChildren();
    find("save").hidden = true;
    say(error.message, true);
  } finally {
    clearInterval(clock);
    if (mine === asked) {
      find("result").classList.remove("waiting");
      find("result").removeAttribute("aria-busy");
    }
  }
}

async function send(parts, signal, wanted) {
  for (;;) {
    let answer;
    try {
      const headers = { Accept: "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
      answer = await fetch("v1/generate", { method: "POST", body: parts, headers, signal });
    } catch (error) {
      throw signal.aborted ? error : new Error("The endpoint does not answer. Is it still running?");
    }
    find("key-form").hidden = answer.status !== 401;
    if (answer.status === 401) {
      find("key").focus();
      throw new Error(key ? "The endpoint does not know this key." : "The endpoint draws for those who have a key.");
    }
    if (answer.ok) return answer.json();
    if ((answer.status === 503 || answer.status === 429) && wanted()) {
      await new Promise((done) => setTimeout(done, 1000 * (Number(answer.headers.get("Retry-After")) || 1)));
      continue;
    }
    const { error } = await answer.json().catch(() => ({ error: { field: "", message: `The endpoint answered ${answer.status}.` } }));
    throw new Error(error.field ? `${error.field}: ${error.message}` : error.message);
  }
}

const decode = (base64) => new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: "image/png" });

// --- one's own photo and pose

async function readJoints(field) {
  const file = find(`own-${field}`).files[0];
  if (!file) throw new Error("choose a joints file");
  let joints, size;
  try { joints = JSON.parse(await file.text()); } catch { throw new Error(`${file.name} is not JSON`); }
  if (joints?.joints) ({ joints, size } = joints);
  if (!Array.isArray(joints) || joints.length !== body.joints.length) throw new Error(`${file.name} must be a list of ${body.joints.length} joints`);
  joints = joints.map((joint) => (joint?.length === 2 ? [...joint, 1] : joint));
  return { joints, size: size ?? sizeOf(joints) };
}

// The picture that a pose comes from, when nobody says: one that the joints fit into.
function sizeOf(joints) {
  const seen = joints.filter((joint) => joint && joint[2]);
  return [1, 0].map((axis) => Math.ceil(1.12 * Math.max(1, ...seen.map((joint) => joint[axis]))));
}

function own(button, problem, use) {
  find(button).addEventListener("click", async () => {
    find(problem).textContent = "";
    try {
      (await use()).checked = true;
      ask();
    } catch (error) {
      find(problem).textContent = error.message;
    }
  });
}

own("own-person", "own-person-problem", async () => {
  const [image, parsing] = ["image", "parsing"].map((field) => find(`own-${field}`).files[0]);
  if (!image || !parsing) throw new Error(image ? "choose a parsing map" : "choose a photo");
  const person = { image: URL.createObjectURL(image), files: { image, parsing }, ...(await readJoints("source_joints")) };
  return addTile("people", person, element("img", { src: person.image, alt: "" }), { first: true, tag: "yours", name: "your photo" });
});
own("own-pose", "own-pose-problem", async () => {
  const pose = await readJoints("target_joints");
  return addTile("poses", pose, skeleton(pose), { first: true, tag: "yours", name: "your pose" });
});

find("choice").addEventListener("change", (event) => event.target.type === "radio" && ask());
find("choice").addEventListener("submit", (event) => event.preventDefault());
find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = find("key").value.trim();
  ask();
});
find("again").addEventListener("click", () => (body ? ask() : location.reload()));
openGallery().catch((error) => say(`The gallery did not load: ${error.message}`, true));
