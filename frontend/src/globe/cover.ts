// Colours that fill the map: each pixel has the colour of the row that covers it.
import type { Paint } from "./colours";
import type { SurfaceRows } from "./data";

const FADED_ALPHA = 46;

export class Cover {
  private painted: { paint: Paint; selected: Uint8Array | null; image: ImageData } | null = null;

  constructor(private readonly rows: SurfaceRows) {}

  /** The picture for these colours; the same object while they do not change. */
  image(paint: Paint, selected: Uint8Array | null): ImageData {
    if (this.painted?.paint !== paint || this.painted.selected !== selected)
      this.painted = { paint, selected, image: this.draw(paint, selected) };
    return this.painted.image;
  }

  private draw(paint: Paint, selected: Uint8Array | null): ImageData {
    const { width, height, rows } = this.rows;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const rgba = new Uint32Array(paint.rgba(paint.count, selected, 255, FADED_ALPHA).buffer);
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      if (row >= 0) pixels[i] = rgba[row]!;
    }
    return image;
  }
}
