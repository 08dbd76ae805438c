// At high zoom, tiles replace points: small pictures over the scene while the camera rests.
import { h } from "../dom";
import type { Side } from "./data";
import type { Scene } from "./scene";

const MOST_TILES = 60;
const SIDE_PX = 56;
const SAMPLES = [0.02, 0.26, 0.5, 0.74, 0.98];

interface Tile {
  id: number;
  x: number;
  y: number;
}

export class NearTiles {
  readonly node = h("div", { class: "near", "aria-hidden": "true" });
  private tiles: Tile[] = [];
  private shown = "";

  hide(): void {
    this.tiles = [];
    this.shown = "";
    this.node.replaceChildren();
  }

  /** `template` is the address of a picture with "{id}" for the row. */
  show(scene: Scene, template: string): void {
    this.tiles = (["globe", "plane"] as const).flatMap((side) =>
      scene.drawn[side] === "points" ? tilesOf(scene, side) : [],
    );
    const shown = JSON.stringify([
      this.tiles,
      template,
      scene.selected && this.tiles.map(({ id }) => scene.selected![id]),
    ]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.node.replaceChildren(
      ...this.tiles.map(({ id, x, y }) => {
        const faded = scene.selected && !scene.selected[id] ? ";opacity:.3" : "";
        const colour = `rgb(${scene.paint!.of(id).join()})`;
        const style = `left:${x - SIDE_PX / 2}px;top:${y - SIDE_PX / 2}px;border-color:${colour}${faded}`;
        return h("img", { src: template.replaceAll("{id}", String(id)), alt: "", style });
      }),
    );
  }

  /** The row whose tile is under a pixel, or -1. */
  at(x: number, y: number): number {
    return (
      this.tiles.find((tile) => Math.abs(tile.x - x) <= SIDE_PX / 2 && Math.abs(tile.y - y) <= SIDE_PX / 2)
        ?.id ?? -1
    );
  }
}

/**
 * The tiles of one side in view, if they are few and the globe fills the view; the first of any that overlap.
 */
function tilesOf(scene: Scene, side: Side): Tile[] {
  const [box, pairs] = [scene.boxOf(side), scene.coordinates(side)];
  if (!box || !pairs || !scene.paint) return [];
  const places = SAMPLES.flatMap((v) =>
    SAMPLES.map((u) => scene.placeAt(side, box.x + u * box.width, box.y + v * box.height)),
  );
  const middle = places[12];
  if (!middle || places.some((place) => place === null)) return [];
  const across = (a: number) =>
    side === "globe" ? ((((a - middle[0]) % 360) + 540) % 360) - 180 : a - middle[0];
  const [as, bs] = [places.map((place) => across(place![0])), places.map((place) => place![1])];
  const [west, east, south, north] = [Math.min(...as), Math.max(...as), Math.min(...bs), Math.max(...bs)];
  const ids: number[] = [];
  for (let i = 0; i < pairs.length / 2; i++) {
    const b = pairs[2 * i + 1]!;
    if (!(b >= south && b <= north)) continue;
    const a = across(pairs[2 * i]!);
    if (!(a >= west && a <= east)) continue;
    ids.push(i);
    if (ids.length > MOST_TILES) return [];
  }
  const projector = scene.projector(side);
  const tiles: Tile[] = [];
  for (const id of ids) {
    const at = projector.project(pairs[2 * id]!, pairs[2 * id + 1]!);
    if (!at || scene.sideAt(...at) !== side) continue;
    const [x, y] = at.map(Math.round) as [number, number];
    const corners = [-1, 1].flatMap((u) =>
      [-1, 1].map((v) => scene.sideAt(x + (u * SIDE_PX) / 2, y + (v * SIDE_PX) / 2)),
    );
    if (corners.some((other) => other !== null && other !== side)) continue; // it would overlap the other map
    if (tiles.every((tile) => Math.max(Math.abs(tile.x - x), Math.abs(tile.y - y)) > SIDE_PX + 4))
      tiles.push({ id, x, y });
  }
  return tiles;
}
