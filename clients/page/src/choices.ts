/** The form: model, bandwidth, effort, format and entropy coding. */

import type { Query } from "./api";
import { byId, chosenRadio, fillRadios } from "./dom";
import { titleOf, type Model } from "./models";

const group = (id: string) => byId(id, HTMLFieldSetElement);

export class Choices {
  private models: Model[] = [];

  /** `onChange` is called when the user has chosen something else. */
  constructor(onChange: () => void) {
    const form = byId("choices", HTMLFormElement);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", (event) => {
      if ((event.target as HTMLInputElement).name === "model") this.fill(this.query.bandwidth as string);
      if ((event.target as HTMLInputElement).name === "format") this.fillEntropy();
      onChange();
    });
    const efforts = ["0", "1", "2", "3"].map((value) => ({ value, label: value }));
    fillRadios(group("effort"), "effort", efforts, "0");
    const formats = [
      { value: "1", label: "1", hint: "seekable" },
      { value: "0", label: "0", hint: "reference" },
    ];
    fillRadios(group("format"), "format", formats, "1");
  }

  /** Offer what these models can do. */
  offer(models: Model[]): void {
    this.models = models;
    const options = models.map((model) => ({ value: model.name, label: titleOf(model) }));
    fillRadios(group("model"), "model", options, models[0]?.name ?? "");
    this.fill("6");
  }

  get model(): Model | undefined {
    return this.models.find(({ name }) => name === chosenRadio(group("model")));
  }

  /** The parameters of `/compress`. */
  get query(): Query {
    return {
      model: this.model?.name,
      bandwidth: chosenRadio(group("bandwidth")),
      effort: chosenRadio(group("effort")),
      format: chosenRadio(group("format")),
      lm: chosenRadio(group("entropy")) === "lm",
    };
  }

  /** The bandwidths of the model, `wanted` chosen where it has that. */
  private fill(wanted: string): void {
    const rates = this.model?.bandwidths.map(({ kbps }) => String(kbps)) ?? [];
    const chosen = rates.includes(wanted) ? wanted : (rates[0] ?? "");
    fillRadios(group("bandwidth"), "bandwidth", rates.map((value) => ({ value, label: value })), chosen);
    this.fillEntropy();
  }

  private fillEntropy(): void {
    const exists = Boolean(this.model?.language_model);
    const chosen = exists ? chosenRadio(group("entropy")) || "none" : "none";
    const slow = chosenRadio(group("format")) === "0";
    const hint = !exists ? "not here" : slow ? "slow, this machine only" : "";
    const options = [
      { value: "none", label: "None" },
      { value: "lm", label: "Language model", hint, disabled: !exists },
    ];
    fillRadios(group("entropy"), "entropy", options, chosen);
  }
}
