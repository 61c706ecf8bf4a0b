/** Play, seek, and which track is heard: the controls of a player. */

import { chosenRadio, element, fillRadios, formatTime } from "./dom";
import type { Player } from "./player";

const STEP = 5; // s that an arrow key goes
const PLAY = "M8 5v14l11-7z";
const PAUSE = "M6 5h4v14H6zm8 0h4v14h-4z";

/** A track that can be chosen, with the key that chooses it. */
export interface Choice {
  id: string;
  label: string;
  key: string;
}

export class Transport {
  private readonly button = element("button", { className: "main play", type: "button" });
  private readonly slider = element("input", { type: "range", min: "0", step: "any" });
  private readonly clock = element("span", { className: "time" });
  private readonly group = element("fieldset", {}, element("legend", { className: "unseen", textContent: "Heard" }));
  private readonly icon = document.createElementNS("http://www.w3.org/2000/svg", "path");
  private player: Player | null = null;
  private choices: Choice[] = [];

  /** `onTime` is called for each picture of the screen while something plays, and after seeking. */
  constructor(root: HTMLElement, private readonly onTime: (seconds: number) => void) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    svg.append(this.icon);
    this.button.append(svg);
    this.slider.setAttribute("aria-label", "Position");
    root.classList.add("transport");
    root.append(this.button, this.slider, this.clock, this.group);
    this.button.addEventListener("click", () => this.toggle());
    this.slider.addEventListener("input", () => this.player?.seek(Number(this.slider.value)));
    this.group.addEventListener("change", () => this.player?.select(chosenRadio(this.group)));
  }

  /** Control this player, whose tracks are these. */
  attach(player: Player): void {
    if (this.player !== player) {
      this.player = player;
      player.addEventListener("change", () => this.update());
      const follow = () => {
        if (this.player !== player) return;
        if (player.state === "playing") this.showTime();
        requestAnimationFrame(follow);
      };
      follow();
    }
    this.update();
  }

  /** Which tracks there are to choose from. */
  offer(choices: Choice[]): void {
    this.choices = choices;
    const options = choices.map(({ id, label, key }) => ({ value: id, label, hint: key }));
    fillRadios(this.group, `${this.group.parentElement!.id}-track`, options, this.player?.selected ?? "");
    for (const input of this.group.querySelectorAll("input")) input.parentElement!.dataset.track = input.value;
    this.group.hidden = choices.length < 2;
  }

  toggle(): void {
    if (!this.player) return;
    if (this.player.state === "paused") void this.player.play();
    else this.player.pause();
  }

  /** Space, the arrows, Home, and the keys of the tracks. Says whether it was one of them. */
  onKey(key: string): boolean {
    const { player } = this;
    if (!player) return false;
    const choice = this.choices.find((one) => one.key.toLowerCase() === key.toLowerCase());
    if (choice) player.select(choice.id);
    else if (key === " ") this.toggle();
    else if (key === "ArrowLeft") player.seek(player.time - STEP);
    else if (key === "ArrowRight") player.seek(player.time + STEP);
    else if (key === "Home") player.seek(0);
    else return false;
    return true;
  }

  private update(): void {
    const { player } = this;
    if (!player) return;
    const plays = player.state !== "paused";
    this.icon.setAttribute("d", plays ? PAUSE : PLAY);
    this.button.setAttribute("aria-label", plays ? "Pause" : "Play");
    this.button.classList.toggle("waiting", player.state === "waiting");
    this.slider.max = String(player.duration);
    for (const input of this.group.querySelectorAll("input")) input.checked = input.value === player.selected;
    this.showTime();
  }

  private showTime(): void {
    const { time, duration } = this.player!;
    const text = `${formatTime(time)} of ${formatTime(duration)}`;
    this.slider.value = String(time);
    this.slider.setAttribute("aria-valuetext", text);
    this.clock.textContent = text.replace("of", "/");
    this.onTime(time);
  }
}

