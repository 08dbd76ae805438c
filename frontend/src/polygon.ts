// Which points are inside a polygon, by the even-odd rule in double precision.
// core/browser/polygon.py does the same operations in the same order, so both agree on every point.

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

/**
 * One byte per point (interleaved pairs), 1 if inside. `wraps`: the first value is a longitude; a ring may
 * cross 180.
 */
export function insideMask(ring: Ring, pairs: Float32Array, wraps: boolean): Uint8Array {
  const found = new Uint8Array(pairs.length / 2);
  if (ring.length < 3) return found;
  const xs = ring.map(([x]) => x);
  const ys = ring.map(([, y]) => y);
  const [west, east, south, north] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  for (const shift of wraps ? [0, 360, -360] : [0]) {
    for (let i = 0; i < found.length; i++) {
      const x = pairs[2 * i]! + shift;
      const y = pairs[2 * i + 1]!;
      if (x >= west && x <= east && y >= south && y <= north && isInside(ring, x, y)) found[i] = 1;
    }
  }
  return found;
}

/** Base64url of little-endian float32 pairs, as sent to Python and used in links. */
export function encodeRing(ring: Ring): string {
  const bytes = new DataView(new ArrayBuffer(8 * ring.length));
  ring.forEach(([x, y], i) => {
    bytes.setFloat32(8 * i, x, true);
    bytes.setFloat32(8 * i + 4, y, true);
  });
  let text = "";
  for (let i = 0; i < bytes.byteLength; i++) text += String.fromCharCode(bytes.getUint8(i));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function decodeRing(text: string): [number, number][] {
  const packed = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = new DataView(Uint8Array.from(packed, (letter) => letter.charCodeAt(0)).buffer);
  return Array.from({ length: bytes.byteLength >> 3 }, (_, i) => [
    bytes.getFloat32(8 * i, true),
    bytes.getFloat32(8 * i + 4, true),
  ]);
}

/** Drop vertices within `tolerance` of the line between their neighbours (Douglas and Peucker 1973). */
export function simplified(ring: Ring, tolerance: number): [number, number][] {
  if (ring.length < 3) return ring.map(([x, y]) => [x, y]);
  const keep = new Uint8Array(ring.length);
  keep[0] = keep[ring.length - 1] = 1;
  const spans: [number, number][] = [[0, ring.length - 1]];
  for (let span = spans.pop(); span; span = spans.pop()) {
    const [from, to] = span;
    let [farthest, distance] = [-1, tolerance];
    for (let i = from + 1; i < to; i++) {
      const d = distanceToSegment(ring[i]!, ring[from]!, ring[to]!);
      if (d > distance) [farthest, distance] = [i, d];
    }
    if (farthest < 0) continue;
    keep[farthest] = 1;
    spans.push([from, farthest], [farthest, to]);
  }
  return ring.filter((_, i) => keep[i]).map(([x, y]) => [x, y]);
}

function distanceToSegment([x, y]: Ring[number], [x1, y1]: Ring[number], [x2, y2]: Ring[number]): number {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const along =
    dx || dy ? Math.min(Math.max(((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy), 0), 1) : 0;
  return Math.hypot(x - x1 - along * dx, y - y1 - along * dy);
}
