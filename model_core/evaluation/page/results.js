/** The sets that are over, kept in this browser: under the page's own name, since pages opened from
 * a disk share what they keep. */

export class Results {
  constructor(page) {
    this.key = `encodec-listening:${page}`;
    this.sets = [];
    try {
      this.sets = JSON.parse(localStorage.getItem(this.key) ?? "[]");
    } catch {
      // a browser that keeps nothing for this page: they live as long as it is open
    }
  }

  add(set) {
    this.sets.push(set);
    this.#keep();
  }

  clear() {
    this.sets = [];
    this.#keep();
  }

  #keep() {
    try {
      localStorage.setItem(this.key, JSON.stringify(this.sets));
    } catch {
      // as above
    }
  }
}
