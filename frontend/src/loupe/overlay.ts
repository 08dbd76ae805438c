// What is drawn over a picture: a magnified view of the place under the pointer, or a wipe to another picture.
import { h } from "../dom";

const LENS_SHARE = 0.46;
const LENS_PX: [number, number] = [56, 190];
const LIGHT_AND_DARK = "0 0 0 1px #000a";

/** A place in a picture, as fractions of its width and height. */
export type Place = [x: number, y: number];

export class Overlay {
  private readonly box = h("div", { "data-overlay": true, "aria-hidden": "true" });

  private constructor(private readonly picture: HTMLImageElement) {}

  static over(picture: HTMLImageElement): Overlay {
    const overlay = new Overlay(picture);
    picture.parentElement!.style.position = "relative"; // before the offsets, which depend on it
    const { offsetLeft: left, offsetTop: top, offsetWidth: width, offsetHeight: height } = picture;
    Object.assign(overlay.box.style, {
      position: "absolute",
      left: `${left}px`,
      top: `${top}px`,
      width: `${width}px`,
      height: `${height}px`,
      borderRadius: "8px",
      overflow: "hidden",
      pointerEvents: "none",
    });
    picture.parentElement!.append(overlay.box);
    return overlay;
  }

  /** A round lens at the place, magnified `zoom` times relative to the picture on the page. */
  magnify([x, y]: Place, zoom: number): void {
    const { offsetWidth: width, offsetHeight: height } = this.picture;
    const side = Math.min(Math.max(LENS_SHARE * width, LENS_PX[0]), LENS_PX[1]);
    const lens = h("div", { "data-lens": true });
    Object.assign(lens.style, {
      position: "absolute",
      left: `${x * width - side / 2}px`,
      top: `${y * height - side / 2}px`,
      width: `${side}px`,
      height: `${side}px`,
      boxSizing: "border-box",
      border: "2px solid #fff",
      boxShadow: LIGHT_AND_DARK,
      borderRadius: "50%",
      background: `#63737b url("${this.picture.src}") no-repeat`,
      backgroundOrigin: "border-box",
      backgroundSize: `${width * zoom}px ${height * zoom}px`,
      backgroundPosition: `${side / 2 - x * width * zoom}px ${side / 2 - y * height * zoom}px`,
      imageRendering: "pixelated",
    });
    this.box.replaceChildren(lens);
  }

  /** The other picture left of the place, this one right of it. */
  wipe([x]: Place, other: HTMLImageElement, name: string): void {
    const before = h("img", { src: other.src, alt: "", "data-wipe": true });
    Object.assign(before.style, {
      width: "100%",
      height: "100%",
      display: "block",
      imageRendering: "pixelated",
      clipPath: `inset(0 ${100 * (1 - x)}% 0 0)`,
    });
    const line = h("div");
    Object.assign(line.style, {
      position: "absolute",
      top: "0",
      bottom: "0",
      left: `calc(${100 * x}% - 1px)`,
      width: "2px",
      background: "#fff",
      boxShadow: LIGHT_AND_DARK,
    });
    const tag = h("div", {}, `← ${name}`);
    Object.assign(tag.style, {
      position: "absolute",
      left: "6px",
      bottom: "6px",
      padding: "2px 7px",
      borderRadius: "4px",
      background: "#000b",
      color: "#fff",
      fontSize: "12px",
    });
    this.box.replaceChildren(before, line, tag);
  }

  remove(): void {
    this.box.remove();
  }
}
