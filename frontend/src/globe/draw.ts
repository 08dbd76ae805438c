// Drawing a lasso or a box over the scene.
import type { Ring } from "../polygon";

const SVG = "http://www.w3.org/2000/svg";
const SMALLEST_PX = 4;

export type DrawTool = "lasso" | "box";

export class DrawSheet {
  readonly node = document.createElementNS(SVG, "svg");
  private readonly path = document.createElementNS(SVG, "path");
  private points: [number, number][] = [];
  tool: DrawTool = "lasso";

  constructor(private readonly done: (tool: DrawTool, ring: Ring, began: number) => void) {
    this.node.classList.add("drawing");
    this.node.append(this.path);
    this.node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.node.setPointerCapture(event.pointerId);
      this.points = [this.at(event)];
    });
    this.node.addEventListener("pointermove", (event) => {
      if (!this.points.length) return;
      const events = event.getCoalescedEvents?.() ?? [];
      this.points.push(...(events.length ? events : [event]).map((each) => this.at(each)));
      this.show();
    });
    this.node.addEventListener("pointerup", () => {
      const began = performance.now();
      const ring = this.ring();
      this.cancel();
      const xs = ring.map(([x]) => x);
      const ys = ring.map(([, y]) => y);
      const size = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
      if (ring.length >= 3 && size >= SMALLEST_PX) this.done(this.tool, ring, began);
    });
    this.node.addEventListener("pointercancel", () => this.cancel());
  }

  get isDrawing(): boolean {
    return this.points.length > 0;
  }

  cancel(): void {
    this.points = [];
    this.show();
  }

  private at(event: PointerEvent): [number, number] {
    const box = this.node.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  private ring(): [number, number][] {
    if (this.tool === "lasso" || this.points.length < 2) return this.points;
    const [[x0, y0], [x1, y1]] = [this.points[0]!, this.points[this.points.length - 1]!];
    return [
      [x0, y0],
      [x1, y0],
      [x1, y1],
      [x0, y1],
    ];
  }

  private show(): void {
    const ring = this.ring();
    this.path.setAttribute("d", ring.length > 1 ? `M${ring.map(([x, y]) => `${x} ${y}`).join("L")}Z` : "");
  }
}
