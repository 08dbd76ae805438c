// The painter's buttons.
import { h, iconButton } from "../dom";

export type Tool = "brush" | "eraser" | "rectangle" | "lasso" | "pick";
export type Action = "undo" | "redo" | "invert" | "clear" | "hide all" | "peek" | "smaller" | "larger";

interface Shown {
  tool: Tool;
  size: number;
  peek: boolean;
  canUndo: boolean;
  canRedo: boolean;
}

const TOOLS: [Tool, string, string, string][] = [
  ["brush", "Brush", "B", '<path d="M9.5 14.5 20 4M4 20c3 0 6-1 6-4a2.5 2.5 0 0 0-5 0c0 1.500-.5 3-1 4Z"/>'],
  [
    "eraser",
    "Eraser",
    "E",
    '<path d="m7 21-4-4a2 2 0 0 1 0-3L13 4a2 2 0 0 1 3 0l5 5a2 2 0 0 1 0 3l-9 9H7ZM22 21H7M8 9l8 8"/>',
  ],
  ["rectangle", "Rectangle", "R", '<rect x="3" y="5" width="18" height="14" stroke-dasharray="4 3"/>'],
  [
    "lasso",
    "Lasso",
    "L",
    '<path d="M7 17c-3-1-4-3-4-5 0-4 4-7 9-7s9 3 9 7-4 7-9 7c-1 0-2 0-3-.3"/>' +
      '<circle cx="7" cy="18" r="2"/><path d="M7 20c0 1-.5 2-2 3"/>',
  ],
  [
    "pick",
    "Pick a patch to find similar ones",
    "P",
    '<path d="m13 7 4 4M3 21l1-4L15 6l3 3L7 20l-4 1ZM15 6l2-2a2 2 0 0 1 3 0 2 2 0 0 1 0 3l-2 2"/>',
  ],
];

const ACTIONS: [Action, string, string, string][] = [
  ["undo", "Undo", "Ctrl+Z", '<path d="M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3"/>'],
  ["redo", "Redo", "Ctrl+Shift+Z", '<path d="m15 14 5-5-5-5M20 9H10a6 6 0 0 0 0 12h3"/>'],
  [
    "invert",
    "Invert mask",
    "I",
    '<circle cx="12" cy="12" r="9"/><path d="M12 3v18a9 9 0 0 1 0-18Z" fill="currentColor"/>',
  ],
  ["clear", "Show all patches", "Del", '<rect x="4" y="4" width="16" height="16" rx="1"/>'],
  [
    "hide all",
    "Hide all patches",
    "",
    '<rect x="4" y="4" width="16" height="16" rx="1" fill="currentColor"/>',
  ],
  [
    "peek",
    "See through hidden patches",
    "V",
    '<path d="M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12Z"/><circle cx="12" cy="12" r="3"/>',
  ],
];

export class Toolbar {
  readonly node: HTMLElement;
  private readonly tools = new Map<Tool, HTMLButtonElement>();
  private readonly actions = new Map<Action, HTMLButtonElement>();
  private readonly size = h("output", { "aria-label": "Brush size in patches" }, "1");

  constructor(choose: (tool: Tool) => void, act: (action: Action) => void) {
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
    const smaller = iconButton("Smaller brush", "[", '<path d="M6 12h12"/>', () => act("smaller"));
    const larger = iconButton("Larger brush", "]", '<path d="M6 12h12M12 6v12"/>', () => act("larger"));
    this.actions.set("smaller", smaller).set("larger", larger);
    const group = (label: string, ...nodes: HTMLElement[]) =>
      h("div", { class: "group", role: "group", "aria-label": label }, ...nodes);
    const pick = (...names: Action[]) => names.map((name) => this.actions.get(name)!);
    this.node = h(
      "div",
      { class: "bar", role: "toolbar", "aria-label": "Painting tools" },
      group("Tool", ...this.tools.values()),
      h(
        "div",
        { class: "group size", role: "group", "aria-label": "Brush size" },
        smaller,
        this.size,
        larger,
      ),
      group("History", ...pick("undo", "redo")),
      group("Whole mask", ...pick("invert", "clear", "hide all", "peek")),
    );
  }

  show({ tool, size, peek, canUndo, canRedo }: Shown): void {
    for (const [name, button] of this.tools) button.setAttribute("aria-pressed", String(name === tool));
    this.actions.get("peek")!.setAttribute("aria-pressed", String(peek));
    this.actions.get("undo")!.disabled = !canUndo;
    this.actions.get("redo")!.disabled = !canRedo;
    this.actions.get("smaller")!.disabled = size <= 1;
    this.actions.get("larger")!.disabled = size >= 5;
    this.size.textContent = String(size);
  }
}
