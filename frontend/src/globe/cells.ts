// Density cells for distant views: points counted in cells of about equal size on screen.
import type { Paint } from "./colours";

const CELL_PX = 7;
const MOST_CELLS = 200_000;
const FEWEST_POINTS = 4000;
const COVERED = 0.6;
const NOWHERE = 0xffffffff;
const EDGE = 1e-6; // degrees: a point on the edge of the map counts in the cell inside it
const SLOTS = 2 ** 19; // of the hash table: more than twice the cells

/**
 * Cells in the form that deck.gl draws without conversion: corners, triangles, and a colour for each corner.
 */
export interface Cells {
  length: number;
  startIndices: Uint32Array;
  attributes: {
    getPolygon: { value: Float32Array; size: 2 };
    indices: { value: Uint32Array; size: 1 };
    getFillColor: { value: Uint8ClampedArray; size: 4 };
  };
}

/** The cell size for a scale: a power of two, so that it changes rarely while zooming. */
export function cellSize(unitsPerPixel: number): number {
  return 2 ** Math.ceil(Math.log2(CELL_PX * unitsPerPixel));
}

/**
 * The cells of one size: computed once; new colours or selections leave their corners on the graphics card.
 */
export class Tally {
  private readonly cellOf: Uint32Array;
  private readonly counts = new Uint32Array(MOST_CELLS);
  private readonly points: number = 0;
  private readonly fixed: {
    startIndices: Uint32Array;
    getPolygon: { value: Float32Array; size: 2 };
    indices: { value: Uint32Array; size: 1 };
  };
  private cells = 0;
  private mean: { paint: Paint; rgb: Float32Array } | null = null;

  private constructor(
    pairs: Float32Array,
    private readonly size: number,
    isDegrees: boolean,
  ) {
    const rows = new Int32Array(MOST_CELLS);
    const cols = new Int32Array(MOST_CELLS);
    const slots = new Int32Array(SLOTS).fill(-1);
    this.cellOf = new Uint32Array(pairs.length / 2).fill(NOWHERE);
    for (let i = 0; i < this.cellOf.length; i++) {
      const [a, b] = [pairs[2 * i]!, pairs[2 * i + 1]!];
      if (!Number.isFinite(a + b)) continue;
      const row = Math.floor((isDegrees ? Math.min(b, 90 - EDGE) : b) / size);
      const col = Math.floor(
        (isDegrees ? Math.min(a, 180 - EDGE) : a) / (isDegrees ? rowWidth(row, size) : size),
      );
      let slot = (Math.imul(row, 73_856_093) ^ Math.imul(col, 19_349_663)) & (SLOTS - 1);
      let cell = slots[slot]!;
      while (cell >= 0 && (rows[cell] !== row || cols[cell] !== col))
        cell = slots[(slot = (slot + 1) & (SLOTS - 1))]!;
      if (cell < 0) {
        cell = this.cells++;
        if (cell === MOST_CELLS) break;
        slots[slot] = cell;
        rows[cell] = row;
        cols[cell] = col;
      }
      this.cellOf[i] = cell;
      this.counts[cell]!++;
      this.points++;
    }
    this.fixed = corners(rows, cols, this.cells > MOST_CELLS ? 0 : this.cells, size, isDegrees);
  }

  /**
   * Cells of `size`, or larger ones if there are too many; on the globe (`isDegrees`) of equal width up to
   * the poles.
   */
  static of(pairs: Float32Array, size: number, isDegrees: boolean): Tally {
    const tally = new Tally(pairs, size, isDegrees);
    return tally.cells > MOST_CELLS ? Tally.of(pairs, 2 * size, isDegrees) : tally;
  }

  /** Whether discs of `radiusPx` would cover most of the area that has points. */
  isCrowded(unitsPerPixel: number, radiusPx: number): boolean {
    const cellPx = this.size / unitsPerPixel;
    const covered = (this.points * Math.PI * radiusPx ** 2) / (this.cells * cellPx ** 2);
    return this.size === cellSize(unitsPerPixel) && this.points > FEWEST_POINTS && covered > COVERED;
  }

  coloured(paint: Paint, selected: Uint8Array | null): Cells {
    if (this.mean?.paint !== paint) this.mean = { paint, rgb: this.meanColours(paint) };
    const { rgb } = this.mean;
    const chosen = new Uint32Array(this.cells);
    if (selected)
      for (let i = 0; i < selected.length; i++)
        if (selected[i] && this.cellOf[i] !== NOWHERE) chosen[this.cellOf[i]!]!++;
    let fullest = 1;
    for (let cell = 0; cell < this.cells; cell++) fullest = Math.max(fullest, this.counts[cell]!);
    const value = new Uint8ClampedArray(16 * this.cells);
    for (let cell = 0; cell < this.cells; cell++) {
      const share = selected ? chosen[cell]! / this.counts[cell]! : 1;
      const density = Math.log1p(this.counts[cell]!) / Math.log1p(fullest);
      const alpha = (70 + 175 * density) * (share > 0 ? 0.45 + 0.55 * share : 0.16);
      for (let at = 16 * cell; at < 16 * cell + 16; at += 4) {
        for (let c = 0; c < 3; c++) value[at + c] = rgb[3 * cell + c]!;
        value[at + 3] = alpha;
      }
    }
    const { startIndices, getPolygon, indices } = this.fixed;
    return {
      length: this.cells,
      startIndices,
      attributes: { getPolygon, indices, getFillColor: { value, size: 4 } },
    };
  }

  /** The colour of each cell: that of its most frequent class, or the mean. */
  private meanColours(paint: Paint): Float32Array {
    const rgb = new Float32Array(3 * this.cells);
    const { rgb: isRgb, values } = paint.colours;
    const kinds = paint.classes;
    const votes = new Uint32Array(kinds * this.cells);
    for (let i = 0; i < this.cellOf.length; i++) {
      const cell = this.cellOf[i]!;
      if (cell === NOWHERE) continue;
      if (kinds) votes[kinds * cell + Math.min(values[i]!, kinds - 1)]!++;
      else {
        const share = 1 / this.counts[cell]!;
        const table = isRgb ? null : paint.at(values[i]!);
        for (let c = 0; c < 3; c++) rgb[3 * cell + c]! += share * (table ? table[c]! : values[3 * i + c]!);
      }
    }
    for (let cell = 0; kinds && cell < this.cells; cell++) {
      let best = 0;
      for (let kind = 1; kind < kinds; kind++)
        if (votes[kinds * cell + kind]! > votes[kinds * cell + best]!) best = kind;
      rgb.set(paint.at(best), 3 * cell);
    }
    return rgb;
  }
}

function corners(rows: Int32Array, cols: Int32Array, count: number, size: number, isDegrees: boolean) {
  const value = new Float32Array(8 * count);
  const triangles = new Uint32Array(6 * count);
  const startIndices = new Uint32Array(count + 1);
  for (let cell = 0; cell < count; cell++) {
    const width = isDegrees ? rowWidth(rows[cell]!, size) : size;
    const [w, s] = [cols[cell]! * width, rows[cell]! * size];
    const [west, south, east, north] = isDegrees
      ? onTheMap(w, s, w + width, s + size)
      : [w, s, w + width, s + size];
    value.set([west, south, east, south, east, north, west, north], 8 * cell);
    const first = 4 * cell;
    triangles.set([first, first + 1, first + 2, first, first + 2, first + 3], 6 * cell);
    startIndices[cell + 1] = first + 4;
  }
  return {
    startIndices,
    getPolygon: { value, size: 2 as const },
    indices: { value: triangles, size: 1 as const },
  };
}

/** A cell cut off at the poles and the antimeridian, where the flat map ends. */
function onTheMap(
  west: number,
  south: number,
  east: number,
  north: number,
): [number, number, number, number] {
  return [Math.max(west, -180), Math.max(south, -90), Math.min(east, 180), Math.min(north, 90)];
}

function rowWidth(row: number, size: number): number {
  const latitude = Math.min(Math.abs((row + 0.5) * size), 89.9);
  return 360 / Math.max(3, Math.round((360 * Math.cos((latitude * Math.PI) / 180)) / size));
}
