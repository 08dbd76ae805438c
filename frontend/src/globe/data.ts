// The data that Python passes (earth_mae_components/globe.py), and the files fetched
// (core/browser/points.py).

export type Side = "globe" | "plane";
export type MapView = "globe" | "flat";

export interface Chosen {
  side: Side;
  kind: "lasso" | "box" | "click";
  polygon: string;
  ids: number[];
}

export interface CameraData {
  view: MapView;
  map: [number, number, number];
  plane: [number | null, number | null, number | null];
}

export interface LegendData {
  title: string;
  entries: [string, number][];
  scale: [string, string] | null;
  wheel: string[];
  note: string;
}

export interface GlobeData {
  points: string;
  about: string;
  colours: string | null;
  palette: string[];
  legend: LegendData | null;
  basemap: string | null;
  surface: string | null;
  coast: string | null;
  thumbnail: string | null;
  selection: Chosen | null;
  knownSelection: number;
  camera: CameraData | null;
  knownCamera: number;
  flyTo: { lon: number; lat: number; zoom: number; token: string } | null;
  reveal: string;
  rings: [number, string, string][];
  draw: "auto" | "points" | "cells";
  height: number;
  label: string;
  reportCamera: boolean;
  still: Still | null;
}

/**
 * Pictures drawn by Python for a browser without WebGL 2: the Earth as a flat map, the projection with its
 * bounds.
 */
export interface Still {
  globe: string | null;
  plane: string | null;
  bounds: [left: number, bottom: number, right: number, top: number];
}

export interface Points {
  count: number;
  lonlat: Float32Array | null;
  xy: Float32Array | null;
  classes: Uint8Array;
}

/** The row shown at each pixel of a plate-carree map of the Earth, north up; -1 where there is none. */
export interface SurfaceRows {
  width: number;
  height: number;
  rows: Int32Array;
}

export interface Colours {
  count: number;
  rgb: boolean;
  values: Uint8Array;
}

export class FileError extends Error {}

const HEADER = 16;
const [PLACES, PROJECTION, CLASSES] = [1, 2, 4];

/** Files that a notebook passes with the data; they are not fetched. */
export const passed = new Map<string, ArrayBuffer>();

async function bytesOf(url: string, signal: AbortSignal): Promise<ArrayBuffer> {
  const own = passed.get(url);
  if (own) return own;
  const answer = await fetch(url, { signal, credentials: "same-origin" });
  if (!answer.ok) throw new FileError(`The points could not be loaded (${answer.status}): reload the page.`);
  return answer.arrayBuffer();
}

async function fetched(
  url: string,
  magic: string,
  signal: AbortSignal,
): Promise<{ buffer: ArrayBuffer; count: number; word: number }> {
  const buffer = await bytesOf(url, signal);
  if (buffer.byteLength < HEADER || new TextDecoder().decode(buffer.slice(0, 4)) !== magic)
    throw new FileError("The points have an unknown format: reload the page.");
  const head = new DataView(buffer);
  return { buffer, count: head.getUint32(4, true), word: head.getUint32(8, true) };
}

export async function fetchPoints(url: string, signal: AbortSignal): Promise<Points> {
  const { buffer, count, word } = await fetched(url, "EMP1", signal);
  const pairs = 8 * count;
  const expected =
    HEADER + (word & PLACES! ? pairs : 0) + (word & PROJECTION! ? pairs : 0) + (word & CLASSES! ? count : 0);
  if (buffer.byteLength !== expected) throw new FileError("The points are incomplete: reload the page.");
  let at = HEADER;
  const take = (flag: number) => {
    if (!(word & flag)) return null;
    at += pairs;
    return new Float32Array(buffer, at - pairs, 2 * count);
  };
  const lonlat = take(PLACES!);
  const xy = take(PROJECTION!);
  const classes = word & CLASSES! ? new Uint8Array(buffer, at, count) : new Uint8Array(count);
  return { count, lonlat, xy, classes };
}

export async function fetchSurface(url: string, signal: AbortSignal): Promise<SurfaceRows> {
  const answer = await fetch(url, { signal, credentials: "same-origin" });
  if (!answer.ok || !answer.body)
    throw new FileError(`The map could not be loaded (${answer.status}): reload the page.`);
  const buffer = await new Response(answer.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const head = new DataView(buffer);
  const [width, height] = [head.getUint32(4, true), head.getUint32(8, true)];
  if (buffer.byteLength !== HEADER + 4 * width * height)
    throw new FileError("The map is incomplete: reload the page.");
  return { width, height, rows: new Int32Array(buffer, HEADER) };
}

export async function fetchColours(url: string, signal: AbortSignal): Promise<Colours> {
  const { buffer, count, word } = await fetched(url, "EMC1", signal);
  const values = new Uint8Array(buffer, HEADER);
  if (values.length !== count * (word === 1 ? 3 : 1))
    throw new FileError("The colours are incomplete: reload the page.");
  return { count, rgb: word === 1, values };
}
