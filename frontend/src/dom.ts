// Helpers that build the elements of the toolbars.

type Attributes = Record<string, string | number | boolean | ((event: never) => void)>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value as unknown as EventListener);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false) node.setAttribute(name, String(value));
  }
  node.append(...children);
  return node;
}

export function icon(paths: string): SVGSVGElement {
  const holder = document.createElement("template");
  holder.innerHTML = `<svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor"
    stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${paths}</svg>`;
  return holder.content.firstElementChild as SVGSVGElement;
}

export function iconButton(
  label: string,
  shortcut: string,
  paths: string,
  onClick: () => void,
): HTMLButtonElement {
  const title = shortcut ? `${label} (${shortcut})` : label;
  return h(
    "button",
    { type: "button", class: "tool", title, "aria-label": label, click: onClick },
    icon(paths),
  );
}

/** Keep key presses from Streamlit's own shortcuts (R reruns the page, C clears the cache). */
export function keepKeys(root: HTMLElement): void {
  for (const kind of ["keydown", "keypress", "keyup"] as const)
    root.addEventListener(kind, (event) => event.stopPropagation());
}
