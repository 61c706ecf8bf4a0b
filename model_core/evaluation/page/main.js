/** What is on the page. Names come from outside and become text, never HTML. */

import { AbxSet } from "./abx.js";
import { decoded } from "./clips.js";
import { Player } from "./player.js";
import { Results } from "./results.js";

const data = JSON.parse(document.getElementById("data").textContent);
const player = new Player(data.sample_rate);
const results = new Results(data.id);
const $ = (id) => document.getElementById(id);
let clip = null; // the one that is listened to
let set = null; // the AbxSet that is open
let heardX = false;
let loads = 0; // the last one counts
let ready = false;

/** `title` of a version: the same in all clips. */
const title = ({ system, kbps }) => (kbps === null ? system : `${system}, ${kbps} kbps`);
const say = (text) => ($("status").textContent = text);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Have the player play these versions of a clip: `tracks` makes names and buffers of the buffers. */
async function load(of, places, tracks) {
  const mine = ++loads;
  ready = false;
  player.pause();
  say("Loading …");
  try {
    const buffers = await decoded(player.context, of.number, places);
    if (mine !== loads) return false;
    player.load(new Map(tracks(buffers)), of.number);
    say("");
    ready = true;
    return true;
  } catch (error) {
    say(`This clip cannot be played: ${error.message}`);
    return false;
  }
}

// Listening

async function choose(number) {
  clip = data.clips.find((each) => each.number === number);
  const names = clip.versions.map(title);
  showVersions();
  await load(clip, [...names.keys()], (buffers) => names.map((name, i) => [name, buffers[i]]));
}

function showVersions() {
  const systems = new Map();
  for (const version of clip.versions) systems.set(version.system, [...(systems.get(version.system) ?? []), version]);
  $("versions").replaceChildren(
    ...[...systems].map(([system, versions]) =>
      element(
        "fieldset",
        {},
        element("legend", { textContent: system }),
        ...versions.map((version) => {
          const radio = element("input", { type: "radio", name: "version", value: title(version) });
          radio.checked = radio.value === (player.heard || title(clip.versions[0]));
          const text = version.kbps === null ? "uncompressed" : `${version.kbps} kbps`;
          return element("label", {}, radio, element("span", { textContent: text }));
        }),
      ),
    ),
  );
}

function showLevel() {
  const version = clip?.versions.find((each) => title(each) === player.heard);
  if (!version || set) return ($("level").textContent = "");
  const moved = version.gain_db === null ? "was not brought to the loudness of the original: it is too far from it"
    : version.kbps === null ? "" : `was brought to the loudness of the original by ${version.gain_db.toFixed(1)} dB`;
  $("level").textContent = moved && `${player.heard} ${moved}.`;
}

// The test

function offerPairs() {
  const all = new Map(data.clips.flatMap(({ versions }) => versions.map((version) => [title(version), version])));
  for (const [id, place] of [["a", 0], ["b", 1]]) {
    $(id).replaceChildren(...[...all.keys()].map((name) => element("option", { value: name, textContent: name })));
    $(id).selectedIndex = Math.min(place, all.size - 1);
  }
}

function begin() {
  const pair = [$("a").value, $("b").value];
  const has = ({ versions }) => pair.every((name) => versions.some((version) => title(version) === name));
  const clips = ($("which").value === "one" ? [clip] : data.clips).filter(has);
  if (pair[0] === pair[1]) return say("Choose two that differ.");
  if (!clips.length) return say("This clip does not have both.");
  set = new AbxSet(...pair, clips, Number($("trials").value));
  showMode();
  return nextTrial();
}

async function nextTrial() {
  const drawn = set.next();
  const places = [set.a, set.b].map((name) => drawn.versions.findIndex((version) => title(version) === name));
  heardX = false;
  player.heard = "";
  const mine = set;
  const lanes = ([a, b]) => [["a", a], ["b", b], ["x", set.x(a, b)]];
  if ((await load(drawn, places, lanes)) && set === mine) {
    $("now").textContent = `Trial ${set.done + 1} of ${set.count}`;
    say(`Trial ${set.done + 1} of ${set.count}: ${drawn.name}. A is ${set.a}, B is ${set.b}.`);
    player.seek(0);
  }
  update();
}

function hear(name) {
  if (!set || !ready) return;
  heardX ||= name === "x";
  player.select(name);
  player.play();
}

function answer(which) {
  if (!set || !heardX) return undefined;
  heardX = false;
  set.answer(which);
  if (!set.over) return nextTrial();
  const result = set.result();
  results.add(result);
  leave();
  $("outcome").textContent = outcome(result);
  $("results").scrollIntoView({ block: "nearest" });
  return undefined;
}

function outcome({ right, trials, p }) {
  const counted = `${right} of ${trials.length} right. One who guesses has as many or more with probability ${shown(p)}.`;
  if (p < 0.05) return `${counted} It is likely that you heard a difference.`;
  return `${counted} This set does not show that you heard a difference, nor that there is none.`;
}

const shown = (p) => (p < 0.001 ? p.toExponential(1) : p.toFixed(3));

function leave() {
  set = null;
  player.heard = "";
  showMode();
  showResults();
  void choose(clip.number);
}

function showMode() {
  player.apart = set !== null;
  for (const id of ["clip-label", "versions", "setup"]) $(id).hidden = set !== null;
  $("test").hidden = set === null;
  $("results").hidden = set !== null || !results.sets.length;
  if (!set) $("now").textContent = "Listen";
}

function showResults() {
  $("results").hidden = !results.sets.length;
  $("sets").replaceChildren(
    ...results.sets.map(({ ended, a, b, trials, right, p }) => {
      const clips = [...new Set(trials.map((trial) => trial.clip))].join(", ");
      const cells = [new Date(ended).toLocaleString(), a, b, clips, `${right} of ${trials.length}`, shown(p)];
      return element("tr", {}, ...cells.map((textContent) => element("td", { textContent })));
    }),
  );
}

function download() {
  const { id, model, sample_rate } = data;
  const text = JSON.stringify({ page: id, model, sample_rate, sets: results.sets }, null, 1);
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })) });
  link.download = `listening-${id}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// The transport

const toggle = () => (player.playing ? player.pause() : player.play());

function update() {
  $("play").textContent = player.playing ? "Stop" : "Play";
  $("position").max = player.duration;
  for (const radio of document.querySelectorAll('[name="version"]')) radio.checked = radio.value === player.heard;
  for (const button of document.querySelectorAll("[data-hear]"))
    button.setAttribute("aria-pressed", String(player.playing && button.dataset.hear === player.heard));
  for (const button of document.querySelectorAll("[data-answer]")) button.disabled = !heardX;
  showLevel();
  showTime();
}

function showTime() {
  const [start, end] = player.loop;
  const all = start === 0 && end === player.duration;
  $("position").value = player.time;
  $("time").textContent =
    `${player.time.toFixed(1)} of ${player.duration.toFixed(1)} s` + (all ? "" : `, repeats ${start.toFixed(1)} to ${end.toFixed(1)} s`);
}

function follow() {
  if (player.playing) showTime();
  requestAnimationFrame(follow);
}

function pressed(event) {
  const { target, key } = event;
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("select, input:not([type=radio], [type=range])")) return;
  if (key === " " && target.matches("button")) return; // it presses the button
  const name = key.toLowerCase();
  if (name === " ") toggle();
  else if (set && ["a", "b", "x"].includes(name)) hear(name);
  else if (set && ["1", "2"].includes(name)) void answer(name === "1" ? "a" : "b");
  else return;
  event.preventDefault();
}

player.addEventListener("change", update);
document.addEventListener("keydown", pressed);
$("play").addEventListener("click", toggle);
$("position").addEventListener("input", ({ target }) => player.seek(Number(target.value)));
$("from").addEventListener("click", () => player.repeat(player.time, player.loop[1]));
$("to").addEventListener("click", () => player.repeat(player.loop[0], player.time));
$("whole").addEventListener("click", () => player.repeat(0, player.duration));
$("clip").addEventListener("change", ({ target }) => void choose(Number(target.value)));
$("versions").addEventListener("change", ({ target }) => player.select(target.value));
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void begin();
});
for (const button of document.querySelectorAll("[data-hear]")) button.addEventListener("click", () => hear(button.dataset.hear));
for (const button of document.querySelectorAll("[data-answer]"))
  button.addEventListener("click", () => void answer(button.dataset.answer));
$("leave").addEventListener("click", leave);
$("download").addEventListener("click", download);
$("forget").addEventListener("click", () => {
  results.clear();
  $("outcome").textContent = "";
  showResults();
});

$("about").textContent = `${data.model}, ${data.sample_rate} Hz. All versions of a clip play in step.`;
$("clip").replaceChildren(
  ...data.clips.map(({ number, name, category }) => element("option", { value: number, textContent: `${category}: ${name}` })),
);
offerPairs();
showMode();
showResults();
void choose(data.clips[0].number);
follow();
