// Linked globe: points on the Earth and in their projection, with one selection, computed in the browser.
import { h, keepKeys } from "../dom";
import { KeyList, keysCss } from "../keys";
import { Echo } from "../echo";
import { mounted, type Instance, type Send } from "../mount";
import { decodeRing, encodeRing, insideMask, type Ring } from "../polygon";
import toolbarCss from "../toolbar.css?inline";
import { Paint } from "./colours";
import {
  fetchColours,
  fetchPoints,
  fetchSurface,
  FileError,
  type Chosen,
  type GlobeData,
  type Side,
} from "./data";
import { DrawSheet, type DrawTool } from "./draw";
import css from "./globe.css?inline";
import { legendOf } from "./legend";
import { globeOutline, planeOutline } from "./outline";
import { Scene, surface } from "./scene";
import { StillScene } from "./still";
import { Cover } from "./cover";
import { NearTiles } from "./tiles";
import { KEYS, Toolbar, type Action, type Tool } from "./toolbar";

export { decodeRing, encodeRing, insideMask } from "../polygon";

const MAX_IDS = 200;
const REACH_PX = 9;
const CLICK_PX = 5;
const CAMERA_REST_MS = 600;
const TILES_DELAY_MS = 250;
const MAX_UNDO = 50;
const NARROW_PX = 640;
const [STEP_PX, STEP_DOUBLINGS] = [60, 0.5];
const STEPS: Record<string, [rightPx: number, upPx: number, doublings: number]> = {
  ArrowLeft: [-STEP_PX, 0, 0],
  ArrowRight: [STEP_PX, 0, 0],
  ArrowUp: [0, STEP_PX, 0],
  ArrowDown: [0, -STEP_PX, 0],
  "+": [0, 0, STEP_DOUBLINGS],
  "=": [0, 0, STEP_DOUBLINGS],
  "-": [0, 0, -STEP_DOUBLINGS],
  _: [0, 0, -STEP_DOUBLINGS],
};

class LinkedGlobe implements Instance<GlobeData> {
  private data: GlobeData | null = null;
  private tool: Tool = "move";
  private chosen: Chosen | null = null;
  private count = 0;
  private undone: (Chosen | null)[] = [];
  private flown: string | null = null;
  private revealed: string | null = null;
  private keySide: Side = "globe";
  private loading: AbortController | null = null;
  private loaded: string | null = null;
  private surfaceUrl: string | null = null;
  private newCamera = false;
  private newSelection: { chosen: Chosen | null } | null = null;
  private cameraTimer = 0;
  private pressed: { x: number; y: number } | null = null;
  private drawnAt: number | null = null;
  private statusRevision = 0;
  private readonly selectionEcho = new Echo("null");
  private readonly cameraEcho = new Echo("null");

  private readonly place = h("div", { class: "scene" });
  private readonly message = h("div", { class: "message", role: "status" }, "Loading points …");
  private readonly glow = h("div", { class: "glow" });
  private readonly shade = h("div", { class: "shade" });
  private readonly tip = h("div", { class: "tip", hidden: true });
  private readonly counted = h("span", { class: "counted", "aria-live": "polite" });
  private readonly where = h("span", { class: "where" });
  private readonly sheet = new DrawSheet((tool, ring, began) => this.drew(tool, ring, began));
  private readonly gone = new AbortController();
  private readonly keyList = new KeyList(() => KEYS, this.gone.signal);
  private readonly toolbar = new Toolbar(
    (tool) => this.choose(tool),
    (action) => this.act(action),
    (opacity) => {
      if (!this.scene) return;
      this.scene.opacity = opacity;
      this.scene.apply();
    },
    this.keyList.button,
  );
  private readonly names = {
    globe: h("div", { class: "side", "data-side": "globe" }, "On the Earth"),
    plane: h("div", { class: "side", "data-side": "plane" }, "Embedding space"),
  };
  private legend: HTMLElement | null = null;
  private readonly scene: Scene | null = null;
  private readonly tiles = new NearTiles();
  private tilesTimer = 0;
  private readonly still = new StillScene((side, place) => this.clickedStill(side, place));
  private readonly observer = new ResizeObserver(() => this.fit());

  constructor(
    private readonly root: HTMLElement,
    private readonly send: Send,
  ) {
    root.className = "globe";
    this.place.setAttribute("role", "group");
    root.append(
      this.toolbar.node,
      this.place,
      h("div", { class: "status" }, this.counted, this.where),
      this.keyList.dialog,
    );
    this.place.append(
      this.shade,
      this.tiles.node,
      this.message,
      this.names.globe,
      this.names.plane,
      this.sheet.node,
      this.tip,
    );
    keepKeys(root);
    const drawnOn = surface();
    if (!drawnOn) {
      this.toolbar.node.hidden = this.names.globe.hidden = this.names.plane.hidden = true;
      this.say("This browser cannot draw the globe: it has no WebGL 2.");
      return;
    }
    this.scene = new Scene(this.place, drawnOn, {
      moved: () => this.cameraMoved(),
      rendered: () => {
        this.light();
        this.rendered();
      },
      failed: (words) => console.error(`linked globe: ${words}`),
    });
    this.place.prepend(this.glow);
    this.listen();
    this.observer.observe(this.place);
    this.choose("move");
  }

  destroy(): void {
    this.observer.disconnect();
    this.loading?.abort();
    this.gone.abort();
    clearTimeout(this.cameraTimer);
    clearTimeout(this.tilesTimer);
    this.scene?.destroy();
  }

  update(data: GlobeData): void {
    const before = this.data;
    this.data = data;
    if (!this.scene) {
      if (!before) this.send("status", { webgl: false, revision: ++this.statusRevision });
      if (data.still) this.showStill(data);
      return;
    }
    this.place.setAttribute(
      "aria-label",
      `${data.label}: globe and projection. Arrow keys move and plus and minus zoom the map that was ` +
        "clicked last. M moves, L lasso, B box, G flat map, H shows everything, F full screen.",
    );
    this.legend?.remove();
    this.legend = legendOf(data, this.place.clientWidth >= NARROW_PX);
    if (this.legend) this.place.append(this.legend);
    if (before?.draw !== data.draw) this.scene.draw = data.draw;
    this.scene.rings = data.rings;
    this.scene.basemap = data.basemap;
    if (before?.coast !== data.coast) void this.loadCoast(data.coast);
    this.fit();
    if (this.revealed !== null && this.revealed !== data.reveal)
      this.root.scrollIntoView({ block: "start", behavior: "smooth" });
    this.revealed = data.reveal;
    if (this.cameraEcho.isNews(JSON.stringify(data.camera), data.knownCamera)) this.newCamera = true;
    if (this.selectionEcho.isNews(selectionText(data.selection), data.knownSelection))
      this.newSelection = { chosen: data.selection };
    const recolour =
      before?.points !== data.points ||
      before.surface !== data.surface ||
      before.colours !== data.colours ||
      before.palette.join() !== data.palette.join();
    if (recolour) void this.load();
    else if (this.loaded === data.points) this.afterLoad();
    this.refresh();
  }

  private showStill(data: GlobeData): void {
    this.say("");
    this.still.show(data.still!, data.label);
    this.legend?.remove();
    this.legend = legendOf(data, true);
    this.place.replaceChildren(this.still.node, ...(this.legend ? [this.legend] : []));
    this.place.style.height = "auto";
    this.counted.textContent =
      "This browser has no WebGL 2, so these are pictures: click one to select the nearest place.";
  }

  private clickedStill(side: Side, place: [number, number]): void {
    const pin = place.map(Math.fround) as [number, number];
    const chosen: Chosen = { side, kind: "click", polygon: encodeRing([pin]), ids: [] };
    this.report(chosen, 0);
  }

  // ---- points ---------------------------------------------------------------------------------------------

  /** Fetch points and colours that are not loaded yet. A new call aborts the one before. */
  private async load(): Promise<void> {
    const { scene, data } = this;
    if (!scene || !data) return;
    const reload = this.loaded !== data.points;
    this.loading?.abort();
    const { signal } = (this.loading = new AbortController());
    const began = performance.now();
    try {
      const newSurface = reload || this.surfaceUrl !== data.surface;
      const [points, own, surface] = await Promise.all([
        reload ? fetchPoints(data.points, signal) : scene.points!,
        data.colours && fetchColours(data.colours, signal),
        newSurface && data.surface ? fetchSurface(data.surface, signal) : null,
      ]);
      if (signal.aborted) return;
      const colours = own || { count: points.count, rgb: false, values: points.classes };
      if (colours.count !== points.count)
        throw new FileError("The colours belong to another table than the points: reload the page.");
      performance.measure("linked-globe:fetch", { start: began });
      if (points !== scene.points) scene.setPoints(points, this.data!.camera !== null);
      this.loaded = data.points;
      if (newSurface) scene.cover = surface?.rows.length ? new Cover(surface) : null;
      this.surfaceUrl = data.surface;
      scene.paint = new Paint(colours, data.palette);
      this.showSelection();
      this.afterLoad();
      this.say(points.count ? "" : "There are no points in this table.");
      this.drawnAt = began;
      this.refresh();
    } catch (error) {
      if (signal.aborted) return;
      const words =
        error instanceof FileError
          ? error.message
          : "The points could not be loaded: check that the app is running, then reload the page.";
      this.say(words);
      this.send("status", { webgl: true, problem: words, revision: ++this.statusRevision });
    }
  }

  /** Coastlines are an ornament: without them the map is still complete. */
  private async loadCoast(url: string | null): Promise<void> {
    const coast = url && (await fetchPoints(url, this.gone.signal).catch(() => null));
    if (!this.scene || this.gone.signal.aborted) return;
    this.scene.coast = coast ? coast.lonlat : null;
    this.scene.apply();
  }

  private afterLoad(): void {
    const { scene, data } = this;
    if (!scene?.points || !data) return;
    if (this.newSelection) this.apply(this.newSelection.chosen);
    if (this.newCamera && data.camera) scene.camera = data.camera;
    else if (this.newCamera) scene.home();
    this.newSelection = null;
    this.newCamera = false;
    const { flyTo } = data;
    if (flyTo && flyTo.token !== this.flown) {
      this.flown = flyTo.token;
      scene.fly(flyTo.lon, flyTo.lat, flyTo.zoom);
    } else scene.apply();
  }

  // ---- selection ------------------------------------------------------------------------------------------

  private drew(tool: DrawTool, screen: Ring, began: number): void {
    const { scene } = this;
    const [x, y] = screen[0]!;
    const side = scene?.sideAt(x, y);
    if (!scene?.points || !side) return;
    const projector = scene.projector(side);
    const ring =
      scene.viewOf(side) === "globe" ? globeOutline(screen, projector) : planeOutline(screen, projector);
    if (ring.length < 3) return;
    this.select({ side, kind: tool, polygon: encodeRing(ring), ids: [] }, began);
  }

  private rowAt(side: Side, x: number, y: number): number {
    const tile = this.tiles.at(x, y);
    return tile >= 0 ? tile : this.scene!.pointAt(side, x, y, REACH_PX);
  }

  private clicked(x: number, y: number): void {
    const { scene } = this;
    const began = performance.now();
    const side = scene?.sideAt(x, y);
    if (!scene?.points || !side) return;
    const id = this.rowAt(side, x, y);
    const place = scene.placeAt(side, x, y);
    if (!place || (id < 0 && side === "plane")) {
      if (this.chosen) this.select(null, began);
      return;
    }
    const pin = place.map(Math.fround) as [number, number];
    scene.pin = { side, place: pin, id };
    this.drawnAt = began;
    scene.apply();
    const ids = id < 0 ? [] : [id];
    // the selected place, which leaves the lasso as it is
    this.report({ side, kind: "click", polygon: encodeRing([pin]), ids }, ids.length);
  }

  /** Apply a selection made by the user: store the old one for undo, show it, report it to Python. */
  private select(next: Chosen | null, began = performance.now()): void {
    this.undone.push(this.chosen);
    if (this.undone.length > MAX_UNDO) this.undone.shift();
    this.settle(next, began);
  }

  private settle(next: Chosen | null, began: number): void {
    this.chosen = next;
    this.drawnAt = began;
    this.showSelection();
    performance.measure("linked-globe:select", { start: began });
    this.report(this.chosen ?? { side: "globe", kind: "none", polygon: "", ids: [] }, this.count);
    this.refresh();
  }

  private report(selection: Chosen | Nothing, count: number): void {
    const { side, kind, polygon, ids } = selection;
    const revision = this.selectionEcho.send(selectionText(this.chosen));
    this.send("selection", {
      side,
      kind,
      polygon,
      ids,
      count,
      points: this.data!.points,
      about: this.data!.about,
      revision,
    });
  }

  /** Apply a selection made by the page in Python: one step of undo, nothing to report. */
  private apply(next: Chosen | null): void {
    this.undone.push(this.chosen);
    this.chosen = next;
    this.showSelection();
  }

  private showSelection(): void {
    const { scene, chosen } = this;
    if (!scene?.points) return;
    scene.outline = null;
    scene.selected = null;
    if (!chosen || chosen.kind === "click") scene.pin = null;
    this.count = 0;
    const pairs = chosen && scene.coordinates(chosen.side);
    if (chosen && pairs) {
      const ring = decodeRing(chosen.polygon);
      if (chosen.kind === "click") {
        scene.pin = ring[0] ? { side: chosen.side, place: ring[0], id: chosen.ids[0] ?? -1 } : null;
        this.count = chosen.ids.length;
      } else {
        const inside = insideMask(ring, pairs, chosen.side === "globe");
        for (const one of inside) this.count += one;
        scene.outline = { side: chosen.side, ring };
        scene.selected = inside;
        this.chosen = { ...chosen, ids: firstRows(inside) };
      }
    }
    scene.repaint();
  }

  /** Keep the shading and the glow of the globe where the globe is, and inside its map. */
  private light(): void {
    const disc = this.scene?.disc();
    for (const node of [this.glow, this.shade]) {
      node.hidden = !disc;
      if (!disc) continue;
      const { radius, pane } = disc;
      const [left, top] = [disc.x - radius, disc.y - radius];
      node.style.left = `${left}px`;
      node.style.top = `${top}px`;
      node.style.width = node.style.height = `${2 * radius}px`;
      const edges = [
        pane.y - top,
        left + 2 * radius - pane.x - pane.width,
        top + 2 * radius - pane.y - pane.height,
        pane.x - left,
      ];
      node.style.clipPath = `inset(${edges.map((edge) => `${edge}px`).join(" ")})`;
    }
  }

  private rendered(): void {
    if (this.drawnAt === null || !this.scene?.points || !this.scene.isComplete) return;
    performance.measure("linked-globe:highlight", { start: this.drawnAt });
    this.drawnAt = null;
  }

  // ---- input ----------------------------------------------------------------------------------------------

  private choose(tool: Tool): void {
    this.tool = tool;
    this.root.dataset.tool = tool;
    if (tool !== "move") this.sheet.tool = tool;
    this.hover(-1);
    this.refresh();
  }

  private act(action: Action): void {
    const { scene } = this;
    if (!scene) return;
    if (action === "undo" && this.undone.length) this.settle(this.undone.pop() ?? null, performance.now());
    else if (action === "clear" && this.chosen) this.select(null);
    else if (action === "home") {
      scene.home();
      this.cameraMoved();
    } else if (action === "view") {
      scene.mapView = scene.mapView === "globe" ? "flat" : "globe";
      scene.apply();
      this.cameraMoved();
    } else if (action === "draw") {
      scene.draw = ({ auto: "points", points: "cells", cells: "auto" } as const)[scene.draw];
      scene.apply();
    } else if (action === "full screen")
      void (this.isFull ? document.exitFullscreen() : this.root.requestFullscreen());
    this.refresh();
  }

  private get isFull(): boolean {
    return (this.root.getRootNode() as Document | ShadowRoot).fullscreenElement === this.root;
  }

  private listen(): void {
    const at = (event: PointerEvent) => {
      const box = this.place.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    this.place.addEventListener("pointerdown", (event) => {
      this.pressed = event.button === 0 && event.isPrimary ? at(event) : null;
      this.keySide = this.scene?.sideAt(at(event).x, at(event).y) ?? this.keySide;
    });
    this.place.addEventListener("pointerup", (event) => {
      const { x, y } = at(event);
      const still = this.pressed && Math.hypot(this.pressed.x - x, this.pressed.y - y) < CLICK_PX;
      const onScene = !(event.target as Element).closest?.(".legend");
      this.pressed = null;
      if (still && onScene && this.tool === "move") this.clicked(x, y);
    });
    this.place.addEventListener("pointermove", (event) => {
      if (event.buttons || event.pointerType === "touch" || this.tool !== "move") return this.hover(-1);
      const { x, y } = at(event);
      const side = this.scene?.sideAt(x, y);
      this.hover(side && this.scene?.points ? this.rowAt(side, x, y) : -1, x, y, side);
    });
    this.place.addEventListener("pointerleave", () => this.hover(-1));
    this.root.addEventListener("keydown", (event) => {
      if (this.key(event)) event.preventDefault();
    });
    for (const press of ["pointerdown", "keydown"])
      window.addEventListener(press, (event) => this.pressedOutside(event), {
        capture: true,
        signal: this.gone.signal,
      });
  }

  private key(event: KeyboardEvent): boolean {
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") this.act("undo");
      return key === "z";
    }
    if (STEPS[event.key] && this.place.contains(event.target as Node)) return this.step(...STEPS[event.key]!);
    const tools: Record<string, Tool> = { m: "move", l: "lasso", b: "box" };
    const actions: Record<string, Action> = {
      delete: "clear",
      g: "view",
      d: "draw",
      h: "home",
      f: "full screen",
    };
    if (key === "escape" && this.sheet.isDrawing) this.sheet.cancel();
    else if (key === "escape" && this.tool !== "move") this.choose("move");
    else if (tools[key]) this.choose(tools[key]);
    else if (actions[key]) this.act(actions[key]);
    else return false;
    return true;
  }

  /** A key moves the map that was clicked last, or the only one. */
  private step(rightPx: number, upPx: number, doublings: number): boolean {
    const { scene } = this;
    if (!scene?.points) return false;
    const side = scene.boxOf(this.keySide) ? this.keySide : this.keySide === "globe" ? "plane" : "globe";
    this.hover(-1);
    scene.step(side, rightPx, upPx, doublings);
    return true;
  }

  private hover(id: number, x = 0, y = 0, side: Side | null | undefined = null): void {
    const { scene, data, tip } = this;
    if (!scene || !data) return;
    const place = side && scene.placeAt(side, x, y);
    this.where.textContent =
      side === "globe" && place ? `${degrees(place[1], "N", "S")} ${degrees(place[0], "E", "W")}` : "";
    this.place.style.cursor = id >= 0 ? "pointer" : "";
    if (scene.hover !== id) {
      scene.hover = id;
      scene.apply();
      tip.replaceChildren(...(id < 0 ? [] : this.tipContent(id)));
    }
    tip.hidden = id < 0;
    if (id < 0) return;
    const { clientWidth, clientHeight } = this.place;
    tip.style.left = `${x + 14 + 180 > clientWidth ? Math.max(0, x - 14 - tip.offsetWidth) : x + 14}px`;
    tip.style.top = `${Math.max(0, Math.min(y + 14, clientHeight - tip.offsetHeight - 4))}px`;
  }

  private tipContent(id: number): Node[] {
    const { scene, data } = this;
    const lonlat = scene!.points!.lonlat;
    const name = data!.legend?.entries.find(
      ([, position]) => !scene!.paint!.colours.rgb && position === scene!.paint!.colours.values[id],
    )?.[0];
    const ring = data!.rings.find(([ringed]) => ringed === id)?.[2];
    const place =
      lonlat && Number.isFinite(lonlat[2 * id]!)
        ? `${degrees(lonlat[2 * id + 1]!, "N", "S")} ${degrees(lonlat[2 * id]!, "E", "W")}`
        : "no location";
    const words = [ring, name, `No. ${id}`, place].filter((word): word is string => Boolean(word));
    const picture = data!.thumbnail
      ? [
          h("img", {
            src: data!.thumbnail.replaceAll("{id}", String(id)),
            alt: `Tile ${id}`,
            width: 112,
            height: 112,
          }),
        ]
      : [];
    return [...picture, ...words.map((word) => h("div", {}, word))];
  }

  // ---- frame ----------------------------------------------------------------------------------------------

  /** Show tiles instead of points once the camera rests. */
  private showTiles(): void {
    clearTimeout(this.tilesTimer);
    this.tilesTimer = window.setTimeout(() => {
      if (this.scene?.points && this.data?.thumbnail) this.tiles.show(this.scene, this.data.thumbnail);
      else this.tiles.hide();
    }, TILES_DELAY_MS);
  }

  private cameraMoved(): void {
    this.tiles.hide();
    this.showTiles();
    if (!this.data?.reportCamera) return;
    clearTimeout(this.cameraTimer);
    this.cameraTimer = window.setTimeout(() => this.reportCamera(), CAMERA_REST_MS);
  }

  private reportCamera(): void {
    clearTimeout(this.cameraTimer);
    this.cameraTimer = 0;
    const camera = this.scene!.camera;
    this.send("camera", {
      ...camera,
      about: this.data!.about,
      revision: this.cameraEcho.send(JSON.stringify(camera)),
    });
  }

  /**
   * Report the camera before a press outside the map: a run that the camera causes later would replace the
   * button's.
   */
  private pressedOutside(event: Event): void {
    if (this.cameraTimer && !event.composedPath().includes(this.root)) this.reportCamera();
  }

  private fit(): void {
    if (!this.data) return;
    const narrow = this.root.clientWidth < NARROW_PX;
    const both = !this.scene?.points || (this.scene.points.lonlat && this.scene.points.xy);
    const height = narrow && both ? 2 * Math.min(this.root.clientWidth, this.data.height) : this.data.height;
    if (!this.isFull) this.place.style.height = `${this.scene ? height : 90}px`;
    this.scene?.layout();
  }

  private refresh(): void {
    const { scene } = this;
    if (!scene) return;
    this.showTiles();
    this.toolbar.show({
      tool: this.tool,
      canUndo: this.undone.length > 0,
      hasSelection: this.chosen !== null,
      view: scene.mapView,
      draw: scene.draw,
      opacity: scene.opacity,
    });
    this.names.globe.hidden = !scene.points?.lonlat;
    this.names.plane.hidden = !scene.points?.xy;
    const total = scene.points?.count ?? 0;
    const missing =
      scene.points && !scene.points.lonlat
        ? " · this table has no locations"
        : scene.points && !scene.points.xy
          ? " · this table has no projection"
          : "";
    this.counted.textContent =
      (this.chosen
        ? `${this.count.toLocaleString("en")} of ${total.toLocaleString("en")} selected`
        : `${total.toLocaleString("en")} points`) + missing;
  }

  private say(words: string): void {
    this.message.textContent = words;
    this.message.hidden = !words;
  }
}

type Nothing = { side: Side; kind: "none"; polygon: string; ids: number[] };

function selectionText(chosen: Chosen | null): string {
  return chosen ? JSON.stringify([chosen.side, chosen.kind, chosen.polygon]) : "null";
}

function firstRows(inside: Uint8Array): number[] {
  const rows: number[] = [];
  for (let i = 0; i < inside.length && rows.length < MAX_IDS; i++) if (inside[i]) rows.push(i);
  return rows;
}

function degrees(value: number, plus: string, minus: string): string {
  return `${Math.abs(value).toFixed(2)}° ${value >= 0 ? plus : minus}`;
}

export const globe = {
  css: toolbarCss + keysCss + css,
  create: (root: HTMLElement, send: Send): Instance<GlobeData> => new LinkedGlobe(root, send),
};

export default mounted(globe);
