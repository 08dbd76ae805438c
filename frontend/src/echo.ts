// Who changed a value last, the user in the browser or the page in Python? Every value that is sent carries a
// revision, and Python returns the newest revision that it has applied (`known`). While that is older than
// the last one sent, Python has not seen the last value yet and its own value is ignored; afterwards Python's
// value applies.

export class Echo {
  revision = 0;

  constructor(private last: string) {}

  /** Record a value that is sent to Python; return its revision. */
  send(text: string): number {
    this.last = text;
    return ++this.revision;
  }

  /** Whether Python passes a new value after it has seen the last one sent. */
  isNews(text: string, known: number): boolean {
    this.revision = Math.max(this.revision, known);
    if (known < this.revision || text === this.last) return false;
    this.last = text;
    return true;
  }
}
