// The painted mask with its undo stack, and the agreement with Python about who changed it last.
import { decodeBits, encodeBits } from "../bitmap";

const STEPS_KEPT = 200;
const SENT_KEPT = 64;

export class Painting {
  cells: Uint8Array;
  revision = 0;
  private undone: Uint8Array[] = [];
  private done: Uint8Array[] = [];
  private passed: string;
  private sent: { bits: string; revision: number }[] = [];

  constructor(readonly size: number, bits: string) {
    this.cells = decodeBits(bits, size);
    this.passed = bits;
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

  /** Remember `before` as one step of undo, if anything changed since. */
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

  /** Note what goes to Python, so that its echo is known when it comes back. */
  send(): { bits: string; revision: number } {
    const value = { bits: encodeBits(this.cells), revision: ++this.revision };
    this.sent.push(value);
    if (this.sent.length > SENT_KEPT) this.sent.shift();
    return value;
  }

  /**
   * Take a mask from Python. Only a change of what Python passes counts, and not when it merely returns what we sent
   * (`known`: the newest revision Python had seen): a stroke painted meanwhile must not be lost.
   */
  receive(bits: string, known: number): boolean {
    this.revision = Math.max(this.revision, known);
    if (bits === this.passed) return false;
    this.passed = bits;
    const echo = this.sent.findIndex((value) => value.bits === bits && value.revision <= known);
    if (echo >= 0) {
      this.sent.splice(0, echo + 1);
      return false;
    }
    const before = this.cells;
    this.cells = decodeBits(bits, this.size);
    return this.commit(before);
  }
}
