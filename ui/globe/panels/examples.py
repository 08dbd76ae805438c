"""Examples of a search, "more like these, less like those", as they stand in the page's address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from core.atlas import EmbeddingTable, SearchError, TableError
from ui.globe.desk import LONGEST_NOTE


@dataclass(frozen=True)
class Examples:
    """Rows by identity."""

    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()

    def with_row(self, name: str, sign: str) -> Examples:
        """Add an example; on the other side it is taken away. Raises SearchError for more than an address can hold."""
        cleared = self.without(name)
        grown = (
            replace(cleared, more=(*cleared.more, name))
            if sign == "+"
            else replace(cleared, less=(*cleared.less, name))
        )
        if len(grown.to_text()) > LONGEST_NOTE:
            raise SearchError(
                f"{len(self.more) + len(self.less)} examples are as many as a link can hold: drop one first, or use Label for many."
            )
        return grown

    def without(self, name: str) -> Examples:
        """Take an example away."""
        return Examples(*(tuple(one for one in side if one != name) for side in (self.more, self.less)))

    def to_text(self) -> str:
        """Write them for the address; "" for none."""
        if not (self.more or self.less):
            return ""
        return "rows:" + " ".join(
            sign + quote(name, safe="")
            for sign, side in (("+", self.more), ("-", self.less))
            for name in side
        )

    @classmethod
    def from_text(cls, text: str, table: EmbeddingTable) -> Examples:
        """Read them; what is no row of the table, or has no usable vector there, is left out."""
        kind, _, said = text.partition(":")
        found: dict[str, list[str]] = {"+": [], "-": []}
        for word in said.split() if kind == "rows" else ():
            name = unquote(word[1:])
            if word[0] in found and _usable(table, name):
                found[word[0]].append(name)
        return cls(tuple(found["+"]), tuple(found["-"]))


def _usable(table: EmbeddingTable, name: str) -> bool:
    try:
        return bool(table.stored.usable[table.row_of(name)])
    except TableError:
        return False
