// deck.gl layers of one view: the Earth, points or density cells, the outline of the selection, rings.
import { COORDINATE_SYSTEM, type Layer } from "@deck.gl/core";
import { BitmapLayer, LineLayer, ScatterplotLayer, SolidPolygonLayer } from "@deck.gl/layers";
import type { Cells } from "./cells";
import { FULL_ALPHA, parseHex } from "./colours";
import { Horizon } from "./horizon";

export type ViewId = "globe" | "flat" | "plane";

export interface PointAttributes {
  length: number;
  attributes: {
    getPosition: { value: Float32Array; size: 2 };
    getFillColor: { value: Uint8ClampedArray; size: 4 };
  };
}

export interface Mark {
  position: [number, number];
  colour: [number, number, number];
  strong: boolean;
}

/** The ring of a selection; the same array as long as the selection is the same. */
export type Outline = [number, number][];

export interface LayerInputs {
  view: ViewId;
  basemap: string | null;
  cover: ImageData | null;
  opacity: number;
  coast: Float32Array | null;
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
const LINE_HEIGHT_M = OUTLINE_HEIGHT_M / 3;
const COAST_COLOUR: [number, number, number, number] = [12, 22, 32, 170];

export function layersOf(inputs: LayerInputs): (Layer | null)[] {
  const { view, points, cells, outline, marks, radius } = inputs;
  const onGlobe = view === "globe";
  const coordinateSystem = onGlobe ? COORDINATE_SYSTEM.LNGLAT : COORDINATE_SYSTEM.CARTESIAN;
  const own = { coordinateSystem, extensions: onGlobe ? [horizon] : [], parameters: OVER_ALL };
  // A dark ring under each coloured one, so that it is visible on any background.
  const ringsOf = (name: string, all: Mark[], colour: [number, number, number] | null, wider: number) =>
    new ScatterplotLayer<Mark>({
      id: `${view}:${name}`,
      ...own,
      data: all,
      getPosition: (mark) => mark.position,
      filled: false,
      stroked: true,
      radiusUnits: "pixels",
      lineWidthUnits: "pixels",
      getRadius: (mark) => (mark.strong ? 9 : 6.5),
      getLineWidth: (mark) => (mark.strong ? 3 : 2) + wider,
      getLineColor: (mark) => [...(colour ?? mark.colour), colour ? 150 : FULL_ALPHA] as never,
      billboard: true,
    });
  return [
    view === "plane" ? null : ground(view, inputs),
    view === "plane" ? null : coverLayer(view, inputs),
    cells &&
      new SolidPolygonLayer({
        id: `${view}:cells`,
        coordinateSystem,
        data: cells as never,
        _normalize: false,
        filled: true,
        extruded: false,
        opacity: onGlobe || view === "flat" ? inputs.opacity : 1,
        parameters: { ...OVER_ALL, cullMode: onGlobe ? "back" : "none" },
      }),
    view === "plane" ? null : graticule(view),
    view === "plane" ? null : coastLayer(view, inputs.coast),
    points &&
      new ScatterplotLayer({
        id: `${view}:points`,
        ...own,
        data: points as never,
        getRadius: radius,
        radiusUnits: "pixels",
        stroked: false,
        filled: true,
        billboard: true,
        antialiasing: true,
      }),
    outline && outline.length > 1
      ? new LineLayer({
          id: `${view}:outline`,
          coordinateSystem,
          data: outline,
          getSourcePosition: (at: [number, number]) => raised(at, onGlobe) as never,
          getTargetPosition: (_: unknown, { index }: { index: number }) =>
            raised(outline[(index + 1) % outline.length]!, onGlobe) as never,
          getColor: [...parseHex(inputs.accent), 255] as never,
          getWidth: 2.5,
          widthUnits: "pixels",
          parameters: onGlobe ? { depthCompare: "less-equal", cullMode: "none" } : OVER_ALL,
        })
      : null,
    ...(marks.length ? [ringsOf("halo", marks, [0, 0, 0], 2.5), ringsOf("marks", marks, null, 0)] : []),
  ];
}

// Constant data is created once: deck.gl processes a layer's data again whenever it receives another array.
const SEA = Array.from({ length: 18 }, (_, i) => -90 + 10 * i).flatMap((south) =>
  Array.from({ length: 36 }, (_, i) => -180 + 10 * i).map((west) => [
    [west, south],
    [west + 10, south],
    [west + 10, south + 10],
    [west, south + 10],
  ]),
);
const NET = { globe: netOf(LINE_HEIGHT_M), flat: netOf(0) };

function ground(view: "globe" | "flat", { basemap, dark }: LayerInputs): Layer {
  const parameters = { cullMode: view === "globe" ? "back" : "none" } as const;
  if (basemap)
    return new BitmapLayer({
      id: `${view}:earth`,
      image: basemap,
      bounds: [-180, -90, 180, 90],
      desaturate: 0.35,
      parameters,
    });
  return new SolidPolygonLayer({
    id: `${view}:sea`,
    data: SEA,
    getPolygon: (ring: number[][]) => ring as never,
    getFillColor: (dark ? [24, 32, 44, 255] : [205, 219, 230, 255]) as never,
    coordinateSystem: view === "globe" ? COORDINATE_SYSTEM.LNGLAT : COORDINATE_SYSTEM.CARTESIAN,
    parameters,
  });
}

function coverLayer(view: "globe" | "flat", { cover, opacity }: LayerInputs): Layer | null {
  return (
    cover &&
    new BitmapLayer({
      id: `${view}:cover`,
      image: cover as never,
      bounds: [-180, -90, 180, 90],
      opacity,
      parameters: { ...OVER_ALL, cullMode: view === "globe" ? "back" : "none" },
    })
  );
}

const coasts = {
  globe: new WeakMap<Float32Array, Segment[]>(),
  flat: new WeakMap<Float32Array, Segment[]>(),
};

/** The segments of lines that are ended by NaN. */
function segmentsOf(view: "globe" | "flat", coast: Float32Array): Segment[] {
  let segments = coasts[view].get(coast);
  const high = view === "globe" ? LINE_HEIGHT_M : 0;
  if (!segments) {
    segments = [];
    for (let i = 0; i + 3 < coast.length; i += 2)
      if (Number.isFinite(coast[i]! + coast[i + 2]!))
        segments.push([
          [coast[i]!, coast[i + 1]!, high],
          [coast[i + 2]!, coast[i + 3]!, high],
        ]);
    coasts[view].set(coast, segments);
  }
  return segments;
}

function coastLayer(view: "globe" | "flat", coast: Float32Array | null): Layer | null {
  if (!coast) return null;
  return new LineLayer<Segment>({
    id: `${view}:coast`,
    data: segmentsOf(view, coast),
    getSourcePosition: ([from]) => from as never,
    getTargetPosition: ([, to]) => to as never,
    getColor: COAST_COLOUR,
    getWidth: 1,
    widthUnits: "pixels",
    coordinateSystem: view === "globe" ? COORDINATE_SYSTEM.LNGLAT : COORDINATE_SYSTEM.CARTESIAN,
    parameters: { cullMode: "none", depthWriteEnabled: false },
  });
}

// Lines, not paths: in software rendering, compiling the shader for paths takes most of a second.
function graticule(view: "globe" | "flat"): Layer {
  return new LineLayer({
    id: `${view}:graticule`,
    data: NET[view],
    getSourcePosition: ([from]: Segment) => from as never,
    getTargetPosition: ([, to]: Segment) => to as never,
    getColor: [255, 255, 255, 46],
    getWidth: 1,
    widthUnits: "pixels",
    coordinateSystem: view === "globe" ? COORDINATE_SYSTEM.LNGLAT : COORDINATE_SYSTEM.CARTESIAN,
    parameters: { cullMode: "none", depthWriteEnabled: false },
  });
}

type Segment = [from: number[], to: number[]];

function netOf(high: number): Segment[] {
  const span = (from: number, to: number, step: number) =>
    Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step);
  return [
    ...span(-180, 150, 30).flatMap((lon) =>
      span(-90, 85, 5).map((lat): Segment => [
        [lon, lat, high],
        [lon, lat + 5, high],
      ]),
    ),
    ...span(-60, 60, 30).flatMap((lat) =>
      span(-180, 175, 5).map((lon): Segment => [
        [lon, lat, high],
        [lon + 5, lat, high],
      ]),
    ),
  ];
}

/** A position slightly above the ground on the globe, so that the ground does not cover it. */
function raised([x, y]: [number, number], onGlobe: boolean): number[] {
  return onGlobe ? [x, y, OUTLINE_HEIGHT_M] : [x, y];
}
