// The body's tables, from /v1/body, with what the page needs of them: words, sides, neighbours.

const SIDES = { l: "left", r: "right" };
const OTHER = { l: "r", r: "l" };

export class Body {
  /** @param {{joints: string[], labels: {name: string, colour: number[]}[], bones: {ends: number[], colour: number[]}[],
   *    edits: string[]}} tables */
  constructor({ joints, labels, bones, edits }) {
    Object.assign(this, { joints, labels, bones, edits });
    /** @type {number[]} each joint's place on the other side of the body */
    this.twins = joints.map((name) => joints.indexOf(name.replace(/^[lr](?=_)/, (side) => OTHER[side])));
  }

  /** "l_wrist" as "left wrist". */
  words(name) {
    return name.replace(/^([lr])_/, (_, side) => `${SIDES[side]} `);
  }

  joint(index) {
    return this.words(this.joints[index]);
  }

  label(value) {
    return this.words(this.labels[value].name);
  }

  /** The joints that bones join to this one. */
  neighbours(index) {
    return this.bones.filter(({ ends }) => ends.includes(index)).map(({ ends: [a, b] }) => (a === index ? b : a));
  }
}
