// For browsers without WebGL 2: pictures drawn by Python, and clicks on them.
import { h } from "../dom";
import type { Side, Still } from "./data";

const EARTH: Still["bounds"] = [-180, -90, 180, 90];

export class StillScene {
  readonly node = h("div", { class: "stills" });

  constructor(private readonly clicked: (side: Side, place: [number, number]) => void) {}

  show(still: Still, label: string): void {
    const pictures = [
      this.picture("globe", still.globe, EARTH, `${label} on the Earth`),
      this.picture("plane", still.plane, still.bounds, `${label}, projected`),
    ];
    this.node.replaceChildren(...pictures.filter((picture) => picture !== null));
  }

  private picture(
    side: Side,
    url: string | null,
    [left, bottom, right, top]: Still["bounds"],
    alt: string,
  ): HTMLElement | null {
    if (!url) return null;
    const image = h("img", { src: url, alt, draggable: "false" });
    image.addEventListener("click", (event) => {
      const box = image.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      this.clicked(side, [left + x * (right - left), top - y * (top - bottom)]);
    });
    return image;
  }
}
