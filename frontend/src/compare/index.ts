// Compare two pictures of one place by wiping, flipping or fading; a probe reads both under the pointer.
import { h, iconButton, keepKeys } from "../dom";
import { mounted, type Instance } from "../mount";
import toolbarCss from "../toolbar.css?inline";
import css from "./compare.css?inline";
import { Pixels } from "./pixels";

type Mode = "wipe" | "flip" | "opacity";

export interface CompareData {
  left: string;
  right: string;
  leftLabel: string;
  rightLabel: string;
  mode: Mode;
  range: [number, number];
  digits: number;
  maxWidth: number;
}

const MODES: [Mode, string, string, string][] = [
  ["wipe", "Wipe", "W", '<rect x="3" y="4" width="18" height="16" rx="1"/><path d="M12 2v20"/>'],
  ["flip", "Flip", "F", '<path d="M4 9h13l-3-3M20 15H7l3 3"/>'],
  ["opacity", "Fade", "O", '<circle cx="9" cy="12" r="6"/><circle cx="15" cy="12" r="6"/>'],
];
const BLINK_MS = 700;

class Compare implements Instance<CompareData> {
  private mode: Mode = "wipe";
  private position: Record<Mode, number> = { wipe: 50, opacity: 50, flip: 0 };
  private blinking = 0;
  private probeAt: [number, number] | null = null;
  private pixels: { left: Pixels | null; right: Pixels | null } = { left: null, right: null };
  private data: CompareData | null = null;

  private readonly left = h("img", { alt: "" });
  private readonly right = h("img", { alt: "" });
  private readonly line = h("div", { class: "line" });
  private readonly pin = h("div", { class: "pin", hidden: true });
  private readonly leftTag = h("div", { class: "tag left" });
  private readonly rightTag = h("div", { class: "tag right" });
  private readonly stage = h(
    "div",
    { class: "stage", tabindex: "0", role: "group" },
    this.left,
    this.right,
    this.line,
    this.pin,
    this.leftTag,
    this.rightTag,
  );
  private readonly bar = h("div", { class: "bar" });
  private readonly slider = h("input", { type: "range", min: "0", max: "100", step: "1", class: "position" });
  private readonly probe = h("div", { class: "probe" });
  private readonly spoken = h("div", { class: "unseen", "aria-live": "polite" });
  private readonly buttons = new Map<Mode, HTMLButtonElement>();
  private readonly blink: HTMLButtonElement;
  private readonly observer = new ResizeObserver(() => this.sharpen());

  constructor(root: HTMLElement) {
    root.className = "compare";
    for (const [mode, label, key, paths] of MODES)
      this.buttons.set(
        mode,
        iconButton(label, key, paths, () => this.choose(mode)),
      );
    this.blink = iconButton(
      "Blink: flip automatically",
      "Space flips once",
      '<path d="M5 4v16l14-8Z"/>',
      () => this.toggleBlink(),
    );
    const modes = h(
      "div",
      { class: "group", role: "group", "aria-label": "How to compare" },
      ...this.buttons.values(),
    );
    this.bar.append(modes, h("div", { class: "group" }, this.blink), this.slider);
    root.append(this.bar, this.stage, this.probe, this.spoken);
    this.slider.addEventListener("input", () => this.moveTo(Number(this.slider.value)));
    for (const side of ["left", "right"] as const) {
      this[side].addEventListener("load", () => {
        this.pixels[side] = Pixels.of(this[side]);
        this.sharpen();
        this.showProbe();
      });
    }
    this.listen(root);
    keepKeys(root);
    this.observer.observe(this.stage);
    this.showProbe();
  }

  destroy(): void {
    this.observer.disconnect();
    clearInterval(this.blinking);
  }

  update(data: CompareData): void {
    const first = !this.data || this.data.mode !== data.mode;
    for (const side of ["left", "right"] as const) {
      if (this.data?.[side] === data[side]) continue;
      this.pixels[side] = null;
      this[side].src = data[side];
    }
    this.data = data;
    this.left.alt = data.leftLabel;
    this.right.alt = data.rightLabel;
    this.leftTag.textContent = data.leftLabel;
    this.rightTag.textContent = data.rightLabel;
    this.bar.style.maxWidth = this.stage.style.maxWidth = this.probe.style.maxWidth = `${data.maxWidth}px`;
    this.stage.setAttribute(
      "aria-label",
      `${data.leftLabel} and ${data.rightLabel}. ` +
        "Arrow keys move the line, space flips, W wipe, F flip, O fade.",
    );
    if (first) this.choose(data.mode);
    else this.show();
    this.showProbe();
  }

  private choose(mode: Mode): void {
    this.mode = mode;
    if (mode !== "flip" && this.blinking) this.toggleBlink();
    this.stage.dataset.mode = mode;
    for (const [name, button] of this.buttons) button.setAttribute("aria-pressed", String(name === mode));
    this.show();
  }

  private show(): void {
    const at = this.position[this.mode];
    const { mode } = this;
    this.slider.hidden = mode === "flip";
    this.slider.value = String(at);
    this.slider.setAttribute(
      "aria-label",
      mode === "wipe"
        ? "Position of the line in percent"
        : `Opacity of ${this.data?.rightLabel ?? "the right picture"}`,
    );
    this.blink.parentElement!.hidden = mode !== "flip";
    this.line.hidden = mode !== "wipe";
    this.line.style.left = `${at}%`;
    this.right.style.clipPath = mode === "wipe" ? `inset(0 0 0 ${at}%)` : "";
    this.right.style.opacity =
      mode === "opacity" ? String(at / 100) : mode === "flip" && at === 0 ? "0" : "1";
    this.leftTag.classList.toggle("off", mode === "wipe" ? at < 3 : at > 97);
    this.rightTag.classList.toggle("off", mode === "wipe" ? at > 97 : at < 3);
  }

  private moveTo(percent: number): void {
    this.position[this.mode] = Math.min(Math.max(percent, 0), 100);
    this.show();
  }

  private flip(): void {
    if (this.mode !== "flip") this.choose("flip");
    this.moveTo(this.position.flip ? 0 : 100);
    if (!this.blinking)
      this.spoken.textContent = this.position.flip ? this.data!.rightLabel : this.data!.leftLabel;
  }

  private toggleBlink(): void {
    clearInterval(this.blinking);
    this.blinking = this.blinking ? 0 : window.setInterval(() => this.flip(), BLINK_MS);
    this.blink.setAttribute("aria-pressed", String(this.blinking !== 0));
  }

  private sharpen(): void {
    for (const image of [this.left, this.right])
      image.classList.toggle("enlarged", image.naturalWidth < this.stage.clientWidth);
  }

  private listen(root: HTMLElement): void {
    const { stage } = this;
    const at = (event: PointerEvent): [number, number] => {
      const box = stage.getBoundingClientRect();
      const inside = (value: number) => Math.min(Math.max(value, 0), 0.999999);
      return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (this.mode === "flip") this.flip();
      if (this.mode === "wipe") {
        stage.setPointerCapture(event.pointerId);
        this.moveTo(100 * at(event)[0]);
      }
    });
    stage.addEventListener("pointermove", (event) => {
      if (this.mode === "wipe" && stage.hasPointerCapture(event.pointerId)) this.moveTo(100 * at(event)[0]);
      this.probeAt = at(event);
      this.showProbe();
    });
    stage.addEventListener("pointerleave", () => {
      this.probeAt = null;
      this.showProbe();
    });
    root.addEventListener("keydown", (event) => {
      if (this.key(event)) event.preventDefault();
    });
  }

  private key(event: KeyboardEvent): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const modes: Record<string, Mode> = { w: "wipe", f: "flip", o: "opacity" };
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageDown: -10,
      PageUp: 10,
      Home: -100,
      End: 100,
    };
    if (modes[event.key.toLowerCase()]) this.choose(modes[event.key.toLowerCase()]!);
    else if (event.target !== this.stage) return false;
    else if (event.key === " ") this.flip();
    else if (steps[event.key] && this.mode !== "flip")
      this.moveTo(this.position[this.mode] + steps[event.key]! * (event.shiftKey ? 10 : 1));
    else return false;
    return true;
  }

  private showProbe(): void {
    const { left, right } = this.pixels;
    const { data, probeAt } = this;
    this.pin.hidden = !probeAt;
    if (!data || !probeAt || !left || !right) {
      this.probe.replaceChildren(
        h("span", { class: "hint" }, "Point at a pixel to read its value in both pictures."),
      );
      return;
    }
    this.pin.style.left = `${100 * probeAt[0]}%`;
    this.pin.style.top = `${100 * probeAt[1]}%`;
    const [low, high] = data.range;
    const valueOf = (level: number) => low + (level / 255) * (high - low);
    const row = (name: string, values: number[]) => [
      h("span", {}, name),
      ...values.map((value) => h("b", {}, value.toFixed(data.digits))),
    ];
    const [a, b] = [left.at(...probeAt).map(valueOf), right.at(...probeAt).map(valueOf)];
    const place = `x ${Math.floor(probeAt[0] * left.width)}, y ${Math.floor(probeAt[1] * left.height)}`;
    this.probe.replaceChildren(
      ...[place, "R", "G", "B"].map((word) => h("span", { class: "head" }, word)),
      ...row(data.leftLabel, a),
      ...row(data.rightLabel, b),
      ...row(
        "Difference",
        b.map((value, i) => value - a[i]!),
      ),
    );
  }
}

export const compare = {
  css: toolbarCss + css,
  create: (root: HTMLElement): Instance<CompareData> => new Compare(root),
};

export default mounted(compare);
