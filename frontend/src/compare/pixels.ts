// The grey levels of a loaded picture, for the probe.

export class Pixels {
  private constructor(
    readonly width: number,
    readonly height: number,
    private readonly data: Uint8ClampedArray,
  ) {}

  static of(image: HTMLImageElement): Pixels | null {
    const { naturalWidth: width, naturalHeight: height } = image;
    if (!width || !height) return null;
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    context.drawImage(image, 0, 0);
    return new Pixels(width, height, context.getImageData(0, 0, width, height).data);
  }

  /** Red, green and blue at a place given in fractions of the picture. */
  at(x: number, y: number): [number, number, number] {
    const col = Math.min(Math.floor(x * this.width), this.width - 1);
    const row = Math.min(Math.floor(y * this.height), this.height - 1);
    const i = 4 * (row * this.width + col);
    return [this.data[i]!, this.data[i + 1]!, this.data[i + 2]!];
  }
}
