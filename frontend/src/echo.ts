// Who changed a value last, the person here or the page in Python? Only a change of what Python passes counts, and not when it
// merely returns what we sent (`known`: the newest revision Python had seen): what is done meanwhile must not be lost.

const SENT_KEPT = 64;

export class Echo {
  revision = 0;
  private sent: { text: string; revision: number }[] = [];

  constructor(private passed: string) {}

  /** Note what goes to Python, so that its echo is known when it comes back; gives its revision. */
  send(text: string): number {
    this.sent.push({ text, revision: ++this.revision });
    if (this.sent.length > SENT_KEPT) this.sent.shift();
    return this.revision;
  }

  /** Whether Python wants this value although it did not get it from here just now. */
  isNews(text: string, known: number): boolean {
    this.revision = Math.max(this.revision, known);
    if (text === this.passed) return false;
    this.passed = text;
    const at = this.sent.findIndex((value) => value.text === text && value.revision <= known);
    if (at >= 0) this.sent.splice(0, at + 1);
    return at < 0;
  }
}
