// Mask painter: paint which patches of a tile are hidden. Python receives the mask when a stroke ends.
import { h, keepKeys } from "../dom";
import { mounted, type Instance, type Send } from "../mount";
import toolbarCss from "../toolbar.css?inline";
import { Grid, type Cell } from "./grid";
import { markAnswer } from "./marks";
import css from "./painter.css?inline";
import { Painting } from "./painting";
import { Surface } from "./surface";
import { Toolbar, type Action, type Tool } from "./toolbar";

export { decodeBits, encodeBits } from "../bitmap";

export interface PainterData {
  image: string;
  rows: number;
  cols: number;
  mask: string;
  known: number;
  label: string;
  maxWidth: number;
  disabled: boolean;
}

/** A patch picked with the dropper, for which Python has not returned a mask yet. */
interface Pick {
  cell: Cell;
  revision: number;
}

interface Stroke {
  before: Uint8Array;
  hide: boolean;
  from: Cell;
  last: Cell;
  lasso: [number, number][];
  touched: number[];
}

class Painter implements Instance<PainterData> {
  private grid = new Grid(1, 1);
  private painting = new Painting(1, "AA", 0);
  private tool: Tool = "brush";
  private brushSize = 1;
  private peek = false;
  private cursor: Cell = { row: 0, col: 0 };
  private cursorShown = false;
  private hover: Cell | null = null;
  private stroke: Stroke | null = null;
  private pending: Pick | null = null;
  private data: PainterData | null = null;

  private readonly image = h("img", { alt: "", draggable: "false" });
  private readonly canvas = h("canvas", { tabindex: "0", role: "application" });
  private readonly failed = h(
    "div",
    { class: "failed", hidden: true, role: "alert" },
    "The picture could not be loaded: reload the page.",
  );
  private readonly stage = h("div", { class: "stage" }, this.image, this.canvas, this.failed);
  private readonly share = h("span", { class: "share" });
  private readonly place = h("span", { class: "place" });
  private readonly spoken = h("div", { class: "unseen", "aria-live": "polite" });
  private readonly status = h("div", { class: "status" }, this.share, this.place);
  private readonly surface = new Surface(this.canvas);
  private readonly toolbar: Toolbar;
  private readonly observer = new ResizeObserver(() => this.fit());

  constructor(
    private readonly root: HTMLElement,
    private readonly send: Send,
  ) {
    this.toolbar = new Toolbar(
      (tool) => this.choose(tool),
      (action) => this.act(action),
    );
    root.className = "painter";
    root.append(this.toolbar.node, this.stage, this.status, this.spoken);
    this.image.addEventListener("load", () => this.fit());
    this.image.addEventListener("error", () => (this.failed.hidden = false));
    this.listen();
    keepKeys(root);
    this.observer.observe(this.stage);
    this.choose("brush");
  }

  destroy(): void {
    this.observer.disconnect();
  }

  update(data: PainterData): void {
    const { grid } = this;
    if (!this.data || grid.rows !== data.rows || grid.cols !== data.cols) {
      this.grid = new Grid(data.rows, data.cols);
      this.painting = new Painting(this.grid.size, data.mask, Math.max(this.painting.revision, data.known));
      this.cursor = this.grid.cellAt(0.5, 0.5);
      this.hover = this.stroke = this.pending = null;
    } else this.receive(data.mask, data.known);
    if (this.pending && data.known >= this.pending.revision) this.pending = null;
    if (this.data?.image !== data.image) {
      this.failed.hidden = true;
      this.image.src = data.image;
    }
    this.data = data;
    this.stage.style.maxWidth = this.status.style.maxWidth = `${data.maxWidth}px`;
    this.root.toggleAttribute("data-disabled", data.disabled);
    this.canvas.setAttribute(
      "aria-label",
      `${data.label}: ${data.rows} rows of ${data.cols} patches. ` +
        "Arrow keys move, space hides or shows a patch. B brush, E eraser, R rectangle, L lasso, P pick, " +
        "brackets change the brush, I inverts.",
    );
    this.refresh();
  }

  /** Apply the mask that Python passes; a stroke in progress continues on top of it. */
  private receive(mask: string, known: number): void {
    const { painting, stroke } = this;
    if (!stroke) return void painting.receive(mask, known);
    const drawn = painting.cells;
    painting.cells = stroke.before;
    if (!painting.receive(mask, known)) return void (painting.cells = drawn);
    stroke.before = painting.cells;
    painting.cells = stroke.before.slice();
    for (const index of stroke.touched) painting.cells[index] = stroke.hide ? 1 : 0;
  }

  // ---- drawing --------------------------------------------------------------------------------------------

  private fit(): void {
    const { clientWidth, clientHeight } = this.stage;
    this.image.classList.toggle("enlarged", this.image.naturalWidth < clientWidth);
    this.surface.resize(clientWidth, clientHeight);
    this.draw();
  }

  private refresh(): void {
    const { painting } = this;
    this.count();
    this.toolbar.show({
      tool: this.tool,
      size: this.brushSize,
      peek: this.peek,
      canUndo: painting.canUndo,
      canRedo: painting.canRedo,
    });
    this.draw();
  }

  /** Say how much is hidden, the stroke in progress included. */
  private count(): void {
    const { hidden } = this.painting;
    const { size } = this.grid;
    this.share.textContent = `${hidden} of ${size} patches hidden (${Math.round((100 * hidden) / size)} %)`;
  }

  private draw(): void {
    const accent = getComputedStyle(this.root).getPropertyValue("--st-primary-color").trim() || "#ff4b4b";
    this.surface.draw(
      this.grid,
      {
        cells: this.painting.cells,
        preview: this.preview(),
        lasso: this.stroke?.lasso ?? [],
        cursor: this.cursorShown ? this.cursor : null,
        peek: this.peek,
      },
      accent,
    );
  }

  private preview(): number[] {
    if (this.stroke && this.tool === "rectangle") return this.grid.block(this.stroke.from, this.stroke.last);
    if (!this.hover) return [];
    return this.grid.brush(this.hover, this.tool === "brush" || this.tool === "eraser" ? this.brushSize : 1);
  }

  // ---- input ----------------------------------------------------------------------------------------------

  private choose(tool: Tool): void {
    this.tool = tool;
    this.root.dataset.tool = tool;
    this.refresh();
  }

  private act(action: Action): void {
    const { painting } = this;
    if (["undo", "redo", "invert", "clear", "hide all"].includes(action)) this.pending = null;
    if (action === "undo" || action === "redo") {
      if (painting.step(action)) this.report(action === "undo" ? "Undone" : "Redone");
    } else if (action === "smaller" || action === "larger") {
      this.brushSize = Math.min(Math.max(this.brushSize + (action === "larger" ? 1 : -1), 1), 5);
      this.spoken.textContent = `Brush ${this.brushSize}`;
    } else if (action === "peek") {
      this.peek = !this.peek;
    } else {
      const before = painting.cells;
      painting.cells = before.map((cell) => (action === "invert" ? 1 - cell : action === "hide all" ? 1 : 0));
      if (painting.commit(before))
        this.report(
          action === "invert"
            ? "Inverted"
            : action === "clear"
              ? "All patches visible"
              : "All patches hidden",
        );
    }
    this.refresh();
  }

  private report(words: string): void {
    const { bits, revision } = this.painting.send();
    if (this.pending?.revision === 0) this.pending.revision = revision;
    const pick = this.pending && [this.pending.cell.row, this.pending.cell.col];
    this.spoken.textContent = `${words}. ${this.painting.hidden} of ${this.grid.size} hidden.`;
    this.send("paint", { bits, rows: this.grid.rows, cols: this.grid.cols, revision, pick });
  }

  /**
   * Ask Python to hide patches similar to one. Each value replaces the last, so later strokes repeat the
   * request.
   */
  private pick(cell: Cell): void {
    this.pending = { cell, revision: 0 };
    this.report(`Row ${cell.row + 1}, column ${cell.col + 1} picked`);
  }

  private listen(): void {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => this.abandon());
    canvas.addEventListener("pointerleave", () => {
      this.hover = null;
      this.place.textContent = "";
      this.draw();
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("blur", () => {
      this.cursorShown = false;
      this.draw();
    });
    canvas.addEventListener("focus", () => {
      this.cursorShown = canvas.matches(":focus-visible");
      this.draw();
    });
    this.root.addEventListener("keydown", (event) => this.key(event));
  }

  private point(event: PointerEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  private press(event: PointerEvent): void {
    const began = performance.now();
    if (event.button > 2 || event.button === 1 || this.stroke) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.cursorShown = false;
    const at = this.point(event);
    const cell = this.grid.cellAt(...at);
    this.cursor = cell;
    if (this.tool === "pick") {
      this.pick(cell);
      return;
    }
    this.canvas.setPointerCapture(event.pointerId);
    const reveal =
      event.button === 2 ||
      event.shiftKey ||
      this.tool === "eraser" ||
      (this.tool === "brush" && this.painting.cells[this.grid.index(cell)] === 1);
    this.stroke = {
      before: this.painting.cells.slice(),
      hide: !reveal,
      from: cell,
      last: cell,
      lasso: this.tool === "lasso" ? [at] : [],
      touched: [],
    };
    if (this.tool === "brush" || this.tool === "eraser") this.stamp([cell]);
    this.answer(event, began);
  }

  private move(event: PointerEvent): void {
    const began = performance.now();
    const points = (event.getCoalescedEvents?.() ?? []).map((each) => this.point(each));
    if (!points.length) points.push(this.point(event));
    const cell = this.grid.cellAt(...points.at(-1)!);
    this.hover = cell;
    this.place.textContent = `row ${cell.row + 1}, column ${cell.col + 1}`;
    const { stroke } = this;
    if (stroke) {
      for (const point of points) {
        const next = this.grid.cellAt(...point);
        if (this.tool === "lasso") stroke.lasso.push(point);
        else if (this.tool !== "rectangle") this.stamp(this.grid.line(stroke.last, next));
        stroke.last = next;
      }
    }
    this.answer(event, began);
  }

  private release(event: PointerEvent): void {
    const began = performance.now();
    const { stroke, grid } = this;
    if (!stroke) return;
    if (this.tool === "rectangle") this.fill(grid.block(stroke.from, stroke.last));
    if (this.tool === "lasso")
      this.fill(stroke.lasso.length < 3 ? [grid.index(stroke.from)] : grid.lasso(stroke.lasso));
    this.stroke = null;
    if (this.painting.commit(stroke.before)) this.report(stroke.hide ? "Hidden" : "Shown");
    this.refresh();
    this.answer(event, began);
  }

  private abandon(): void {
    if (this.stroke) this.painting.cells = this.stroke.before;
    this.stroke = null;
    this.refresh();
  }

  private stamp(cells: Cell[]): void {
    for (const cell of cells) this.fill(this.grid.brush(cell, this.brushSize));
  }

  private fill(indices: number[]): void {
    const stroke = this.stroke!;
    for (const index of indices) this.painting.cells[index] = stroke.hide ? 1 : 0;
    stroke.touched.push(...indices);
  }

  private answer(event: PointerEvent, began: number): void {
    if (this.stroke) this.count();
    this.draw();
    markAnswer(event, began);
  }

  // ---- keyboard -------------------------------------------------------------------------------------------

  private key(event: KeyboardEvent): void {
    if (this.data?.disabled || (this.stroke && event.key !== "Escape")) return;
    const known = event.ctrlKey || event.metaKey ? this.chord(event) : this.plainKey(event);
    if (known) event.preventDefault();
  }

  private chord(event: KeyboardEvent): boolean {
    const key = event.key.toLowerCase();
    if (key === "z") this.act(event.shiftKey ? "redo" : "undo");
    else if (key === "y") this.act("redo");
    else return false;
    return true;
  }

  private plainKey(event: KeyboardEvent): boolean {
    const tools: Record<string, Tool> = { b: "brush", e: "eraser", r: "rectangle", l: "lasso", p: "pick" };
    const actions: Record<string, Action> = {
      "[": "smaller",
      "]": "larger",
      i: "invert",
      delete: "clear",
      v: "peek",
    };
    const key = event.key.toLowerCase();
    if (key === "escape" && this.stroke) this.abandon();
    else if (tools[key]) this.choose(tools[key]);
    else if (actions[key]) this.act(actions[key]);
    else return event.target === this.canvas && this.cursorKey(event.key);
    return true;
  }

  private cursorKey(key: string): boolean {
    const steps: Record<string, [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const { grid, cursor, painting } = this;
    this.cursorShown = true;
    if (steps[key]) {
      const [down, right] = steps[key];
      this.cursor = {
        row: Math.min(Math.max(cursor.row + down, 0), grid.rows - 1),
        col: Math.min(Math.max(cursor.col + right, 0), grid.cols - 1),
      };
      const hidden = painting.cells[grid.index(this.cursor)] === 1;
      const place = `row ${this.cursor.row + 1}, column ${this.cursor.col + 1}`;
      this.spoken.textContent = `R${place.slice(1)}, ${hidden ? "hidden" : "visible"}`;
      this.place.textContent = place;
      this.draw();
    } else if (key === " " || key === "Enter") this.toggleAtCursor();
    else return false;
    return true;
  }

  private toggleAtCursor(): void {
    const { grid, cursor, painting } = this;
    if (this.tool === "pick") return this.pick(cursor);
    const before = painting.cells.slice();
    const value = this.tool === "eraser" || before[grid.index(cursor)] ? 0 : 1;
    for (const index of grid.brush(cursor, this.brushSize)) painting.cells[index] = value;
    if (painting.commit(before)) this.report(value ? "Hidden" : "Shown");
    this.refresh();
  }
}

export const painter = {
  css: toolbarCss + css,
  create: (root: HTMLElement, send: Send): Instance<PainterData> => new Painter(root, send),
};

export default mounted(painter);
