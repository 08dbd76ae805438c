// The point nearest to a position, found with bins: works the same with every graphics driver.

import { extent } from "./extent";

const BINS_A_SIDE = 512;

export class Nearest {
  private readonly starts: Uint32Array;
  private readonly rows: Uint32Array;
  private readonly low: [number, number];
  private readonly step: [number, number];

  constructor(
    private readonly pairs: Float32Array,
    private readonly isDegrees: boolean,
  ) {
    const [west, south, east, north] = isDegrees ? [-180, -90, 180, 90] : extent(pairs);
    this.low = [west, south];
    this.step = [(east - west) / BINS_A_SIDE || 1, (north - south) / BINS_A_SIDE || 1];
    const count = pairs.length / 2;
    const bins = new Uint32Array(count);
    this.starts = new Uint32Array(BINS_A_SIDE * BINS_A_SIDE + 1);
    for (let i = 0; i < count; i++) {
      const bin = Number.isFinite(pairs[2 * i]! + pairs[2 * i + 1]!)
        ? this.bin(0, pairs[2 * i]!) + BINS_A_SIDE * this.bin(1, pairs[2 * i + 1]!)
        : -1;
      bins[i] = bin;
      if (bin >= 0) this.starts[bin + 1]!++;
    }
    for (let b = 1; b < this.starts.length; b++) this.starts[b]! += this.starts[b - 1]!;
    this.rows = new Uint32Array(count);
    const next = this.starts.slice();
    for (let i = 0; i < count; i++) if (bins[i] !== 0xffffffff) this.rows[next[bins[i]!]!++] = i;
  }

  /** The row nearest to (a, b) within `reach`, in degrees of arc or in plane units; -1 if none. */
  find(a: number, b: number, reach: number): number {
    const narrow = this.isDegrees ? Math.max(Math.cos((b * Math.PI) / 180), 0.02) : 1;
    let [best, distance] = [-1, reach];
    for (const shift of this.isDegrees ? [0, 360, -360] : [0]) {
      const [left, right] = [a + shift - reach / narrow, a + shift + reach / narrow];
      if (this.isDegrees && (right < -180 || left > 180)) continue;
      for (let row = this.bin(1, b - reach); row <= this.bin(1, b + reach); row++) {
        for (let col = this.bin(0, left); col <= this.bin(0, right); col++) {
          const bin = row * BINS_A_SIDE + col;
          for (let k = this.starts[bin]!; k < this.starts[bin + 1]!; k++) {
            const i = this.rows[k]!;
            const d = Math.hypot((this.pairs[2 * i]! - a - shift) * narrow, this.pairs[2 * i + 1]! - b);
            if (d <= distance) [best, distance] = [i, d];
          }
        }
      }
    }
    return best;
  }

  private bin(axis: 0 | 1, value: number): number {
    return Math.min(Math.max(Math.floor((value - this.low[axis]) / this.step[axis]), 0), BINS_A_SIDE - 1);
  }
}
