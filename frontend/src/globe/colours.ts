// One RGBA value per point: its colour, faded if it is not selected.
import type { Colours } from "./data";

const FADED_ALPHA = 38;
const MOST_CLASSES = 32;
export const FULL_ALPHA = 235;

export type Rgb = [number, number, number];

export function parseHex(text: string): Rgb {
  const value = Number.parseInt(text.replace("#", ""), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

export class Paint {
  private readonly table: Rgb[];

  constructor(
    readonly colours: Colours,
    palette: string[],
  ) {
    this.table = palette.map(parseHex);
  }

  /** The number of classes of the palette; 0 if it is a continuous scale. */
  get classes(): number {
    return !this.colours.rgb && this.table.length <= MOST_CLASSES ? this.table.length : 0;
  }

  of(i: number): Rgb {
    const { rgb, values } = this.colours;
    return rgb ? [values[3 * i]!, values[3 * i + 1]!, values[3 * i + 2]!] : this.at(values[i]!);
  }

  at(position: number): Rgb {
    return this.table[position] ?? this.table[this.table.length - 1]!;
  }

  get count(): number {
    return this.colours.count;
  }

  rgba(
    count: number,
    selected: Uint8Array | null,
    full = FULL_ALPHA,
    faded = FADED_ALPHA,
  ): Uint8ClampedArray<ArrayBuffer> {
    const out = new Uint8ClampedArray(4 * count);
    const { rgb, values } = this.colours;
    for (let i = 0; i < count; i++) {
      if (rgb) {
        out[4 * i] = values[3 * i]!;
        out[4 * i + 1] = values[3 * i + 1]!;
        out[4 * i + 2] = values[3 * i + 2]!;
      } else {
        const colour = this.at(values[i]!);
        out[4 * i] = colour[0];
        out[4 * i + 1] = colour[1];
        out[4 * i + 2] = colour[2];
      }
      out[4 * i + 3] = !selected || selected[i] ? full : faded;
    }
    return out;
  }
}
