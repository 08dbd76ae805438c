// The cells of a patch grid that a brush, line, rectangle or lasso covers.
import { isInside, type Ring } from "../polygon";

export interface Cell {
  row: number;
  col: number;
}

export class Grid {
  constructor(
    readonly rows: number,
    readonly cols: number,
  ) {}

  get size(): number {
    return this.rows * this.cols;
  }

  index({ row, col }: Cell): number {
    return row * this.cols + col;
  }

  /** The cell under a point in fractions of the picture, clamped to the grid. */
  cellAt(x: number, y: number): Cell {
    const clamp = (value: number, top: number) => Math.min(Math.max(Math.floor(value), 0), top - 1);
    return { row: clamp(y * this.rows, this.rows), col: clamp(x * this.cols, this.cols) };
  }

  brush(centre: Cell, width: number): number[] {
    const before = (width - 1) >> 1;
    const from = { row: centre.row - before, col: centre.col - before };
    return this.block(from, { row: from.row + width - 1, col: from.col + width - 1 });
  }

  block(a: Cell, b: Cell): number[] {
    const found: number[] = [];
    const [top, bottom] = [
      Math.max(Math.min(a.row, b.row), 0),
      Math.min(Math.max(a.row, b.row), this.rows - 1),
    ];
    const [left, right] = [
      Math.max(Math.min(a.col, b.col), 0),
      Math.min(Math.max(a.col, b.col), this.cols - 1),
    ];
    for (let row = top; row <= bottom; row++)
      for (let col = left; col <= right; col++) found.push(row * this.cols + col);
    return found;
  }

  /** Cells on the line from a to b (Bresenham), so that a fast stroke leaves no gap. */
  line(a: Cell, b: Cell): Cell[] {
    const [dc, dr] = [Math.abs(b.col - a.col), -Math.abs(b.row - a.row)];
    const [sc, sr] = [Math.sign(b.col - a.col), Math.sign(b.row - a.row)];
    const cells: Cell[] = [];
    let { row, col } = a;
    for (let error = dc + dr; ;) {
      cells.push({ row, col });
      if (row === b.row && col === b.col) return cells;
      const twice = 2 * error;
      if (twice >= dr) {
        error += dr;
        col += sc;
      }
      if (twice <= dc) {
        error += dc;
        row += sr;
      }
    }
  }

  /** Cells whose centre is inside a polygon in fractions of the picture. */
  lasso(ring: Ring): number[] {
    const found: number[] = [];
    if (ring.length < 3) return found;
    for (let row = 0; row < this.rows; row++)
      for (let col = 0; col < this.cols; col++)
        if (isInside(ring, (col + 0.5) / this.cols, (row + 0.5) / this.rows))
          found.push(row * this.cols + col);
    return found;
  }
}
