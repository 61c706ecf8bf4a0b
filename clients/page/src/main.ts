/** Starts the page: tabs, files dropped anywhere, keys, colours, the API key, what there is to
 * choose from. */

import { Problem, getJson, setApiKey } from "./api";
import { Decoding } from "./codec";
import { CompressTab } from "./compress-tab";
import { byId } from "./dom";
import { FileTab } from "./file-tab";
import { LiveTab, relayOf } from "./live-tab";
import type { Model } from "./models";

const MAGIC = "ECDC";
const THEME = "encodec-theme";
const THEMES = ["auto", "light", "dark"];
const NEXT_TRY = 2; // s, while the service starts

/** What a tab is told. */
interface Tab {
  /** Offer what the service can do. */
  offer(models: Model[]): void;
  /** When another tab is shown. */
  leave?(): void;
  /** When the tab is shown, or the colours have changed. */
  redraw?(): void;
  /** A key that no control has used; says whether it was one of the tab's. */
  onKey?(key: string): boolean;
}

const tabs = ["compress", "file", "live"].map((name) => ({
  button: byId(`tab-${name}`, HTMLButtonElement),
  panel: byId(`panel-${name}`, HTMLElement),
}));
const decoding = new Decoding();
const fileTab = new FileTab(askForKey, decoding);
const compressTab = new CompressTab(askForKey, decoding, (file) => void take(file));
const liveTab = new LiveTab(askForKey);
const controllers: Tab[] = [compressTab, fileTab, liveTab];
let shown = 0;

function show(index: number, focus = false): void {
  controllers[shown]!.leave?.();
  shown = index;
  tabs.forEach(({ button, panel }, i) => {
    button.setAttribute("aria-selected", String(i === index));
    button.tabIndex = i === index ? 0 : -1;
    panel.hidden = i !== index;
  });
  if (focus) tabs[index]!.button.focus();
  controllers[index]!.redraw?.();
}

/** Open a file in the tab for its kind; `note` is said beside it. */
async function take(file: File, note = ""): Promise<void> {
  const head = await file.slice(0, MAGIC.length).text().catch(() => null);
  const said = byId("file-notice", HTMLElement);
  said.textContent = head === null ? `${file.name} cannot be read. Folders cannot be opened, only files.` : note;
  said.hidden = !said.textContent;
  if (head === null) return;
  const isEcdc = head === MAGIC;
  show(isEcdc ? 1 : 0);
  await (isEcdc ? fileTab.open(file) : compressTab.take(file));
}

function installTabs(): void {
  tabs.forEach(({ button }, i) => {
    button.onclick = () => show(i);
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      show((i + step + tabs.length) % tabs.length, true);
    };
  });
}

function installDrop(): void {
  let depth = 0;
  const dragging = (change: number) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", () => dragging(1));
  addEventListener("dragleave", () => dragging(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    dragging(-depth);
    const files = event.dataTransfer?.files;
    if (!files?.length) return;
    void take(files[0]!, files.length > 1 ? `One file at a time: ${files[0]!.name} of ${files.length} files.` : "");
  });
}

/** The keys of the player that is shown, where the focus is on nothing that uses them itself. */
function installKeys(): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const { target, key } = event;
    if (target instanceof HTMLInputElement && usesKey(target, key)) return;
    if (key === " " && target instanceof Element && target.closest("button, a")) return;
    if (controllers[shown]!.onKey?.(key)) event.preventDefault();
  });
}

/** Whether an input does something with a key itself: a radio button chooses. */
function usesKey({ type, checked }: HTMLInputElement, key: string): boolean {
  return type !== "radio" || key.startsWith("Arrow") || (key === " " && !checked);
}

function installTheme(): void {
  const button = byId("theme-button", HTMLButtonElement);
  const apply = (theme: string) => {
    document.documentElement.dataset.theme = theme;
    button.title = `Colours: ${theme}`;
    button.setAttribute("aria-label", `Colours: ${theme}`);
    controllers[shown]!.redraw?.();
  };
  apply(localStorage.getItem(THEME) ?? "auto");
  button.onclick = () => {
    const now = THEMES.indexOf(document.documentElement.dataset.theme ?? "auto");
    const next = THEMES[(now + 1) % THEMES.length]!;
    localStorage.setItem(THEME, next);
    apply(next);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => controllers[shown]!.redraw?.());
}

function askForKey(): void {
  toggleKeyForm(true);
  byId("key", HTMLInputElement).focus();
}

function toggleKeyForm(open: boolean): void {
  byId("key-form", HTMLFormElement).hidden = !open;
  byId("key-button", HTMLButtonElement).setAttribute("aria-expanded", String(open));
}

function installKeyForm(): void {
  const form = byId("key-form", HTMLFormElement);
  byId("key-button", HTMLButtonElement).onclick = () => (form.hidden ? askForKey() : toggleKeyForm(false));
  form.onsubmit = (event) => {
    event.preventDefault();
    setApiKey(byId("key", HTMLInputElement).value.trim());
    toggleKeyForm(false);
    void loadModels();
  };
}

/** Ask what there is to choose from, until the service is ready. */
async function loadModels(): Promise<void> {
  const notice = byId("notice", HTMLElement);
  try {
    const { models } = await getJson<{ models: Model[] }>("models");
    for (const tab of controllers) tab.offer(models);
    const starting = models.some(({ ready }) => !ready);
    notice.hidden = !starting;
    if (starting) notice.textContent = "The service is starting: its models are being loaded.";
    if (starting) setTimeout(() => void loadModels(), NEXT_TRY * 1000);
  } catch (error) {
    notice.hidden = false;
    notice.textContent = error instanceof Problem ? `${error.title}: ${error.detail}` : String(error);
    if (error instanceof Problem && error.status === 401) askForKey();
    else if (error instanceof Problem) setTimeout(() => void loadModels(), 5 * NEXT_TRY * 1000);
  }
}

/** A link that somebody has sent: show who can be heard there. */
function followLink(): void {
  const name = relayOf(location.hash);
  if (!name) return;
  liveTab.invite(name);
  show(tabs.length - 1);
}

installTabs();
installDrop();
installKeys();
installTheme();
installKeyForm();
addEventListener("hashchange", followLink);
followLink();
void loadModels();
