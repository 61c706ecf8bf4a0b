/** Rate against quality of a clip: it is coded at every bandwidth, and each result measured. */

import uPlot from "uplot";
import { post, type Query } from "./api";
import type { Quality } from "./analysis";
import type { Analyst } from "./analyst";
import { RATE, deinterleave } from "./audio";
import { element, formatDecibels } from "./dom";
import type { Model } from "./models";
import { Task } from "./task";

interface Point extends Quality {
  nominal: number;
  /** What it really costs, kbps. */
  kbps: number;
}

const HEIGHT = 230; // px
const LEAST_SPAN = 3; // dB

/** The range of an axis: what hardly changes looks so. */
function leastSpan(_: uPlot, least: number, most: number): [number, number] {
  const margin = Math.max(0.05 * (most - least), (LEAST_SPAN - (most - least)) / 2);
  return [least - margin, most + margin];
}

export class RateCurve {
  private readonly button = element("button", { type: "button", textContent: "Measure all bandwidths" });
  private readonly plot = element("div", { className: "plot" });
  private readonly table = element("table", { hidden: true });
  private readonly task: Task;
  private points: Point[] = [];
  private drawn: uPlot | null = null;

  constructor(
    root: HTMLElement,
    private readonly analyst: Analyst,
    onKeyNeeded: () => void,
  ) {
    const [progress, problem] = [element("div"), element("div")];
    this.task = new Task(progress, problem, onKeyNeeded);
    this.plot.setAttribute("role", "img");
    root.classList.add("curve");
    const hint = "Codes this clip once for each bandwidth and compares what comes back with the original.";
    root.append(element("p", { className: "hint", textContent: hint }), this.button, progress, problem, this.plot, this.table);
    new ResizeObserver(() => this.drawn?.setSize({ width: this.plot.clientWidth, height: HEIGHT })).observe(root);
  }

  /** Measure this clip when the user asks for it; `query` as for `/compress`. */
  offer(file: File, model: Model, query: Query): void {
    this.clear();
    this.button.onclick = () => {
      this.clear();
      void this.task.run(async ({ call, say }) => {
        for (const { kbps } of model.bandwidths) {
          say(`Coding at ${kbps} kbps`);
          const body = new FormData();
          body.append("file", file);
          const wanted = { ...query, bandwidth: kbps, output: "f32", sample_rate: RATE };
          const name = `Coding at ${kbps} kbps`;
          const answer = await post("roundtrip", wanted, body, call("Sending", name));
          const channels = deinterleave(answer.data, model.channels);
          const limit = model.sample_rate / 2;
          const quality = await this.analyst.ask({ kind: "measure", channels, limit });
          this.points.push({ nominal: kbps, kbps: Number(answer.header("X-Compressed-Kbps")), ...quality });
          this.draw();
        }
      });
    };
  }

  clear(): void {
    this.task.cancel();
    this.points = [];
    this.drawn?.destroy();
    this.drawn = null;
    this.table.hidden = true;
  }

  /** Draw anew: after a point has come, or the colours have changed. */
  draw(): void {
    if (!this.points.length) return;
    const { points } = this;
    const head = ["kbps", "actual", "SNR, dB", "LSD, dB"].map((text) => element("th", { textContent: text, scope: "col" }));
    head[2]!.className = "snr";
    head[3]!.className = "lsd";
    const rows = points.map(({ nominal, kbps, snr, lsd }) =>
      element(
        "tr",
        {},
        element("th", { textContent: String(nominal), scope: "row" }),
        ...[kbps.toFixed(2), formatDecibels(snr), formatDecibels(lsd)].map((text) => element("td", { textContent: text })),
      ),
    );
    this.table.replaceChildren(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
    this.table.hidden = false;
    this.plot.setAttribute("aria-label", "Signal-to-noise ratio and log-spectral distance against kbps; the table has the values");
    this.drawn?.destroy();
    const data: uPlot.AlignedData = [
      points.map(({ kbps }) => kbps),
      points.map(({ snr }) => snr),
      points.map(({ lsd }) => lsd),
    ];
    this.drawn = new uPlot(this.options(), data, this.plot);
  }

  private options(): uPlot.Options {
    const colour = (name: string) => getComputedStyle(this.table.querySelector(name)!).color;
    const [soft, snr, lsd] = [colour("thead th"), colour(".snr"), colour(".lsd")];
    const axis = (text: string, stroke: string): uPlot.Axis => ({
      label: text,
      labelSize: 18,
      size: 48,
      labelFont: "12px system-ui",
      font: "12px system-ui",
      stroke,
      grid: { stroke: soft, width: 0.3 },
      ticks: { stroke: soft, width: 0.5 },
    });
    const line = (stroke: string, scale: string): uPlot.Series => ({ stroke, scale, width: 2, points: { size: 7, fill: stroke } });
    const rates = this.points.map(({ kbps }) => kbps);
    return {
      width: this.plot.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, distr: 3, log: 2, range: () => [Math.min(...rates) / 1.15, Math.max(...rates) * 1.15] },
        snr: { range: leastSpan },
        lsd: { range: leastSpan },
      },
      series: [{}, line(snr, "snr"), line(lsd, "lsd")],
      axes: [
        {
          ...axis("kbps", soft),
          splits: () => rates,
          values: (_, splits) => splits.map((value) => String(Number(value.toPrecision(3)))),
        },
        { ...axis("SNR, dB (more is better)", snr), scale: "snr" },
        { ...axis("LSD, dB (less is better)", lsd), scale: "lsd", side: 1, grid: { show: false } },
      ],
    };
  }
}
