// Which points lie inside a polygon: the even-odd rule in double precision.
// earth_mae_components/polygon.py does the same operations in the same order, so both agree on every point.

export type Ring = ReadonlyArray<readonly [number, number]>;

export function isInside(ring: Ring, x: number, y: number): boolean {
  let inside = false;
  let [x1, y1] = ring[ring.length - 1]!;
  for (const [x2, y2] of ring) {
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    x1 = x2;
    y1 = y2;
  }
  return inside;
}
