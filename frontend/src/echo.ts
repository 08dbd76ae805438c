// Who changed a value last, the person here or the page in Python? Every value sent from here carries a revision, and Python passes the
// newest revision it has acted on (`known`). While that is older than ours, what Python passes was decided without our last value, and
// its answer to that value is on its way; once it is ours, what Python passes counts.

export class Echo {
  revision = 0;

  constructor(private agreed: string) {}

  /** Note what goes to Python; gives its revision. */
  send(text: string): number {
    this.agreed = text;
    return ++this.revision;
  }

  /** Whether Python, which knows our last value, wants another one. */
  isNews(text: string, known: number): boolean {
    this.revision = Math.max(this.revision, known);
    if (known < this.revision || text === this.agreed) return false;
    this.agreed = text;
    return true;
  }
}
