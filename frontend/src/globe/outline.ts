// Converts a shape drawn on the screen to a polygon on the Earth or in the projection.
import { isInside, simplified, type Ring } from "../polygon";

const TOLERANCE_PX = 1;
const PIECE_PX = 10;
const MOST_VERTICES = 2000;

export interface Projector {
  /** Screen to longitude and latitude (on the horizon for pixels beside the globe), or to plane units. */
  unproject(pixel: [number, number]): [number, number];
  /** The pixel of a pole, or null behind the horizon. */
  pole(north: boolean): [number, number] | null;
  centreLatitude: number;
}

const rounded = (ring: Ring): [number, number][] => ring.map(([x, y]) => [Math.fround(x), Math.fround(y)]);

export function planeOutline(screen: Ring, projector: Projector): [number, number][] {
  return rounded(simplified(screen, TOLERANCE_PX).map((pixel) => projector.unproject(pixel)));
}

/**
 * The outline in degrees. Straight lines on the screen are curves on the Earth, so they are cut into pieces.
 * Longitudes continue beyond 180 instead of jumping, and a shape around a pole is closed along the pole.
 */
export function globeOutline(screen: Ring, projector: Projector): [number, number][] {
  const pixels = cut(simplified(screen, TOLERANCE_PX));
  const ring = pixels.map((pixel) => projector.unproject(pixel));
  for (let i = 1; i < ring.length; i++) ring[i]![0] = unwrapped(ring[i]![0], ring[i - 1]![0]);
  const [first, last] = [ring[0]!, ring[ring.length - 1]!];
  const closing = unwrapped(first[0], last[0]);
  if (Math.abs(closing - first[0]) > 180) {
    const latitude = 90 * polarSide(screen, projector);
    ring.push([closing, first[1]], [closing, latitude], [first[0], latitude]);
  }
  const middle = (Math.min(...ring.map(([x]) => x)) + Math.max(...ring.map(([x]) => x))) / 2;
  const turn = 360 * Math.round(middle / 360);
  return rounded(ring.map(([x, y]) => [x - turn, y]));
}

function unwrapped(longitude: number, previous: number): number {
  return longitude - 360 * Math.round((longitude - previous) / 360);
}

function polarSide(screen: Ring, projector: Projector): 1 | -1 {
  const encloses = (north: boolean) => {
    const pixel = projector.pole(north);
    return pixel !== null && isInside(screen, ...pixel);
  };
  const [north, south] = [encloses(true), encloses(false)];
  if (north !== south) return north ? 1 : -1;
  return projector.centreLatitude >= 0 ? 1 : -1;
}

function cut(screen: Ring): [number, number][] {
  const longest = screen.reduce((sum, [x, y], i) => {
    const [px, py] = screen[(i || screen.length) - 1]!;
    return sum + Math.hypot(x - px, y - py);
  }, 0);
  const piece = Math.max(PIECE_PX, (longest / MOST_VERTICES) * 1.2);
  const out: [number, number][] = [];
  screen.forEach(([x, y], i) => {
    const [nx, ny] = screen[(i + 1) % screen.length]!;
    const parts = Math.max(1, Math.ceil(Math.hypot(nx - x, ny - y) / piece));
    for (let p = 0; p < parts; p++) out.push([x + ((nx - x) * p) / parts, y + ((ny - y) * p) / parts]);
  });
  return out;
}
