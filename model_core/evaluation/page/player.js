/** Plays several tracks in step, over and over, of which one is heard: switching is a crossfade.
 *
 * All tracks start together on the context's clock with the same loop, so that they stay together
 * to the sample. Only gains change.
 */

const FADE = 0.008; // s
const LEAD = 0.05; // s from the order to play to the first sample

export class Player extends EventTarget {
  heard = "";
  /** Fade out, then in, instead of both at once: where two tracks may be the same, the switch must
   * not tell it. Two that differ in phase would cancel each other during a crossfade. */
  apart = false;
  duration = 0; // s
  #tracks = new Map(); // name -> AudioBuffer
  #clip = null;
  #run = null; // { gain, lanes: name -> gain, sources, began, from }
  #position = 0; // s, while nothing plays
  #loop = [0, 0]; // s

  constructor(sampleRate) {
    super();
    this.context = new AudioContext({ sampleRate });
    this.output = this.context.createGain();
    this.output.connect(this.context.destination);
  }

  get playing() {
    return this.#run !== null;
  }

  /** Seconds into the clip. */
  get time() {
    if (!this.#run) return this.#position;
    const [start, end] = this.#loop;
    const time = this.#run.from + Math.max(0, this.context.currentTime - this.#run.began);
    return time < end ? time : start + ((time - end) % (end - start));
  }

  /** Other tracks, by name, all of one length; nothing plays then. What is repeated, and the place
   * in it, stay for tracks of the same `clip`. */
  load(tracks, clip) {
    this.pause();
    this.#tracks = tracks;
    if (clip !== this.#clip) {
      this.#clip = clip;
      this.duration = tracks.values().next().value.duration;
      this.#loop = [0, this.duration];
      this.#position = 0;
    }
    this.select(tracks.has(this.heard) ? this.heard : tracks.keys().next().value);
  }

  select(name) {
    const same = name === this.heard;
    this.heard = name;
    const now = this.context.currentTime;
    for (const [other, { gain }] of same ? [] : (this.#run?.lanes ?? [])) {
      const level = gain.value;
      gain.cancelScheduledValues(now);
      gain.setValueAtTime(level, now);
      if (this.apart) gain.linearRampToValueAtTime(0, now + FADE);
      gain.linearRampToValueAtTime(other === name ? 1 : 0, now + (this.apart ? 2 : 1) * FADE);
    }
    this.dispatchEvent(new Event("change"));
  }

  play() {
    if (this.#run || !this.#tracks.size) return;
    void this.context.resume(); // within the user's gesture, as some browsers ask
    const began = this.context.currentTime + LEAD;
    const gain = this.context.createGain();
    gain.connect(this.output);
    const lanes = new Map();
    const sources = [];
    for (const [name, buffer] of this.#tracks) {
      const lane = this.context.createGain();
      lane.gain.value = name === this.heard ? 1 : 0;
      lane.connect(gain);
      lanes.set(name, lane);
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.loop = true;
      [source.loopStart, source.loopEnd] = this.#loop;
      source.connect(lane);
      source.start(began, this.#position);
      sources.push(source);
    }
    this.#run = { gain, lanes, sources, began, from: this.#position };
    this.dispatchEvent(new Event("change"));
  }

  pause() {
    if (!this.#run) return;
    this.#position = this.#onSample(this.time);
    const { gain, sources } = this.#run;
    const now = this.context.currentTime;
    gain.gain.setValueAtTime(1, now);
    gain.gain.linearRampToValueAtTime(0, now + FADE);
    for (const source of sources) source.stop(now + FADE);
    this.#run = null;
    this.dispatchEvent(new Event("change"));
  }

  seek(seconds) {
    const [start, end] = this.#loop;
    this.#restart(Math.min(Math.max(seconds, start), end - 1 / this.context.sampleRate));
  }

  /** Repeat the seconds from `start` to `end` only: at least 0.1 of them. */
  repeat(start, end) {
    const from = this.#onSample(Math.max(0, Math.min(start, this.duration - 0.1)));
    this.#loop = [from, Math.max(this.#onSample(Math.min(end, this.duration)), from + 0.1)];
    this.seek(this.time);
  }

  get loop() {
    return [...this.#loop];
  }

  #restart(seconds) {
    const again = this.playing;
    this.pause();
    this.#position = this.#onSample(seconds);
    if (again) this.play();
    else this.dispatchEvent(new Event("change"));
  }

  /** The nearest time at which a sample lies: between two, the browser would interpolate. */
  #onSample(seconds) {
    return Math.round(seconds * this.context.sampleRate) / this.context.sampleRate;
  }
}
