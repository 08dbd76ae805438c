// One deck.gl canvas with the Earth (globe or flat map) and the projection, side by side or stacked.
import {
  Deck,
  LinearInterpolator,
  type Layer,
  OrthographicView,
  _GlobeView as GlobeView,
  type Viewport,
} from "@deck.gl/core";
import { cellSize, Tally, type Cells } from "./cells";
import { parseHex, type Paint } from "./colours";
import type { Cover } from "./cover";
import type { CameraData, MapView, Points, Side } from "./data";
import { layersOf, type Mark, type Outline, type PointAttributes, type ViewId } from "./layers";
import { extent, onEarth } from "./extent";
import { Nearest } from "./nearest";
import type { Projector } from "./outline";

const FLY_MS = 900;
const STEP_MS = 220;
const FARTHEST_STEP_LATITUDE = 85;
const WORLD: [number, number] = [10, 20];
const NEAREST_FIT = 11;
const APART_PX = 26;
const STACKED_BELOW_PX = 640;
const [NEAREST_ZOOM, FARTHEST_ZOOM] = [11.5, -2];

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

type Look = Record<string, unknown>;
type Place = [a: number, b: number, zoom: number];

/**
 * One object for all views: deck.gl would register a key handler again for every new one. Keys are handled
 * elsewhere.
 */
const CONTROLLER = {
  keyboard: false,
  inertia: false,
  doubleClickZoom: true,
  dragRotate: false,
  touchRotate: false,
};

/** The canvas. In software rendering, antialiasing and device pixels would be too slow. */
export interface Surface {
  canvas: HTMLCanvasElement;
  inSoftware: boolean;
}

/** A canvas with WebGL 2, or null. Created once: in software rendering, a trial canvas takes 0.1 s. */
export function surface(): Surface | null {
  const canvas = document.createElement("canvas");
  if (canvas.getContext("webgl2", { failIfMajorPerformanceCaveat: true }))
    return { canvas, inSoftware: false };
  return canvas.getContext("webgl2", { antialias: false }) && { canvas, inSoftware: true };
}

export interface SceneEvents {
  moved(): void;
  rendered(): void;
  failed(words: string): void;
}

export class Scene {
  points: Points | null = null;
  paint: Paint | null = null;
  selected: Uint8Array | null = null;
  outline: { side: Side; ring: Outline } | null = null;
  pin: { side: Side; place: [number, number]; id: number } | null = null;
  rings: [number, string, string][] = [];
  hover = -1;
  basemap: string | null = null;
  /** Colours that fill the map in place of points, if the tiles cover enough of it. */
  cover: Cover | null = null;
  drawn: Record<Side, "points" | "cells"> = { globe: "points", plane: "points" };
  opacity = 0.8;
  coast: Float32Array | null = null;
  draw: "auto" | "points" | "cells" = "auto";
  mapView: MapView = "globe";

  private readonly deck: Deck<never>;
  private layers: (Layer | null)[] = [];
  private looks: Partial<Record<ViewId, Look>> = {};
  private goals: Partial<Record<ViewId, Place>> = {};
  private boxes: Partial<Record<Side, Box>> = {};
  private attributes: Partial<Record<Side, PointAttributes>> = {};
  private positions: Partial<Record<Side, { value: Float32Array; size: 2 }>> = {};
  private tallies = new Map<string, Tally>();
  private shownCells: Partial<Record<Side, { tally: Tally; cells: Cells }>> = {};
  private shownMarks: Partial<Record<Side, { text: string; marks: Mark[] }>> = {};
  private nearest: Partial<Record<Side, Nearest>> = {};

  constructor(
    private readonly place: HTMLElement,
    private readonly surface: Surface,
    private readonly events: SceneEvents,
  ) {
    place.append(surface.canvas);
    this.deck = new Deck({
      canvas: surface.canvas,
      parent: place as HTMLDivElement,
      views: [],
      layers: [],
      viewState: {},
      useDevicePixels: !surface.inSoftware,
      style: { position: "absolute", inset: "0" } as never,
      layerFilter: ({ layer, viewport }: { layer: { id: string }; viewport: Viewport }) =>
        layer.id.startsWith(`${viewport.id}:`),
      onViewStateChange: ({
        viewId,
        viewState,
        interactionState,
      }: {
        viewId: ViewId;
        viewState: Look;
        interactionState?: { inTransition?: boolean };
      }) => {
        if (!isFinite(viewState)) return;
        this.looks[viewId] = viewState;
        if (!interactionState?.inTransition) delete this.goals[viewId];
        this.apply();
        this.events.moved();
      },
      onAfterRender: () => this.events.rendered(),
      onError: (error: Error) => this.events.failed(error.message),
    } as never) as never;
  }

  destroy(): void {
    this.deck.finalize();
    // browsers allow only about 16
    this.surface.canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
  }

  /** Whether everything is loaded, the picture of the Earth included. */
  get isComplete(): boolean {
    return this.layers.every((layer) => !layer || layer.isLoaded);
  }

  // ---- content --------------------------------------------------------------------------------------------

  /** Show other points. With `keepMap` the map keeps its camera; otherwise it shows all of them. */
  setPoints(points: Points, keepMap: boolean): void {
    this.points = points;
    this.pin = null;
    this.hover = -1;
    this.nearest = {};
    this.attributes = {};
    this.positions = {};
    this.tallies.clear();
    this.shownCells = {};
    if (points.lonlat) this.positions.globe = { value: points.lonlat, size: 2 };
    if (points.xy) this.positions.plane = { value: points.xy, size: 2 };
    const map = keepMap ? this.looks[this.mapView] : undefined;
    this.looks = map ? { [this.mapView]: map } : {};
    this.goals = {};
    this.layout();
  }

  /** Apply new colours or another selection; positions stay on the graphics card. */
  repaint(): void {
    this.attributes = {};
    this.shownCells = {};
    this.apply();
  }

  /** Created when points are drawn: density cells do not need them. */
  private attributesOf(side: Side): PointAttributes | null {
    const { points, paint } = this;
    if (!points || !paint) return null;
    if (!this.attributes[side]) {
      const getFillColor = { value: paint.rgba(points.count, this.selected), size: 4 as const };
      for (const each of ["globe", "plane"] as const) {
        const getPosition = this.positions[each];
        this.attributes[each] = getPosition && {
          length: points.count,
          attributes: { getPosition, getFillColor },
        };
      }
    }
    return this.attributes[side] ?? null;
  }

  coordinates(side: Side): Float32Array | null {
    return (side === "globe" ? this.points?.lonlat : this.points?.xy) ?? null;
  }

  // ---- geometry -------------------------------------------------------------------------------------------

  /** Divide the space between both sides; a table without locations or projection shows one side only. */
  layout(): void {
    const { clientWidth: width, clientHeight: height } = this.place;
    const sides = (["globe", "plane"] as const).filter((side) => !this.points || this.coordinates(side));
    const stacked = width < STACKED_BELOW_PX;
    this.boxes = {};
    if (!width || !height) return; // a notebook draws its widgets before it shows them
    sides.forEach((side, i) => {
      const n = sides.length;
      this.boxes[side] = stacked
        ? { x: 0, y: (height * i) / n, width, height: height / n }
        : { x: (width * i) / n, y: 0, width: width / n, height };
    });
    this.place.dataset.split = sides.length < 2 ? "none" : stacked ? "rows" : "columns";
    this.apply();
  }

  sideAt(x: number, y: number): Side | null {
    for (const side of ["globe", "plane"] as const) {
      const box = this.boxes[side];
      if (box && x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height) return side;
    }
    return null;
  }

  boxOf(side: Side): Box | null {
    return this.boxes[side] ?? null;
  }

  viewOf(side: Side): ViewId {
    return side === "plane" ? "plane" : this.mapView;
  }

  /** Converts between the screen (pixels of the whole scene) and the coordinates of one side. */
  projector(side: Side): Projector & { project(a: number, b: number): [number, number] | null } {
    const box = this.boxes[side]!;
    const view = this.viewOf(side);
    const viewport = this.viewport(side);
    const project = (a: number, b: number): [number, number] | null => {
      const [x, y] = viewport.project([a, b]) as [number, number];
      if (view === "globe") {
        const [lon, lat] = viewport.unproject([x, y]) as [number, number];
        if (Math.abs(lat - b) > 1 || (Math.abs(((lon - a + 540) % 360) - 180) > 1 && Math.abs(b) < 88))
          return null;
      }
      return [x + box.x, y + box.y];
    };
    return {
      project,
      unproject: ([x, y]) => {
        const [a, b] = viewport.unproject([x - box.x, y - box.y]) as [number, number];
        return view === "plane"
          ? [a, b]
          : view === "flat"
            ? [Math.min(Math.max(a, -180), 180), Math.min(Math.max(b, -90), 90)]
            : [a, b];
      },
      pole: (north) =>
        view === "globe" ? project(Number(this.looks.globe?.longitude ?? 0), north ? 89.99 : -89.99) : null,
      centreLatitude: Number(this.looks.globe?.latitude ?? 0),
    };
  }

  /** The coordinates under a pixel, or null beside the globe. */
  placeAt(side: Side, x: number, y: number): [number, number] | null {
    const projector = this.projector(side);
    const place = projector.unproject([x, y]);
    if (this.viewOf(side) !== "globe") return place;
    const back = projector.project(...place);
    return back && Math.hypot(back[0] - x, back[1] - y) < 2 ? place : null;
  }

  pointAt(side: Side, x: number, y: number, reachPx: number): number {
    const pairs = this.coordinates(side);
    const place = this.placeAt(side, x, y);
    if (!pairs || !place) return -1;
    const nearest = (this.nearest[side] ??= new Nearest(pairs, side === "globe"));
    return nearest.find(...place, reachPx * this.unitsPerPixel(side));
  }

  private unitsPerPixel(side: Side): number {
    if (side === "plane" || this.mapView === "flat")
      return 2 ** -Number(this.looks[this.viewOf(side)]?.zoom ?? 0);
    const viewport = this.viewport(side);
    const [x, y] = [viewport.width / 2, viewport.height / 2];
    const [lat0, lat1] = [viewport.unproject([x, y])[1]!, viewport.unproject([x, y + 8])[1]!];
    return Math.abs(lat1 - lat0) / 8 || 0.1;
  }

  private viewport(side: Side): Viewport {
    const { width, height } = this.boxes[side]!;
    return this.view(side).makeViewport({ width, height, viewState: this.look(side) as never })!;
  }

  private view(side: Side) {
    const id = this.viewOf(side);
    const box = this.boxes[side]!;
    const shared = { id, ...box, clear: false, controller: CONTROLLER };
    return id === "globe"
      ? new GlobeView({ ...shared, resolution: 5 } as never)
      : new OrthographicView({ ...shared, flipY: false } as never);
  }

  // ---- camera ---------------------------------------------------------------------------------------------

  private look(side: Side): Look {
    const id = this.viewOf(side);
    return (this.looks[id] ??= this.wholeLook(side));
  }

  /** The camera of a side that shows all of its points, or the whole Earth if they are far apart. */
  private wholeLook(side: Side): Look {
    const box = this.boxes[side] ?? { x: 0, y: 0, width: 400, height: 400 };
    const pairs = this.coordinates(side);
    const id = this.viewOf(side);
    const area = id === "plane" ? null : pairs && onEarth(pairs);
    if (id === "globe") {
      const [lon, lat] = area ? area.centre : WORLD;
      const filled = Math.log2((Math.PI * Math.min(box.width, box.height)) / 512);
      return this.lookAt(id, [
        lon,
        lat,
        area
          ? Math.min(filled + Math.log2(0.8 / Math.sin(area.radians)), NEAREST_FIT)
          : filled + Math.log2(1.08),
      ]);
    }
    const [west, south, east, north] =
      id === "plane" ? extent(pairs ?? new Float32Array()) : (area?.box ?? [-180, -90, 180, 90]);
    const zoom = Math.log2(
      0.92 * Math.min(box.width / (east - west || 1), box.height / (north - south || 1)),
    );
    return this.lookAt(id, [
      (west + east) / 2,
      (south + north) / 2,
      id === "flat" ? Math.min(zoom, this.limits(id)[1] - 1) : zoom,
    ]);
  }

  /** The camera at a position, with the limits of its zoom. */
  private lookAt(id: ViewId, [a, b, zoom]: Place): Look {
    if (id === "globe")
      return {
        longitude: a,
        latitude: b,
        zoom: deckZoom(zoom, b),
        bearing: 0,
        pitch: 0,
        minZoom: FARTHEST_ZOOM,
        maxZoom: NEAREST_ZOOM,
      };
    const [from, to] = this.limits(id);
    return { target: [a, b, 0], zoom, minZoom: from, maxZoom: to };
  }

  private limits(id: ViewId): [number, number] {
    if (id === "globe") return [FARTHEST_ZOOM, NEAREST_ZOOM];
    const box = this.boxes[id === "plane" ? "plane" : "globe"] ?? { width: 400, height: 400 };
    const [west, south, east, north] =
      id === "plane" ? extent(this.points?.xy ?? new Float32Array()) : [-180, -90, 180, 90];
    const whole = Math.log2(
      0.92 * Math.min(box.width / (east - west || 1), box.height / (north - south || 1)),
    );
    return [whole - 2, whole + 14];
  }

  /** The camera of a view in the numbers of `CameraData`. */
  private placeOf(id: ViewId): Place {
    const look = this.look(id === "plane" ? "plane" : "globe");
    const target = look.target as [number, number] | undefined;
    if (target) return [target[0], target[1], Number(look.zoom)];
    const latitude = Number(look.latitude);
    return [Number(look.longitude), latitude, Number(look.zoom) - deckZoom(0, latitude)];
  }

  get camera(): CameraData {
    const six = (value: number) => Number(value.toPrecision(7));
    return {
      view: this.mapView,
      map: this.placeOf(this.mapView).map(six) as Place,
      plane: this.looks.plane ? (this.placeOf("plane").map(six) as Place) : [null, null, null],
    };
  }

  set camera(camera: CameraData) {
    this.mapView = camera.view;
    this.goals = {};
    this.looks[this.mapView] = this.lookAt(this.mapView, camera.map);
    const [x, y, zoom] = camera.plane;
    if (x !== null && y !== null && zoom !== null) this.looks.plane = this.lookAt("plane", [x, y, zoom]);
    this.apply();
  }

  /** Show everything. */
  home(): void {
    this.looks = {};
    this.goals = {};
    this.layout();
  }

  fly(lon: number, lat: number, zoom: number): void {
    this.go(this.mapView, [lon, lat, zoom], FLY_MS);
  }

  /** Move one side by pixels and zoom by doublings of the scale; steps in quick succession add up. */
  step(side: Side, rightPx: number, upPx: number, doublings: number): void {
    if (!this.boxes[side]) return;
    const id = this.viewOf(side);
    const [a, b, zoom] = this.goals[id] ?? this.placeOf(id);
    const [least, most] = this.limits(id);
    const nextZoom = Math.min(Math.max(zoom + doublings, least), most);
    if (id !== "globe")
      return this.go(id, [a + rightPx * 2 ** -zoom, b + upPx * 2 ** -zoom, nextZoom], STEP_MS);
    const degrees = (360 / 512) * 2 ** -zoom;
    const latitude = Math.min(Math.max(b + upPx * degrees, -FARTHEST_STEP_LATITUDE), FARTHEST_STEP_LATITUDE);
    const longitude = a + (rightPx * degrees) / Math.max(Math.cos((b * Math.PI) / 180), 0.2);
    this.go(id, [((((longitude + 180) % 360) + 360) % 360) - 180, latitude, nextZoom], STEP_MS);
  }

  private go(id: ViewId, place: Place, ms: number): void {
    if (!place.every(Number.isFinite)) return;
    const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const moving = id === "globe" ? ["longitude", "latitude", "zoom", "bearing"] : ["target", "zoom"];
    this.goals[id] = place;
    this.looks[id] = {
      ...this.lookAt(id, place),
      transitionDuration: quiet ? 0 : ms,
      transitionInterpolator: new LinearInterpolator(moving),
    };
    this.apply();
    this.events.moved();
  }

  // ---- drawing --------------------------------------------------------------------------------------------

  apply(): void {
    const sides = Object.keys(this.boxes) as Side[];
    if (!this.points || !sides.length || !this.place.clientWidth) return;
    const style = getComputedStyle(this.place);
    const accent = style.getPropertyValue("--st-primary-color").trim() || "#ff4b4b";
    const dark = luminance(style.getPropertyValue("--st-background-color").trim()) < 0.5;
    const views = sides.map((side) => this.view(side));
    const viewState = Object.fromEntries(sides.map((side) => [this.viewOf(side), this.look(side)]));
    this.layers = sides.flatMap((side) => {
      const cover = side === "globe" ? this.coverNow() : null;
      const cells = cover ? null : this.cellsOf(side);
      const hidesPoints = cells !== null || (cover !== null && !this.pointsAreApart());
      this.drawn[side] = hidesPoints ? "cells" : "points";
      return layersOf({
        view: this.viewOf(side),
        basemap: this.basemap,
        cover,
        opacity: this.opacity,
        coast: this.coast,
        points: hidesPoints ? null : this.attributesOf(side),
        cells,
        outline: this.outline?.side === side ? this.outline.ring : null,
        marks: this.marks(side, accent),
        radius: this.radius(),
        accent,
        dark,
      });
    });
    this.deck.setProps({ views, viewState, layers: this.layers } as never);
  }

  private radius(): number {
    const count = this.points?.count ?? 0;
    return count > 200_000 ? 1.6 : count > 20_000 ? 2.2 : 3.2;
  }

  private coverNow(): ImageData | null {
    return this.cover && this.paint && this.draw === "auto"
      ? this.cover.image(this.paint, this.selected)
      : null;
  }

  /** Whether the points on the map are far enough apart to be seen on top of the colours that fill it. */
  private pointsAreApart(): boolean {
    const each = 41_253 / (this.points?.count || 1); // square degrees of the sphere
    return Math.sqrt(each) / this.unitsPerPixel("globe") > APART_PX;
  }

  /** The circle of the globe on screen; null for the flat map. */
  disc(): { x: number; y: number; radius: number; pane: Box } | null {
    const box = this.boxes.globe;
    const [lon, lat] = [Number(this.looks.globe?.longitude), Number(this.looks.globe?.latitude)];
    if (!box || this.mapView !== "globe" || !Number.isFinite(lon + lat)) return null;
    const viewport = this.viewport("globe");
    const { width, height } = viewport;
    // the limb is nearer than 90 degrees, because the camera is near
    const away = Array.from({ length: 30 }, (_, i) => viewport.project([lon, lat + 60 + i])[1]! - height / 2);
    const radius = Math.max(...away.map(Math.abs));
    return { x: box.x + width / 2, y: box.y + height / 2, radius, pane: box };
  }

  private cellsOf(side: Side): Cells | null {
    const pairs = this.coordinates(side);
    if (!pairs || !this.paint || this.draw === "points") return null;
    const scale = this.unitsPerPixel(side);
    if (!(scale > 0 && scale < Infinity)) return null;
    const key = `${side} ${cellSize(scale)}`;
    const tally = this.tallies.get(key) ?? Tally.of(pairs, cellSize(scale), side === "globe");
    this.tallies.set(key, tally);
    if (this.draw !== "cells" && !tally.isCrowded(scale, this.radius())) return null;
    if (this.shownCells[side]?.tally !== tally)
      this.shownCells[side] = { tally, cells: tally.coloured(this.paint, this.selected) };
    return this.shownCells[side]!.cells;
  }

  /** The rings of one side; the same array while they do not change. */
  private marks(side: Side, accent: string): Mark[] {
    const marks = this.marksNow(side, accent);
    const text = JSON.stringify(marks);
    if (this.shownMarks[side]?.text !== text) this.shownMarks[side] = { text, marks };
    return this.shownMarks[side]!.marks;
  }

  private marksNow(side: Side, accent: string): Mark[] {
    const pairs = this.coordinates(side);
    if (!pairs) return [];
    const ringed: [number, string, boolean][] = this.rings.map(([id, colour]) => [id, colour, false]);
    if (this.pin && this.pin.id >= 0) ringed.push([this.pin.id, accent, true]);
    if (this.hover >= 0) ringed.push([this.hover, accent, true]);
    const placed: Mark[] =
      this.pin?.side === side && this.pin.id < 0
        ? [{ position: this.pin.place, colour: parseHex(accent), strong: true }]
        : [];
    return placed.concat(
      ringed
        .filter(([id]) => id < pairs.length / 2 && Number.isFinite(pairs[2 * id]! + pairs[2 * id + 1]!))
        .map(([id, colour, strong]) => ({
          position: [pairs[2 * id]!, pairs[2 * id + 1]!],
          colour: parseHex(colour),
          strong,
        })),
    );
  }
}

function isFinite(look: Look): boolean {
  const target = look.target as number[] | undefined;
  return [...(target ?? [look.longitude, look.latitude]), look.zoom].every(Number.isFinite);
}

/** deck.gl's globe grows with latitude, like a Mercator map; our zoom means the same size everywhere. */
function deckZoom(zoom: number, latitude: number): number {
  return zoom + Math.log2(Math.cos((Math.min(Math.abs(latitude), 85.05) * Math.PI) / 180));
}

function luminance(colour: string): number {
  const match = colour.match(/^#([0-9a-f]{6})$/i);
  if (!match) return 1;
  const [r, g, b] = parseHex(colour);
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}
