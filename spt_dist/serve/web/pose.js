// Poses: what may be done with them, and how they are written and read. Nothing here changes a pose in place.

/**
 * @typedef {[number, number, number]} JointXY x and y in px of the picture, origin at the centre of its first pixel; 1 if seen
 * @typedef {{joints: JointXY[], size: [number, number]}} Pose size is height, width of the picture
 */

const HIDDEN = [-1, -1, 0];
const tidy = (px) => Math.round(100 * px) / 100;

/** @param {Pose} pose @param {number} index @param {JointXY} joint @returns {Pose} */
const replaced = (pose, index, joint) => ({ ...pose, joints: pose.joints.map((old, at) => (at === index ? joint : old)) });

export const seen = (pose, index) => pose.joints[index][2] === 1;

/** The pose with one joint at another place; it is seen there. */
export const moveJoint = (pose, index, x, y) => replaced(pose, index, [tidy(x), tidy(y), 1]);

export const hideJoint = (pose, index) => replaced(pose, index, HIDDEN);

/** The pose with all its joints moved by so many px. */
export function moveAll(pose, dx, dy) {
  return { ...pose, joints: pose.joints.map(([x, y, v]) => (v ? [tidy(x + dx), tidy(y + dy), v] : HIDDEN)) };
}

/** The pose as in a mirror: left becomes right. @param {number[]} twins of `Body` */
export function mirrored(pose, twins) {
  const flip = ([x, y, v]) => (v ? [tidy(pose.size[1] - 1 - x), y, v] : HIDDEN);
  return { ...pose, joints: twins.map((twin) => flip(pose.joints[twin])) };
}

/**
 * Where a hidden joint may be: opposite its twin across the middle of the body, else beside a neighbour.
 * @param {Pose} pose @param {import("./body.js").Body} body @returns {[number, number]}
 */
export function guess(pose, index, body) {
  const all = pose.joints.filter((joint) => joint[2]);
  const middle = all.reduce((sum, [x]) => sum + x, 0) / all.length;
  const twin = body.twins[index];
  if (twin !== index && seen(pose, twin)) return [tidy(2 * middle - pose.joints[twin][0]), pose.joints[twin][1]];
  const near = body.neighbours(index).find((other) => seen(pose, other));
  const [x, y] = near === undefined ? [middle, pose.size[0] / 2] : pose.joints[near];
  return [tidy(x + 0.04 * pose.size[0]), tidy(y + 0.04 * pose.size[0])];
}

/** A pose as the interface and the commands read it. @param {Pose} pose */
export const poseTree = ({ joints, size }) => ({ joints: joints.map((joint) => (joint[2] ? joint : null)), size });

export const writePose = (pose) => JSON.stringify(poseTree(pose));

/**
 * A pose from the text of a file; an error says what is wrong with it.
 * @param {string} text @param {string} name of the file @param {number} count of joints
 * @param {[number, number]} [size] of the picture, where the text has none @returns {Pose}
 */
export function readPose(text, name, count, size) {
  let tree;
  try {
    tree = JSON.parse(text);
  } catch {
    throw new Error(`${name} is not JSON; it should hold ${count} joints, each [x, y, visible] or null.`);
  }
  const rows = tree?.joints ?? tree;
  if (!Array.isArray(rows) || rows.length !== count) {
    const found = Array.isArray(rows) ? `${rows.length} joints` : "no list of joints";
    throw new Error(`${name} holds ${found}; it should hold ${count}, each [x, y, visible] or null.`);
  }
  const joints = rows.map((row, index) => {
    if (row === null || row?.[2] === 0) return HIDDEN;
    if (!Array.isArray(row) || !row.slice(0, 2).every(Number.isFinite) || ![undefined, 1].includes(row[2])) {
      throw new Error(`Joint ${index} in ${name} is ${JSON.stringify(row)}; a joint is [x, y, visible] or null.`);
    }
    return [row[0], row[1], 1];
  });
  if (!joints.some((joint) => joint[2])) throw new Error(`${name} has no visible joint.`);
  return { joints, size: tree.size ?? size ?? sizeOf(joints) };
}

/** The picture that a pose comes from, when nobody says: one that the joints fit into. */
function sizeOf(joints) {
  const visible = joints.filter((joint) => joint[2]);
  return /** @type {[number, number]} */ ([1, 0].map((axis) => Math.ceil(1.12 * Math.max(1, ...visible.map((joint) => joint[axis])))));
}
