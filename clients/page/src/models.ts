/** What the service can do, as `GET /models` says. */

export interface Model {
  name: string;
  sample_rate: number;
  channels: number;
  bandwidths: { kbps: number; codebooks: number }[];
  ready: boolean;
  language_model: { name: string } | null;
}

/** `encodec_24khz` -> `24 kHz, mono`. */
export function titleOf(model: Model): string {
  return `${model.sample_rate / 1000} kHz ${model.channels === 1 ? "mono" : "stereo"}`;
}
