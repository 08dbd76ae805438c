// One instance per parent element: Streamlit calls a component's default export again for new data.
import type { FrontendRendererArgs, FrontendState } from "@streamlit/component-v2-lib";

export interface Instance<Data> {
  update(data: Data): void;
  destroy(): void;
}

export type Send = (name: string, value: unknown) => void;

/** A component: its style, and how one is created in an empty element. */
export interface Component<Data> {
  css: string;
  create(root: HTMLElement, send: Send): Instance<Data>;
}

interface Mounted<Data> {
  instance: Instance<Data>;
  send: Send;
}

export function mounted<Data>({ css, create }: Component<Data>) {
  const mounts = new Map<HTMLElement | ShadowRoot, Mounted<Data>>();

  // Streamlit 1.67 also runs a cleanup when new data arrives during a call, while the element is still in
  // use; strokes were lost. Therefore a cleanup destroys only instances whose parent has left the document.
  const cleanUp = () => {
    for (const [parent, { instance }] of mounts) {
      if (parent.isConnected) continue;
      mounts.delete(parent);
      instance.destroy();
    }
  };

  return ({ data, parentElement, setStateValue }: FrontendRendererArgs<FrontendState, Data>) => {
    cleanUp();
    let mount = mounts.get(parentElement);
    if (!mount) {
      const style = document.createElement("style");
      style.textContent = css;
      const root = document.createElement("div");
      parentElement.append(style, root);
      const created = {} as Mounted<Data>;
      created.instance = create(root, (name, value) => created.send(name, value));
      mounts.set(parentElement, (mount = created));
    }
    mount.send = setStateValue as Send;
    mount.instance.update(data);
    return () => void setTimeout(cleanUp);
  };
}
