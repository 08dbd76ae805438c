// The extent of points: their bounding box and, on the Earth, their bounding circle.

const MOST_RADIANS = 0.9;
const LEAST_RADIANS = 1e-5;
const RADIANS = Math.PI / 180;

export type Box4 = [west: number, south: number, east: number, north: number];

/** The bounding box of all finite pairs; one unit around the origin if there are none. */
export function extent(pairs: Float32Array): Box4 {
  let [west, south, east, north] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < pairs.length; i += 2) {
    const [x, y] = [pairs[i]!, pairs[i + 1]!];
    if (!Number.isFinite(x + y)) continue;
    if (x < west) west = x;
    if (x > east) east = x;
    if (y < south) south = y;
    if (y > north) north = y;
  }
  return west <= east ? [west, south, east, north] : [-1, -1, 1, 1];
}

/**
 * The centre, angular radius and box of the part of the Earth with all points; null if it is most of a
 * hemisphere.
 */
export function onEarth(
  lonlat: Float32Array,
): { centre: [number, number]; radians: number; box: Box4 } | null {
  const sum = [0, 0, 0];
  let count = 0;
  for (let i = 0; i < lonlat.length; i += 2) {
    const unit = unitVector(lonlat[i]!, lonlat[i + 1]!);
    if (!unit.every(Number.isFinite)) continue;
    count++;
    for (let k = 0; k < 3; k++) sum[k]! += unit[k]!;
  }
  const length = Math.hypot(...sum);
  if (!count || length < 0.5 * count) return null;
  const centre = sum.map((value) => value / length);
  let farthest = 0;
  for (let i = 0; i < lonlat.length; i += 2) {
    const unit = unitVector(lonlat[i]!, lonlat[i + 1]!);
    const chord = Math.hypot(...unit.map((value, k) => value - centre[k]!));
    if (chord > farthest) farthest = chord;
  }
  const radians = 2 * Math.asin(Math.min(farthest / 2, 1));
  if (radians > MOST_RADIANS) return null;
  const place: [number, number] = [
    Math.atan2(centre[1]!, centre[0]!) / RADIANS,
    Math.asin(centre[2]!) / RADIANS,
  ];
  return { centre: place, radians: Math.max(radians, LEAST_RADIANS), box: extent(lonlat) };
}

function unitVector(lon: number, lat: number): [number, number, number] {
  const [a, b] = [lon * RADIANS, lat * RADIANS];
  return [Math.cos(b) * Math.cos(a), Math.cos(b) * Math.sin(a), Math.sin(b)];
}
