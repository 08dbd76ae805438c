// Density cells for far views: points counted in cells of about equal size on screen.
import type { Paint, Rgb } from "./colours";

const CELL_PX = 7;
const MOST_CELLS = 30_000;
const FEWEST_POINTS = 4000;
const CROWDED = 6;

export interface Cell {
  polygon: [number, number][];
  colour: [number, number, number, number];
}

export interface Grid {
  cells: Cell[];
  /** Points to a cell on average: many means that points would cover each other. 0 where the cells had to be larger than asked. */
  crowding: number;
}

interface Bin {
  a: number;
  b: number;
  width: number;
  count: number;
  selected: number;
  votes: Map<number, number>;
  sum: Rgb;
}

/** The cell size for a scale: a power of two times the base, so that it changes rarely while zooming. */
export function cellSize(unitsPerPixel: number): number {
  return 2 ** Math.ceil(Math.log2(CELL_PX * unitsPerPixel));
}

export function isCrowded(grid: Grid, count: number): boolean {
  return count > FEWEST_POINTS && grid.crowding > CROWDED;
}

/**
 * Count points in cells of `size`; on the globe (`isDegrees`) a row nearer to a pole holds fewer, equally wide cells. Where the cells
 * would be too many to draw, larger ones are taken.
 */
export function countCells(pairs: Float32Array, size: number, isDegrees: boolean, paint: Paint, selected: Uint8Array | null): Grid {
  const bins = new Map<number, Bin>();
  let total = 0;
  for (let i = 0; i < pairs.length / 2; i++) {
    const [a, b] = [pairs[2 * i]!, pairs[2 * i + 1]!];
    if (!Number.isFinite(a + b)) continue;
    const row = Math.floor(b / size);
    const width = isDegrees ? rowWidth(row, size) : size;
    const col = Math.floor(a / width);
    const key = row * 4_194_304 + col;
    let bin = bins.get(key);
    if (!bin && bins.size === MOST_CELLS) return { ...countCells(pairs, 2 * size, isDegrees, paint, selected), crowding: 0 };
    if (!bin) bins.set(key, (bin = { a: col * width, b: row * size, width, count: 0, selected: 0, votes: new Map(), sum: [0, 0, 0] }));
    total++;
    bin.count++;
    if (!selected || selected[i]) bin.selected++;
    if (paint.isClasses) {
      const vote = paint.colours.values[i]!;
      bin.votes.set(vote, (bin.votes.get(vote) ?? 0) + 1);
    } else {
      const colour = paint.of(i);
      for (let c = 0; c < 3; c++) bin.sum[c]! += colour[c]!;
    }
  }
  let fullest = 1;
  for (const { count } of bins.values()) fullest = Math.max(fullest, count);
  return { cells: Array.from(bins.values(), (bin) => toCell(bin, size, fullest, paint)), crowding: bins.size ? total / bins.size : 0 };
}

function rowWidth(row: number, size: number): number {
  const latitude = Math.min(Math.abs((row + 0.5) * size), 89.9);
  return 360 / Math.max(3, Math.round((360 * Math.cos((latitude * Math.PI) / 180)) / size));
}

function toCell(bin: Bin, size: number, fullest: number, paint: Paint): Cell {
  const colour = paint.isClasses ? paint.at(commonest(bin.votes)) : (bin.sum.map((value) => value / bin.count) as Rgb);
  const density = Math.log1p(bin.count) / Math.log1p(fullest);
  const share = bin.selected / bin.count;
  const [west, east] = [bin.a, bin.a + bin.width];
  const [south, north] = [bin.b, bin.b + size];
  return {
    polygon: [[west, south], [east, south], [east, north], [west, north]],
    colour: [...colour, Math.round((70 + 175 * density) * (share > 0 ? 0.45 + 0.55 * share : 0.16))],
  };
}

function commonest(votes: Map<number, number>): number {
  let [best, most] = [0, -1];
  for (const [vote, count] of votes) if (count > most) [best, most] = [vote, count];
  return best;
}
