"""Examples of a search, "more like these, less like those", as written in the page's address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from core.atlas import EmbeddingTable, SearchError, TableError
from ui.globe.globe_state import MAX_PARAM_CHARS


@dataclass(frozen=True)
class Examples:
    """Positive and negative examples, by unique_id."""

    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()

    def with_row(self, name: str, sign: str) -> Examples:
        """Add an example, moving it from the other side if needed.

        Raises SearchError if the address would be too long.
        """
        cleared = self.without(name)
        grown = (
            replace(cleared, more=(*cleared.more, name))
            if sign == "+"
            else replace(cleared, less=(*cleared.less, name))
        )
        if len(grown.to_text()) > MAX_PARAM_CHARS:
            raise SearchError(
                f"A link can hold at most {len(self.more) + len(self.less)} examples. Remove one first, or "
                "use the Label tab for many."
            )
        return grown

    def without(self, name: str) -> Examples:
        """Remove an example."""
        return Examples(*(tuple(one for one in side if one != name) for side in (self.more, self.less)))

    def to_text(self) -> str:
        """Return the address parameter; "" for no examples."""
        if not (self.more or self.less):
            return ""
        return "rows:" + " ".join(
            sign + quote(name, safe="")
            for sign, side in (("+", self.more), ("-", self.less))
            for name in side
        )

    @classmethod
    def from_text(cls, text: str, table: EmbeddingTable) -> Examples:
        """Parse the address parameter.

        Names that are not rows of the table, or have no usable vector, are ignored.
        """
        kind, _, names = text.partition(":")
        found: dict[str, list[str]] = {"+": [], "-": []}
        for word in names.split() if kind == "rows" else ():
            name = unquote(word[1:])
            if word[0] in found and _usable(table, name):
                found[word[0]].append(name)
        return cls(tuple(found["+"]), tuple(found["-"]))


def _usable(table: EmbeddingTable, name: str) -> bool:
    try:
        return bool(table.stored.usable[table.row_of(name)])
    except TableError:
        return False
