// deck.gl layers of one view: the Earth, points or density cells, the outline of the selection, rings.
import { COORDINATE_SYSTEM, type Layer } from "@deck.gl/core";
import { BitmapLayer, PathLayer, ScatterplotLayer, SolidPolygonLayer } from "@deck.gl/layers";
import type { Cells } from "./cells";
import { FULL_ALPHA, parseHex } from "./colours";
import { Horizon } from "./horizon";

export type ViewId = "globe" | "flat" | "plane";

export interface PointAttributes {
  length: number;
  attributes: { getPosition: { value: Float32Array; size: 2 }; getFillColor: { value: Uint8ClampedArray; size: 4 } };
}

export interface Mark {
  position: [number, number];
  colour: [number, number, number];
  strong: boolean;
}

/** A selection's ring, alone in a list that stays the same as long as the selection does. */
export type Outline = [[number, number][]];

export interface LayerInputs {
  view: ViewId;
  basemap: string | null;
  points: PointAttributes | null;
  cells: Cells | null;
  outline: Outline | null;
  marks: Mark[];
  radius: number;
  accent: string;
  dark: boolean;
}

const horizon = new Horizon();
const OVER_ALL = { depthCompare: "always", depthWriteEnabled: false, cullMode: "none" } as const;
const OUTLINE_HEIGHT_M = 15_000;

export function layersOf(inputs: LayerInputs): (Layer | null)[] {
  const { view, points, cells, outline, marks, radius } = inputs;
  const onGlobe = view === "globe";
  const coordinateSystem = onGlobe ? COORDINATE_SYSTEM.LNGLAT : COORDINATE_SYSTEM.CARTESIAN;
  const own = { coordinateSystem, extensions: onGlobe ? [horizon] : [], parameters: OVER_ALL };
  // A dark ring under each coloured one, so that it shows on any ground.
  const ringsOf = (name: string, all: Mark[], colour: [number, number, number] | null, wider: number) => new ScatterplotLayer<Mark>({
    id: `${view}:${name}`, ...own, data: all, getPosition: (mark) => mark.position, filled: false, stroked: true, radiusUnits: "pixels",
    lineWidthUnits: "pixels", getRadius: (mark) => (mark.strong ? 9 : 6.5), getLineWidth: (mark) => (mark.strong ? 3 : 2) + wider,
    getLineColor: (mark) => [...(colour ?? mark.colour), colour ? 150 : FULL_ALPHA] as never, billboard: true,
  });
  return [
    view === "plane" ? null : ground(view, inputs),
    view === "plane" ? null : graticule(view),
    cells && new SolidPolygonLayer({
      id: `${view}:cells`, coordinateSystem, data: cells as never, _normalize: false, filled: true, extruded: false,
      parameters: { ...OVER_ALL, cullMode: onGlobe ? "back" : "none" },
    }),
    points && new ScatterplotLayer({
      id: `${view}:points`, ...own, data: points as never, getRadius: radius, radiusUnits: "pixels", stroked: false, filled: true, billboard: true,
      antialiasing: true,
    }),
    outline && outline[0].length > 1 ? new PathLayer({
      id: `${view}:outline`, coordinateSystem, data: outline, getPath: (ring: [number, number][]) => closed(ring, onGlobe) as never,
      getColor: [...parseHex(inputs.accent), 255] as never, getWidth: 2.5, widthUnits: "pixels", jointRounded: true,
      parameters: onGlobe ? { depthCompare: "less-equal", cullMode: "none" } : OVER_ALL,
    }) : null,
    ...(marks.length ? [ringsOf("halo", marks, [0, 0, 0], 2.5), ringsOf("marks", marks, null, 0)] : []),
  ];
}

// What never changes is made once: deck.gl works on a layer's data anew whenever it is handed another array.
const SEA = Array.from({ length: 18 }, (_, i) => -90 + 10 * i).flatMap((south) =>
  Array.from({ length: 36 }, (_, i) => -180 + 10 * i).map((west) => [[west, south], [west + 10, south], [west + 10, south + 10], [west, south + 10]]));
const NET = { globe: netOf(OUTLINE_HEIGHT_M / 3), flat: netOf(0) };

function ground(view: "globe" | "flat", { basemap, dark }: LayerInputs): Layer {
  const parameters = { cullMode: view === "globe" ? "back" : "none" } as const;
  if (basemap) return new BitmapLayer({ id: `${view}:earth`, image: basemap, bounds: [-180, -90, 180, 90], desaturate: 0.35, parameters });
  return new SolidPolygonLayer({
    id: `${view}:sea`, data: SEA, getPolygon: (ring: number[][]) => ring as never, getFillColor: (dark ? [24, 32, 44, 255] : [205, 219, 230, 255]) as never,
    coordinateSystem: view === "globe" ? COORDINATE_SYSTEM.LNGLAT : COORDINATE_SYSTEM.CARTESIAN, parameters,
  });
}

function graticule(view: "globe" | "flat"): Layer {
  return new PathLayer({
    id: `${view}:graticule`, data: NET[view], getPath: (line: number[][]) => line as never, getColor: [255, 255, 255, 46], getWidth: 1, widthUnits: "pixels",
    coordinateSystem: view === "globe" ? COORDINATE_SYSTEM.LNGLAT : COORDINATE_SYSTEM.CARTESIAN,
    parameters: { cullMode: "none", depthWriteEnabled: false },
  });
}

function netOf(high: number): number[][][] {
  const span = (from: number, to: number, step: number) => Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step);
  return [
    ...span(-180, 150, 30).map((lon) => span(-90, 90, 5).map((lat) => [lon, lat, high])),
    ...span(-60, 60, 30).map((lat) => span(-180, 180, 5).map((lon) => [lon, lat, high])),
  ];
}

/** The ring closed; on the globe a little above the ground, so that the ground does not cover it. */
function closed(outline: [number, number][], onGlobe: boolean): number[][] {
  return [...outline, outline[0]!].map(([x, y]) => (onGlobe ? [x, y, OUTLINE_HEIGHT_M] : [x, y]));
}
