// Density cells for far views: points counted in cells of about equal size on screen.
import type { Paint, Rgb } from "./colours";

const CELL_PX = 7;
const MOST_CELLS = 30_000;
const FEWEST_POINTS = 4000;
const CROWDED = 6;
const NOWHERE = 0xffffffff;

export interface Cell {
  polygon: [number, number][];
  colour: [number, number, number, number];
}

interface Bin {
  a: number;
  b: number;
  width: number;
  count: number;
  votes: Map<number, number>;
  sum: Rgb;
}

/** The cell size for a scale: a power of two, so that it changes rarely while zooming. */
export function cellSize(unitsPerPixel: number): number {
  return 2 ** Math.ceil(Math.log2(CELL_PX * unitsPerPixel));
}

/** The cells of one size, counted once; a new selection then only counts again who is selected. */
export class Tally {
  private readonly bins: Bin[] = [];
  private readonly binOf: Uint32Array;
  private readonly fullest: number;

  private constructor(pairs: Float32Array, private readonly size: number, isDegrees: boolean, private readonly paint: Paint) {
    const numbers = new Map<number, number>();
    this.binOf = new Uint32Array(pairs.length / 2).fill(NOWHERE);
    for (let i = 0; i < this.binOf.length; i++) {
      const [a, b] = [pairs[2 * i]!, pairs[2 * i + 1]!];
      if (!Number.isFinite(a + b)) continue;
      const row = Math.floor(b / size);
      const width = isDegrees ? rowWidth(row, size) : size;
      const col = Math.floor(a / width);
      const key = row * 4_194_304 + col;
      let number = numbers.get(key);
      if (number === undefined) {
        number = this.bins.length;
        if (number > MOST_CELLS) break;
        numbers.set(key, number);
        this.bins.push({ a: col * width, b: row * size, width, count: 0, votes: new Map(), sum: [0, 0, 0] });
      }
      this.binOf[i] = number;
      this.add(this.bins[number]!, i);
    }
    this.fullest = this.bins.reduce((most, bin) => Math.max(most, bin.count), 1);
  }

  /** Cells of `size`, or larger ones where those would be too many to draw; on the globe (`isDegrees`) equally wide towards the poles. */
  static of(pairs: Float32Array, size: number, isDegrees: boolean, paint: Paint): Tally {
    const tally = new Tally(pairs, size, isDegrees, paint);
    return tally.bins.length > MOST_CELLS ? Tally.of(pairs, 2 * size, isDegrees, paint) : tally;
  }

  /** Whether points would cover each other: many to a cell on average. */
  isCrowded(wantedSize: number): boolean {
    const points = this.bins.reduce((sum, bin) => sum + bin.count, 0);
    return this.size === wantedSize && points > FEWEST_POINTS && points > CROWDED * this.bins.length;
  }

  cells(selected: Uint8Array | null): Cell[] {
    const chosen = new Uint32Array(this.bins.length);
    if (selected) for (let i = 0; i < selected.length; i++) if (selected[i] && this.binOf[i] !== NOWHERE) chosen[this.binOf[i]!]!++;
    return this.bins.map((bin, number) => this.cell(bin, selected ? chosen[number]! / bin.count : 1));
  }

  private add(bin: Bin, i: number): void {
    bin.count++;
    if (this.paint.isClasses) {
      const vote = this.paint.colours.values[i]!;
      bin.votes.set(vote, (bin.votes.get(vote) ?? 0) + 1);
    } else {
      const colour = this.paint.of(i);
      for (let c = 0; c < 3; c++) bin.sum[c]! += colour[c]!;
    }
  }

  private cell(bin: Bin, share: number): Cell {
    const colour = this.paint.isClasses ? this.paint.at(commonest(bin.votes)) : (bin.sum.map((value) => value / bin.count) as Rgb);
    const density = Math.log1p(bin.count) / Math.log1p(this.fullest);
    const [west, east, south, north] = [bin.a, bin.a + bin.width, bin.b, bin.b + this.size];
    return {
      polygon: [[west, south], [east, south], [east, north], [west, north]],
      colour: [...colour, Math.round((70 + 175 * density) * (share > 0 ? 0.45 + 0.55 * share : 0.16))],
    };
  }
}

function rowWidth(row: number, size: number): number {
  const latitude = Math.min(Math.abs((row + 0.5) * size), 89.9);
  return 360 / Math.max(3, Math.round((360 * Math.cos((latitude * Math.PI) / 180)) / size));
}

function commonest(votes: Map<number, number>): number {
  let [best, most] = [0, -1];
  for (const [vote, count] of votes) if (count > most) [best, most] = [vote, count];
  return best;
}
