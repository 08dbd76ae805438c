// The canvas over the picture: draws hidden patches, grid lines, the stroke in progress and the cursor.
import type { Cell, Grid } from "./grid";

export interface Overlay {
  cells: Uint8Array;
  preview: number[];
  lasso: [number, number][];
  cursor: Cell | null;
  peek: boolean;
}

const HATCH_PX = 7;

export class Surface {
  private readonly context: CanvasRenderingContext2D;
  private ratio = 1;
  private solid!: CanvasPattern;
  private sheer!: CanvasPattern;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d")!;
    this.resize(1, 1);
  }

  resize(width: number, height: number): void {
    this.ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(width * this.ratio));
    this.canvas.height = Math.max(1, Math.round(height * this.ratio));
    this.solid = this.hatched("rgba(128,130,136,.94)", "rgba(255,255,255,.16)");
    this.sheer = this.hatched("rgba(128,130,136,.45)", "rgba(255,255,255,.3)");
  }

  draw(grid: Grid, overlay: Overlay, accent: string): void {
    const { context, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const hidden = new Path2D();
    overlay.cells.forEach((cell, i) => cell && this.addCell(hidden, grid, i));
    context.fillStyle = overlay.peek ? this.sheer : this.solid;
    context.fill(hidden);
    this.lines(grid);
    this.stroke(grid, overlay, accent);
  }

  private edge(position: number, count: number, length: number): number {
    return Math.round((position / count) * length);
  }

  private addCell(path: Path2D, grid: Grid, index: number): void {
    const row = Math.floor(index / grid.cols);
    const col = index - row * grid.cols;
    const { width, height } = this.canvas;
    const [x, y] = [this.edge(col, grid.cols, width), this.edge(row, grid.rows, height)];
    path.rect(x, y, this.edge(col + 1, grid.cols, width) - x, this.edge(row + 1, grid.rows, height) - y);
  }

  /** Grey with thin slanted lines, so that it cannot be mistaken for part of the picture. */
  private hatched(ground: string, line: string): CanvasPattern {
    const side = HATCH_PX * this.ratio;
    const tile = new OffscreenCanvas(Math.round(side), Math.round(side));
    const context = tile.getContext("2d")!;
    context.fillStyle = ground;
    context.fillRect(0, 0, side, side);
    context.strokeStyle = line;
    context.lineWidth = this.ratio;
    for (const shift of [-side, 0, side]) {
      context.moveTo(shift, side);
      context.lineTo(shift + side, 0);
    }
    context.stroke();
    return this.context.createPattern(tile, "repeat")!;
  }

  private lines(grid: Grid): void {
    const { context, canvas, ratio } = this;
    if (canvas.width / grid.cols < 5 * ratio) return;
    context.lineWidth = 1;
    context.strokeStyle = "rgba(255,255,255,.28)";
    context.beginPath();
    for (let col = 1; col < grid.cols; col++) {
      const x = this.edge(col, grid.cols, canvas.width) - 0.5;
      context.moveTo(x, 0);
      context.lineTo(x, canvas.height);
    }
    for (let row = 1; row < grid.rows; row++) {
      const y = this.edge(row, grid.rows, canvas.height) - 0.5;
      context.moveTo(0, y);
      context.lineTo(canvas.width, y);
    }
    context.stroke();
  }

  private stroke(grid: Grid, overlay: Overlay, accent: string): void {
    const preview = new Path2D();
    overlay.preview.forEach((index) => this.addCell(preview, grid, index));
    this.outline(preview, accent, 1.5);
    if (overlay.lasso.length > 1) {
      const path = new Path2D();
      overlay.lasso.forEach(([x, y], i) =>
        path[i ? "lineTo" : "moveTo"](x * this.canvas.width, y * this.canvas.height),
      );
      path.closePath();
      this.outline(path, accent, 2);
    }
    if (overlay.cursor) {
      const path = new Path2D();
      this.addCell(path, grid, grid.index(overlay.cursor));
      this.outline(path, accent, 3);
    }
  }

  /** A dark and a bright line, so that the outline is visible on any background. */
  private outline(path: Path2D, colour: string, width: number): void {
    const { context, ratio } = this;
    context.lineJoin = "round";
    for (const [style, extra] of [
      ["rgba(0,0,0,.75)", 2.5],
      ["#fff", 1],
      [colour, 0],
    ] as const) {
      context.strokeStyle = style;
      context.lineWidth = (width + extra) * ratio;
      context.stroke(path);
    }
  }
}
