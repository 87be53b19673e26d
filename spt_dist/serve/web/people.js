// People to draw: from the gallery, or from a photo, its parsing map and its joints that a user brings.

import { element } from "./dom.js";
import { readMap } from "./png.js";
import { readPose, writePose } from "./pose.js";

/**
 * @typedef {object} Person
 * @property {string} name
 * @property {string} image address of the photo
 * @property {import("./pose.js").Pose} pose in px of the photo
 * @property {{image: Blob, parsing: Blob} | null} files null: not loaded yet
 * @property {import("./png.js").LabelMap | null} map
 * @property {boolean} [found] whether pose and map were found in the photo, and may be corrected
 */

/** @returns {Person} */
export function fromGallery(entry, index) {
  const pose = { joints: entry.joints.map((joint) => (joint[2] ? joint : [-1, -1, 0])), size: entry.size };
  return { name: `Person ${index + 1}`, image: entry.image, parsing: entry.parsing, pose, files: null, map: null };
}

/** Bring the files of a person of the gallery. @param {Person} person @param {import("./api.js").Api} api */
export async function load(person, api) {
  if (!person.files) {
    const [image, parsing] = await Promise.all([api.file(person.image), api.file(person.parsing)]);
    person.map = await readMap(parsing);
    person.files = { image, parsing };
  }
  return person;
}

/** The fields by which the interface is told of a person. @param {Person} person @param {string} prefix */
export function fields(person, prefix = "") {
  return {
    [`${prefix}image`]: person.files.image,
    [`${prefix}parsing`]: person.files.parsing,
    [`${prefix || "source_"}joints`]: JSON.stringify(JSON.parse(writePose(person.pose)).joints),
  };
}

const MOST_PIXELS = 2_000_000; // of a raw photo that is sent; phones make six times as many

/** The photo, upright, as a file that an endpoint takes. @param {File} file @returns {Promise<File>} */
export async function shrunk(file) {
  const photo = await opened(file);
  const scale = Math.sqrt(MOST_PIXELS / (photo.width * photo.height));
  if (scale >= 1) return file;
  const canvas = element("canvas", { width: Math.round(photo.width * scale), height: Math.round(photo.height * scale) });
  canvas.getContext("2d").drawImage(photo, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
  return new File([blob], file.name, { type: "image/jpeg" });
}

function opened(file) {
  return createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is no picture that this browser can show.`);
  });
}

/** What a file is good for: image, parsing or joints. @param {File} file */
export async function kindOf(file) {
  if (/json/.test(file.type) || /\.json$/i.test(file.name)) return "joints";
  const map = file.type === "image/png" && (await readMap(file).catch(() => null));
  return map && map.labels.every((label) => label < 10) ? "parsing" : "image";
}

/**
 * A person from a user's files; an error says what is wrong with them.
 * @param {{image: File, parsing: File, joints: File}} files @param {import("./body.js").Body} body @returns {Promise<Person>}
 */
export async function fromFiles({ image, parsing, joints }, body) {
  const photo = await opened(image);
  const size = /** @type {[number, number]} */ ([photo.height, photo.width]);
  const map = await readMap(parsing, parsing.name);
  const beyond = map.labels.find((label) => label >= body.labels.length);
  if (beyond !== undefined) throw new Error(`${parsing.name} has label ${beyond}; labels are 0 to ${body.labels.length - 1}.`);
  if (String(map.size) !== String(size)) {
    throw new Error(`${parsing.name} is ${sides(map.size)} but ${image.name} is ${sides(size)}: every pixel of the photo needs its label.`);
  }
  const pose = { ...readPose(await joints.text(), joints.name, body.joints.length), size };
  return { name: image.name, image: URL.createObjectURL(image), pose, files: { image, parsing }, map };
}

const sides = ([height, width]) => `${width} × ${height} px`;
