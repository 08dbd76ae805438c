// The painted mask with its undo stack.
import { decodeBits, encodeBits } from "../bitmap";
import { Echo } from "../echo";

const STEPS_KEPT = 200;

export class Painting {
  cells: Uint8Array;
  private undone: Uint8Array[] = [];
  private done: Uint8Array[] = [];
  private readonly echo: Echo;

  constructor(
    readonly size: number,
    bits: string,
    known: number,
  ) {
    this.cells = decodeBits(bits, size);
    this.echo = new Echo(bits);
    this.echo.revision = known;
  }

  get revision(): number {
    return this.echo.revision;
  }

  get hidden(): number {
    return this.cells.reduce((sum, cell) => sum + cell, 0);
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** Store `before` as one step of undo, if anything has changed since. */
  commit(before: Uint8Array): boolean {
    if (before.every((cell, i) => cell === this.cells[i])) return false;
    this.done.push(before);
    if (this.done.length > STEPS_KEPT) this.done.shift();
    this.undone = [];
    return true;
  }

  step(from: "undo" | "redo"): boolean {
    const [take, give] = from === "undo" ? [this.done, this.undone] : [this.undone, this.done];
    const cells = take.pop();
    if (!cells) return false;
    give.push(this.cells);
    this.cells = cells;
    return true;
  }

  send(): { bits: string; revision: number } {
    const bits = encodeBits(this.cells);
    return { bits, revision: this.echo.send(bits) };
  }

  /** Apply a mask from Python as one step of undo; false if Python passes no new one. */
  receive(bits: string, known: number): boolean {
    if (!this.echo.isNews(bits, known)) return false;
    const before = this.cells;
    this.cells = decodeBits(bits, this.size);
    return this.commit(before);
  }
}
