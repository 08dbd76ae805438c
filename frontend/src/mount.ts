// One living instance per place on the page: Streamlit calls a component's default export again for new data.
import type { FrontendRendererArgs, FrontendState } from "@streamlit/component-v2-lib";

export interface Instance<Data> {
  update(data: Data): void;
  destroy(): void;
}

export type Send = (name: string, value: unknown) => void;

interface Held<Data> {
  instance: Instance<Data>;
  send: Send;
}

export function mounted<Data>(css: string, create: (root: HTMLElement, send: Send) => Instance<Data>) {
  const living = new Map<HTMLElement | ShadowRoot, Held<Data>>();

  // Streamlit also runs a cleanup when new data overtakes a call still under way, with the place alive and in use (seen in 1.67:
  // strokes were lost). So a cleanup only asks for this look round: what has left the document is destroyed, the rest lives on.
  const sweep = () => {
    for (const [place, { instance }] of living) {
      if (place.isConnected) continue;
      living.delete(place);
      instance.destroy();
    }
  };

  return ({ data, parentElement, setStateValue }: FrontendRendererArgs<FrontendState, Data>) => {
    sweep();
    let held = living.get(parentElement);
    if (!held) {
      const style = document.createElement("style");
      style.textContent = css;
      const root = document.createElement("div");
      parentElement.append(style, root);
      const link = {} as Held<Data>;
      link.instance = create(root, (name, value) => link.send(name, value));
      living.set(parentElement, (held = link));
    }
    held.send = setStateValue as Send;
    held.instance.update(data);
    return () => void setTimeout(sweep);
  };
}
