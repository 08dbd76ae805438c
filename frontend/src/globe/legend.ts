// The legend of the colours, in the corner of the scene.
import { h } from "../dom";
import type { GlobeData } from "./data";

const MOST_ENTRIES = 40;

export function legendOf(data: GlobeData, open: boolean): HTMLElement | null {
  const { legend, palette } = data;
  if (!legend) return null;
  const body = legend.wheel.length
    ? [
        h("div", {
          class: "wheel",
          role: "img",
          "aria-label": "Disc of the colours",
          style: `background:conic-gradient(${[...legend.wheel, legend.wheel[0]].join(",")})`,
        }),
      ]
    : legend.scale
      ? [
          h("div", {
            class: "ramp",
            style: `background:linear-gradient(90deg,${evenly(palette, 24).join(",")})`,
          }),
          h("div", { class: "ends" }, h("span", {}, legend.scale[0]), h("span", {}, legend.scale[1])),
        ]
      : legend.entries
          .slice(0, MOST_ENTRIES)
          .map(([label, position]) =>
            h(
              "div",
              {},
              h("span", { class: "swatch", style: `background:${palette[position] ?? "#888"}` }),
              label,
            ),
          );
  const more = legend.entries.length - MOST_ENTRIES;
  if (more > 0) body.push(h("div", {}, `and ${more} more`));
  if (legend.note) body.push(h("div", { class: "note" }, legend.note));
  return h("details", { class: "legend", open }, h("summary", {}, legend.title), ...body);
}

function evenly(palette: string[], count: number): string[] {
  if (palette.length <= count) return palette;
  return Array.from(
    { length: count },
    (_, i) => palette[Math.round((i * (palette.length - 1)) / (count - 1))]!,
  );
}
