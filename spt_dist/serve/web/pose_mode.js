// Pose: a skeleton to drag, started from a gallery of poses.

import { skeletonPicture } from "./drawing.js";
import { find } from "./dom.js";
import { History } from "./history.js";
import { Mode } from "./mode.js";
import { fields } from "./people.js";
import { hideJoint, mirrored, moveJoint, readPose, seen, writePose } from "./pose.js";
import { Skeleton } from "./skeleton.js";
import { Tiles } from "./tiles.js";

export class PoseMode extends Mode {
  name = "pose";
  empty = "Pick a person and a pose.";
  places = { target_joints: "problem-pose" };
  #history = new History();
  #entries = [];
  /** @type {import("./people.js").Person | null} */
  correcting = null; // whose own joints are dragged, and not the wanted pose
  #asked = null; // the pose that was asked for last

  constructor(page) {
    super(page);
    const stage = find("skeleton");
    this.skeleton = new Skeleton(stage, page.body);
    this.tiles = new Tiles(find("poses").querySelector(".strip"), "pose", (entry) => this.start(entry.pose));
    stage.addEventListener("change", ({ detail }) => this.#moved(detail.done));
    stage.addEventListener("choose", () => this.#showTools());
    stage.addEventListener("toggle", () => this.#toggle());
    const buttons = {
      "pose-undo": () => this.undo(),
      "pose-redo": () => this.redo(),
      "pose-reset": () => this.#next(this.started),
      "pose-mirror": () => this.#next(mirrored(this.pose, page.body.twins)),
      "pose-toggle": () => this.#toggle(),
      "pose-whole": () => this.#setWhole(!this.skeleton.whole),
      "pose-own": () => this.correct(),
    };
    for (const [id, act] of Object.entries(buttons)) find(id).addEventListener("click", () => this.pose && act());
    find("pose-backdrop").addEventListener("change", () => this.#lay());
    find("pose-file").addEventListener("change", () => this.#read());
  }

  get pose() {
    return this.skeleton.pose;
  }

  /** Offer a pose in the gallery. @param {import("./people.js").Person} person */
  add(person, own = false) {
    const entry = { pose: person.pose, name: person.name };
    this.#entries.push(entry);
    this.tiles.add(entry, skeletonPicture(person.pose, this.page.body), { words: `Pose of ${person.name}`, own });
  }

  /** Begin with a pose, and draw it. @param {import("./pose.js").Pose} pose */
  start(pose) {
    this.begin(pose);
    this.ask();
  }

  /** The skeleton stands before there is a picture. */
  setPerson(person) {
    super.setPerson(person);
    find("pose-own").hidden = !person.found;
    if (!this.pose || this.correcting) this.begin(person.pose);
  }

  /** Drag the joints that were found in the photo, over the photo, until another pose is chosen. */
  correct() {
    this.start(this.person.pose);
    this.correcting = this.person;
    this.#lay();
  }

  /** Begin with a pose. */
  begin(pose) {
    this.correcting = null;
    this.tiles.picked = this.#entries.find((entry) => entry.pose === pose);
    this.started = pose;
    this.#history.begin(pose);
    this.skeleton.forget();
    this.#show(pose);
  }

  undo() {
    if (this.#history.canUndo) this.#again(this.#history.undo());
  }

  redo() {
    if (this.#history.canRedo) this.#again(this.#history.redo());
  }

  order() {
    if (!this.person || !this.pose) return null;
    const [person, pose] = [this.person, this.pose];
    this.#asked = pose;
    const wanted = async () => ({ ...fields(person), target_joints: writePose(pose) });
    const picture = { path: "v1/generate", title: `${person.name} in this pose`, fields: wanted };
    return { pictures: [picture], name: "spt-pose", pose: writePose(pose), map: null, target: pose };
  }

  drawn([{ url, drawn }], { target }) {
    this.picture = [url, drawn.window, target];
    this.#lay();
  }

  #lay() {
    const photo = this.correcting && [this.correcting.image, [0, 0, ...this.pose.size], this.pose];
    const [url, window, target] = photo ?? this.picture ?? [];
    find("pose-own").setAttribute("aria-pressed", String(this.correcting !== null));
    this.skeleton.lay(find("pose-backdrop").checked && url, window, target);
    this.#showTools();
  }

  #moved(done) {
    if (this.correcting) this.correcting.pose = this.pose;
    if (done) {
      if (this.correcting) this.page.corrected(this);
      this.#history.push(this.pose);
      this.page.status.tell(this.skeleton.whole ? "The whole skeleton was moved" : this.skeleton.words(this.skeleton.chosen));
    }
    find("problem-pose").textContent = "";
    this.#showTools();
    if (this.pose !== this.#asked) this.ask(); // letting go of a joint changes nothing any more
  }

  #next(pose) {
    this.#show(pose);
    this.#moved(true);
  }

  #again(pose) {
    this.#show(pose);
    if (this.correcting) this.correcting.pose = pose;
    this.ask();
  }

  #show(pose) {
    this.skeleton.show(pose);
    this.#showTools();
  }

  #toggle() {
    const [pose, chosen] = [this.pose, this.skeleton.chosen];
    if (seen(pose, chosen) && pose.joints.filter((joint) => joint[2]).length === 1) {
      find("problem-pose").textContent = "The last joint stays: a pose needs one at least.";
    } else this.#next(seen(pose, chosen) ? hideJoint(pose, chosen) : moveJoint(pose, chosen, ...this.skeleton.place(chosen).slice(0, 2)));
  }

  #setWhole(whole) {
    this.skeleton.whole = whole;
    find("pose-whole").setAttribute("aria-pressed", String(whole));
    this.#show(this.pose);
  }

  #showTools() {
    if (!this.pose) return;
    const chosen = this.skeleton.chosen;
    find("pose-joint").textContent = this.skeleton.words(chosen);
    find("pose-toggle").textContent = seen(this.pose, chosen) ? "Hide joint" : "Show joint";
    find("pose-undo").setAttribute("aria-disabled", String(!this.#history.canUndo));
    find("pose-redo").setAttribute("aria-disabled", String(!this.#history.canRedo));
  }

  async #read() {
    const [file] = find("pose-file").files;
    find("pose-file").value = "";
    find("problem-pose").textContent = "";
    try {
      const pose = readPose(await file.text(), file.name, this.page.body.joints.length);
      this.add({ name: file.name, pose }, true);
      this.start(pose);
    } catch (error) {
      find("problem-pose").textContent = error.message;
    }
  }
}
