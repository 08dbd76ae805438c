// A toolbar for the pictures of a page (the figures of core/viz/sheet.py): a loupe at the same place in all of
// them, a wipe to the original (or a sheet's first picture), their layout, and the page's keyboard shortcuts.
import { h, iconButton } from "../dom";
import { isTyping, KeyList, keysCss, type Keys } from "../keys";
import { mounted, type Instance } from "../mount";
import toolbarCss from "../toolbar.css?inline";
import css from "./loupe.css?inline";
import { Overlay, type Place } from "./overlay";

export interface LoupeData {
  keys: Keys;
}

type Tool = "loupe" | "wipe" | "none";
type Layout = "large" | "even";

const PICTURES = "[data-panel] img:not([data-wipe])";
const ZOOMS = [2, 3, 4, 6, 8];
const STEP = 1 / 28;
const ARROWS: Record<string, Place> = {
  ArrowLeft: [-STEP, 0],
  ArrowRight: [STEP, 0],
  ArrowUp: [0, -STEP],
  ArrowDown: [0, STEP],
};
const STORED = "earth-mae pictures";

const panelOf = (picture: Element) => picture.closest<HTMLElement>("[data-panel]")!;

class Loupe implements Instance<LoupeData> {
  private tool: Tool = "loupe";
  private layout: Layout = "large";
  private zoom = 4;
  private at: Place | null = null;
  private pointed: HTMLImageElement | null = null;
  private overlays: Overlay[] = [];
  private keys: LoupeData["keys"] = [];

  private readonly ended = new AbortController();
  private readonly shortcuts = new KeyList(() => this.keys, this.ended.signal);
  private readonly loupe = iconButton(
    "Loupe: the same place in all pictures",
    "L",
    '<circle cx="10" cy="10" r="6"/><path d="m15 15 6 6"/>',
    () => this.use("loupe"),
  );
  private readonly wipe = iconButton(
    "Wipe: the original or first picture left of the pointer",
    "W",
    '<rect x="3" y="4" width="18" height="16" rx="1"/><path d="M12 2v20"/>',
    () => this.use("wipe"),
  );
  private readonly even = iconButton(
    "Pictures of equal size",
    "D",
    '<path d="M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z"/>',
    () => this.lay(this.layout === "large" ? "even" : "large"),
  );
  private readonly zoomed = h("span", { class: "zoom", "aria-live": "polite" });
  private readonly bar = h(
    "div",
    { class: "bar", role: "toolbar", "aria-label": "Pictures" },
    h("div", { class: "group" }, this.loupe, this.wipe),
    h(
      "div",
      { class: "group" },
      iconButton("Zoom out", "−", '<path d="M5 12h14"/>', () => this.zoomBy(-1)),
      this.zoomed,
      iconButton("Zoom in", "+", '<path d="M5 12h14M12 5v14"/>', () => this.zoomBy(1)),
    ),
    h("div", { class: "group" }, this.even),
    h("div", { class: "group" }, this.shortcuts.button),
  );

  constructor(root: HTMLElement) {
    root.className = "loupe";
    root.append(this.bar, this.shortcuts.dialog);
    const { signal } = this.ended;
    const follow = (event: PointerEvent) => this.follow(event);
    document.addEventListener("pointermove", follow, { signal, passive: true });
    document.addEventListener("pointerdown", follow, { signal, passive: true });
    document.documentElement.addEventListener("pointerleave", () => this.point(null, null), { signal });
    document.addEventListener("keydown", (event) => this.pressed(event), { signal });
    this.bar.addEventListener("keydown", (event) => this.moved(event));
    this.restore();
    this.show();
  }

  destroy(): void {
    this.ended.abort();
    this.clear();
    delete document.documentElement.dataset.pictures;
  }

  update(data: LoupeData): void {
    this.keys = data.keys;
    if (this.pointed && !this.pointed.isConnected) this.point(null, null);
  }

  private use(tool: Tool): void {
    this.tool = this.tool === tool ? "none" : tool;
    this.store();
    this.show();
  }

  private lay(layout: Layout): void {
    this.layout = layout;
    this.store();
    this.show();
  }

  private zoomBy(step: number): void {
    const next = ZOOMS[ZOOMS.indexOf(this.zoom) + step];
    if (next) this.zoom = next;
    this.store();
    this.show();
  }

  private store(): void {
    const { tool, layout, zoom } = this;
    try {
      localStorage.setItem(STORED, JSON.stringify({ tool, layout, zoom }));
    } catch {
      // a browser without storage starts with the defaults on every page
    }
  }

  private restore(): void {
    try {
      const { tool, layout, zoom } = JSON.parse(localStorage.getItem(STORED) ?? "{}");
      if (["loupe", "wipe", "none"].includes(tool)) this.tool = tool;
      if (["large", "even"].includes(layout)) this.layout = layout;
      if (ZOOMS.includes(zoom)) this.zoom = zoom;
    } catch {
      // stored by something else
    }
  }

  private show(): void {
    this.loupe.setAttribute("aria-pressed", String(this.tool === "loupe"));
    this.wipe.setAttribute("aria-pressed", String(this.tool === "wipe"));
    this.even.setAttribute("aria-pressed", String(this.layout === "even"));
    this.zoomed.textContent = `${this.zoom} ×`;
    document.documentElement.dataset.pictures = this.layout;
    this.draw();
  }

  private follow(event: PointerEvent): void {
    const target = event.target instanceof Element ? event.target : null;
    const picture = target?.matches(PICTURES) ? (target as HTMLImageElement) : null;
    if (!picture) {
      if (this.pointed) this.point(null, null);
      return;
    }
    const box = picture.getBoundingClientRect();
    this.point(picture, [
      Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1),
      Math.min(Math.max((event.clientY - box.top) / box.height, 0), 1),
    ]);
  }

  private moved(event: KeyboardEvent): void {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    const picture =
      this.pointed ??
      document.querySelector<HTMLImageElement>('[data-panel="combined"] img') ??
      document.querySelector<HTMLImageElement>(PICTURES);
    if (!picture) return;
    const [x, y] = this.at ?? [0.5, 0.5];
    this.point(picture, [Math.min(Math.max(x + step[0], 0), 1), Math.min(Math.max(y + step[1], 0), 1)]);
  }

  private point(picture: HTMLImageElement | null, at: Place | null): void {
    this.pointed = picture;
    this.at = at;
    this.draw();
  }

  private draw(): void {
    this.clear();
    const { pointed, at } = this;
    if (!pointed || !at || this.tool === "none") return;
    if (this.tool === "loupe") {
      for (const picture of samePlace(pointed)) {
        const overlay = Overlay.over(picture);
        overlay.magnify(at, this.zoom);
        this.overlays.push(overlay);
      }
      return;
    }
    const all = samePlace(pointed, false);
    const named = (name: string) => all.find((picture) => panelOf(picture).dataset.panel === name);
    const before = named("original") ?? all[0];
    const other = pointed === before ? (named("combined") ?? all[1]) : before;
    if (!other) return;
    const overlay = Overlay.over(pointed);
    overlay.wipe(at, other, other.alt.split(":")[0]!);
    this.overlays.push(overlay);
  }

  private clear(): void {
    for (const overlay of this.overlays) overlay.remove();
    this.overlays = [];
  }

  private pressed(event: KeyboardEvent): void {
    if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "l") this.use("loupe");
    else if (key === "w") this.use("wipe");
    else if (key === "d") this.lay(this.layout === "large" ? "even" : "large");
    else if (key === "+") this.zoomBy(1);
    else if (key === "-") this.zoomBy(-1);
  }
}

/** The pictures of the same place as this one: those of its sheet, or of all sheets of the same place. */
function samePlace(picture: HTMLImageElement, inView = true): HTMLImageElement[] {
  const sheet = picture.closest<HTMLElement>("[data-place]");
  const place = sheet?.dataset.place;
  const root: ParentNode = place ? document : (sheet ?? panelOf(picture));
  const found = [...root.querySelectorAll<HTMLImageElement>(PICTURES)].filter(
    (other) => !place || other.closest<HTMLElement>("[data-place]")?.dataset.place === place,
  );
  if (!inView) return found;
  return found.filter((other) => {
    const box = other.getBoundingClientRect();
    return box.bottom > 0 && box.top < innerHeight && box.width > 0;
  });
}

export default mounted<LoupeData>({ css: toolbarCss + keysCss + css, create: (root) => new Loupe(root) });
