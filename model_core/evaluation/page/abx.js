/** A set of ABX trials. What X is, is known here alone, and told when the set is over. */

import { byGuessing, draw } from "./chance.js";

export class AbxSet {
  #x = ""; // "a" or "b"
  #clip = null;
  #trials = [];

  /** `a` and `b`: what is compared, as it is to stand in the result; `clips`: one is drawn for each
   * of `count` trials. */
  constructor(a, b, clips, count) {
    Object.assign(this, { a, b, clips, count, began: new Date() });
  }

  get done() {
    return this.#trials.length;
  }

  get over() {
    return this.done === this.count;
  }

  /** Draw the next trial; its clip. */
  next() {
    this.#clip = this.clips[draw(this.clips.length)];
    this.#x = ["a", "b"][draw(2)];
    return this.#clip;
  }

  /** X, given both. */
  x(a, b) {
    return this.#x === "a" ? a : b;
  }

  answer(answer) {
    this.#trials.push({ clip: this.#clip.name, x: this.#x, answer });
  }

  /** What is kept of a set that is over. */
  result() {
    if (!this.over) throw new Error("the set is not over");
    const right = this.#trials.filter(({ x, answer }) => x === answer).length;
    return {
      began: this.began.toISOString(),
      ended: new Date().toISOString(),
      a: this.a,
      b: this.b,
      trials: this.#trials,
      right,
      p: byGuessing(right, this.count),
    };
  }
}
