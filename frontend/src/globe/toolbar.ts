// The globe's buttons.
import { h, iconButton } from "../dom";
import type { Keys } from "../keys";

export type Tool = "move" | "lasso" | "box";
export type Action = "undo" | "clear" | "view" | "draw" | "home" | "full screen";

const TOOLS: [Tool, string, string, string][] = [
  [
    "move",
    "Move and click",
    "M",
    '<path d="M12 2v20M2 12h20M12 2 9 5M12 2l3 3M12 22l-3-3M12 22l3-3M2 12l3-3M2 12l3 3M22 12l-3-3' +
      'M22 12l-3 3"/>',
  ],
  [
    "lasso",
    "Lasso",
    "L",
    '<path d="M7 17c-3-1-4-3-4-5 0-4 4-7 9-7s9 3 9 7-4 7-9 7c-1 0-2 0-3-.3"/>' +
      '<circle cx="7" cy="18" r="2"/><path d="M7 20c0 1-.5 2-2 3"/>',
  ],
  ["box", "Box", "B", '<rect x="3" y="5" width="18" height="14" stroke-dasharray="4 3"/>'],
];
const ACTIONS: [Action, string, string, string][] = [
  ["undo", "Undo selection", "Ctrl+Z", '<path d="M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3"/>'],
  ["clear", "Clear selection", "Del", '<path d="M6 6l12 12M18 6 6 18"/>'],
  [
    "view",
    "Globe or flat map",
    "G",
    '<circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c3 3 4 6 4 9s-1 6-4 9c-3-3-4-6-4-9s1-6 4-9Z"/>',
  ],
  [
    "draw",
    "Points, cells, or automatic by zoom",
    "D",
    '<rect x="4" y="4" width="7" height="7"/><rect x="13" y="4" width="7" height="7"/>' +
      '<circle cx="7" cy="17" r="2"/><circle cx="16" cy="17" r="2"/>',
  ],
  ["home", "Show everything", "H", '<path d="m3 11 9-8 9 8M5 10v10h14V10"/>'],
  ["full screen", "Full screen", "F", '<path d="M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5"/>'],
];

/** Every key of the maps, with what it does. */
export const KEYS: Keys = [
  ...TOOLS.map(([, label, key]): Keys[number] => [key, label]),
  ...ACTIONS.map(([, label, key]): Keys[number] => [key, label]),
  ["Arrow keys", "Turn or move the map that was clicked last"],
  ["+  −", "Zoom that map"],
  ["Esc", "Stop drawing; back to moving"],
  ["?", "This list"],
];

export class Toolbar {
  readonly node: HTMLElement;
  private readonly tools = new Map<Tool, HTMLButtonElement>();
  private readonly actions = new Map<Action, HTMLButtonElement>();
  private readonly drawWord = h("span", { class: "word" });
  private readonly viewWord = h("span", { class: "word" });

  private readonly opacity = h("input", {
    type: "range",
    min: 0,
    max: 100,
    step: 5,
    title: "Opacity of the colours over the Blue Marble",
    "aria-label": "Opacity of the colours over the Blue Marble",
  });

  constructor(
    choose: (tool: Tool) => void,
    act: (action: Action) => void,
    blend: (opacity: number) => void,
    keys: HTMLElement,
  ) {
    this.opacity.addEventListener("input", () => blend(this.opacity.valueAsNumber / 100));
    for (const [tool, label, key, paths] of TOOLS)
      this.tools.set(
        tool,
        iconButton(label, key, paths, () => choose(tool)),
      );
    for (const [action, label, key, paths] of ACTIONS)
      this.actions.set(
        action,
        iconButton(label, key, paths, () => act(action)),
      );
    this.actions.get("draw")!.append(this.drawWord);
    this.actions.get("view")!.append(this.viewWord);
    const group = (label: string, ...nodes: HTMLElement[]) =>
      h("div", { class: "group", role: "group", "aria-label": label }, ...nodes);
    const pick = (...names: Action[]) => names.map((name) => this.actions.get(name)!);
    this.node = h(
      "div",
      { class: "bar", role: "toolbar", "aria-label": "Map tools" },
      group("Tool", ...this.tools.values()),
      group("Selection", ...pick("undo", "clear")),
      group("View", ...pick("view", "draw", "home", "full screen")),
      group("Help", keys),
      h("label", { class: "blend" }, h("span", {}, "Opacity"), this.opacity),
    );
  }

  show(state: {
    tool: Tool;
    canUndo: boolean;
    hasSelection: boolean;
    view: string;
    draw: string;
    opacity: number;
  }): void {
    this.opacity.value = String(Math.round(100 * state.opacity));
    for (const [name, button] of this.tools) button.setAttribute("aria-pressed", String(name === state.tool));
    this.actions.get("undo")!.disabled = !state.canUndo;
    this.actions.get("clear")!.disabled = !state.hasSelection;
    this.viewWord.textContent = state.view === "globe" ? "Globe" : "Flat";
    this.drawWord.textContent = { auto: "Auto", points: "Points", cells: "Cells" }[state.draw] ?? "";
  }
}
