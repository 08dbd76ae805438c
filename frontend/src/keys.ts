// The list of keyboard shortcuts that "?" opens, and the button that opens it, too.
import { h, iconButton } from "./dom";
import css from "./keys.css?inline";

export type Keys = [key: string, action: string][];
export const keysCss = css;

export class KeyList {
  readonly button = iconButton(
    "Keyboard shortcuts",
    "?",
    '<rect x="2" y="6" width="20" height="12" rx="2"/><path d="M6 10h.01M10 10h.01M14 10h.01M18 10h.01M8 14h8"/>',
    () => this.show(),
  );
  private readonly list = h("dl");
  readonly dialog = h(
    "dialog",
    { "aria-label": "Keyboard shortcuts" },
    h("h2", {}, "Keyboard shortcuts"),
    this.list,
    h("button", { type: "button", class: "tool", click: () => this.dialog.close() }, "Close"),
  );

  constructor(
    private readonly keys: () => Keys,
    signal: AbortSignal,
  ) {
    // in the capture phase, because the other components keep their keys to themselves
    document.addEventListener("keydown", (event) => this.asked(event), { signal, capture: true });
  }

  private asked(event: KeyboardEvent): void {
    if (event.key !== "?" || isTyping(event)) return;
    event.preventDefault();
    if (this.dialog.open) this.dialog.close();
    else this.show();
  }

  private show(): void {
    this.list.replaceChildren(
      ...this.keys().flatMap(([key, action]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, action)]),
    );
    this.dialog.showModal();
  }
}

/** Whether the key goes into a text field: shortcuts of single letters must not act then. */
export function isTyping(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) return false;
  const field = target instanceof HTMLInputElement && !["range", "checkbox", "radio"].includes(target.type);
  return field || target instanceof HTMLTextAreaElement || target.isContentEditable;
}
