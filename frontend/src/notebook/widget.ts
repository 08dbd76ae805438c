// The components as anywidgets: `data` and the events are traits of the Python widget (core/notebook), and
// `files` names its traits of bytes. A shadow root keeps the styles of the notebook and of the component apart.
import type { Component } from "../mount";

interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, call: () => void): void;
  off(event: string, call: () => void): void;
}

const LIGHT = ["#14232b", "#ffffff", "#eef3f3", "#d5dfe0", "#0f766e"];
const DARK = ["#e4edef", "#0d171c", "#16242b", "#33454e", "#2dd4bf"];
const COLOURS = ["text", "background", "secondary-background", "border", "primary"];

export function widget<Data>({ css, create }: Component<Data>, receive: (model: Model) => void = () => {}) {
  return {
    render({ model, el }: { model: Model; el: HTMLElement }) {
      el.dataset.lmSuppressShortcuts = "true"; // JupyterLab would insert a cell for the key B
      const style = document.createElement("style");
      style.textContent = css;
      const root = document.createElement("div");
      const holder = document.createElement("div");
      holder.attachShadow({ mode: "open" }).append(style, root);
      el.append(holder);
      paint(holder, isDark(el) ? DARK : LIGHT);
      const instance = create(root, (name, value) => {
        model.set(name, value);
        model.save_changes();
      });
      const show = () => {
        receive(model);
        instance.update(model.get("data") as Data);
      };
      const changed = () => queueMicrotask(show); // marimo sets one trait after another
      model.on("change:data", changed);
      show();
      return () => {
        model.off("change:data", changed);
        instance.destroy();
      };
    },
  };
}

function paint(holder: HTMLElement, colours: string[]): void {
  holder.style.colorScheme = colours === DARK ? "dark" : "light";
  COLOURS.forEach((name, i) => holder.style.setProperty(`--st-${name}-color`, colours[i]!));
}

/** Whether the notebook is dark: the first background that is not transparent, from the cell outwards. */
function isDark(element: Element | null): boolean {
  for (let at = element; at; at = at.parentElement) {
    const [red, green, blue, alpha] = (getComputedStyle(at).backgroundColor.match(/[\d.]+/g) ?? []).map(
      Number,
    );
    if (blue === undefined || alpha === 0) continue;
    return 0.299 * red! + 0.587 * green! + 0.114 * blue < 128;
  }
  return false;
}
