"""The grammar of a filter: comparisons of columns with values, joined by AND, OR and NOT, in the notation of
SQL's WHERE clause.

    condition  = and-term { OR and-term }
    and-term   = not-term { AND not-term }
    not-term   = NOT not-term | predicate
    predicate  = operand [ comparison | [NOT] BETWEEN | [NOT] IN | [NOT] LIKE | [NOT] ILIKE | IS [NOT] NULL ]
    operand    = product { (+ | -) product };   product = sign { (* | / | %) sign };   sign = [-] primary
    primary    = number | 'text' | TRUE | FALSE | column | summary | ( condition )
    column     = name [ . field ] [ "[" element "]" ];   element = 1 | 2 | ... (SQL counts from 1)
    summary    = ( SELECT name ( column [, number] ) FROM places )

There are no functions, statements, casts or other subqueries. The parser is a single recursive descent
without backtracking, so its time is proportional to the length of the text; length, depth and the number of
terms are bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import FilterError
from .condition_tree import (
    Arithmetic,
    BinaryComparison,
    Column,
    IsNull,
    Joined,
    Like,
    Node,
    Not,
    OneOf,
    Summary,
    Value,
)

RELATION = "places"
MAX_CHARS = 2_000
MAX_DEPTH = 24
MAX_TERMS = 100
MAX_PATTERN_CHARS = 100
MAX_ELEMENT = 9_999
SUMMARIES = ("min", "max", "avg", "median", "quantile_cont")
COMPARISONS = ("=", "==", "<>", "!=", "<=", ">=", "<", ">")

_TOKEN = re.compile(
    r"""(?P<gap>\s+|--[^\n]*)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"[^"]+")
      | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<sign><>|!=|<=|>=|==|[=<>()\[\]+\-*/%,.])""",
    re.VERBOSE,
)
_WORDS = {
    "and",
    "or",
    "not",
    "between",
    "in",
    "like",
    "ilike",
    "is",
    "null",
    "true",
    "false",
    "select",
    "from",
}
_SHOWN = 40


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    @property
    def folded(self) -> str:
        return self.text.lower() if self.kind == "word" else self.text


def parse(text: str) -> Node:
    """Parse a filter into a tree.

    Raises FilterError, with a sentence, for anything that the grammar does not allow.
    """
    if not text.strip():
        raise FilterError("The filter is empty: write a condition such as gsd_m < 1, or leave it out.")
    if len(text) > MAX_CHARS:
        raise FilterError(
            f"The filter has {len(text):,} characters; the limit is {MAX_CHARS:,}: make it simpler."
        )
    parser = _Parser(_tokens(text))
    tree = parser.condition()
    parser.require_end()
    return tree


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FilterError(f"The filter cannot be read from {_quoted(text[at:])} on: {_ADVICE}")
        if found.lastgroup != "gap":
            tokens.append(_Token(str(found.lastgroup), found[0]))
        at = found.end()
    if not tokens:
        raise FilterError("The filter is empty: write a condition such as gsd_m < 1, or leave it out.")
    return tokens


_ADVICE = "compare columns with values, for example gsd_m < 1 AND centre_lat BETWEEN -23 AND 23."

_ELEMENT = (
    f"An element of a list is a whole number from 1 to {MAX_ELEMENT:,} in brackets, for example pixel_bbox[1]"
)


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line[:_SHOWN]}…”" if len(line) > _SHOWN else f"“{line}”"


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at, self._depth, self._terms = tokens, 0, 0, 0

    def condition(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(f"The filter nests more than {MAX_DEPTH} levels deep: make it simpler.")
        terms = [self._and_term()]
        while self._take("or"):
            terms.append(self._and_term())
        self._depth -= 1
        return terms[0] if len(terms) == 1 else Joined("or", tuple(terms))

    def require_end(self) -> None:
        if self._at < len(self._tokens):
            raise self._unexpected()

    def _and_term(self) -> Node:
        terms = [self._not_term()]
        while self._take("and"):
            terms.append(self._not_term())
        return terms[0] if len(terms) == 1 else Joined("and", tuple(terms))

    def _not_term(self) -> Node:
        negated = False
        while self._take("not"):
            negated = not negated
        term = self._predicate()
        return Not(term) if negated else term

    def _predicate(self) -> Node:
        left = self._operand()
        if self._take("is"):
            negated = self._take("not")
            self._require("null")
            return Not(IsNull(left)) if negated else IsNull(left)
        for sign in COMPARISONS:
            if self._take(sign):
                return BinaryComparison({"==": "=", "!=": "<>"}.get(sign, sign), left, self._operand())
        negated = self._take("not")
        test = self._test(left)
        if test is None:
            if negated:
                raise self._unexpected()
            return left
        return Not(test) if negated else test

    def _test(self, left: Node) -> Node | None:
        if self._take("between"):
            low = self._operand()
            self._require("and")
            return Joined(
                "and", (BinaryComparison(">=", left, low), BinaryComparison("<=", left, self._operand()))
            )
        if self._take("in"):
            self._require("(")
            values = [self._literal()]
            while self._take(","):
                values.append(self._literal())
            self._require(")")
            return OneOf(left, tuple(values))
        ignore_case = self._peek() == "ilike"
        if self._take("like") or self._take("ilike"):
            pattern = self._literal().value
            if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_CHARS:
                raise FilterError(
                    f"LIKE needs a pattern in single quotes of at most {MAX_PATTERN_CHARS} characters, for "
                    "example source LIKE 'Sentinel%'."
                )
            return Like(left, pattern, ignore_case)
        return None

    def _operand(self) -> Node:
        left = self._product()
        while (sign := self._peek()) in ("+", "-"):
            self._at += 1
            left = Arithmetic(sign, left, self._product())
        return left

    def _product(self) -> Node:
        left = self._signed()
        while (sign := self._peek()) in ("*", "/", "%"):
            self._at += 1
            left = Arithmetic(sign, left, self._signed())
        return left

    def _signed(self) -> Node:
        negative = False
        while (sign := self._peek()) in ("-", "+"):
            negative ^= sign == "-"
            self._at += 1
        value = self._primary()
        if not negative:
            return value
        if (
            isinstance(value, Value)
            and isinstance(value.value, int | float)
            and not isinstance(value.value, bool)
        ):
            return Value(-value.value)
        return Arithmetic("-", Value(0), value)

    def _primary(self) -> Node:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise FilterError(f"The filter has more than {MAX_TERMS} terms: make it simpler.")
        if self._take("("):
            inside = self._summary() if self._peek() == "select" else self.condition()
            self._require(")")
            return inside
        token = self._token()
        if token is not None and (token.kind in ("number", "text") or token.folded in ("true", "false")):
            return self._literal()
        return self._column()

    def _summary(self) -> Summary:
        self._require("select")
        token = self._token()
        if token is None or token.folded not in SUMMARIES:
            raise FilterError(
                f"A filter's subquery can only sum up one column, as in (SELECT max(gsd_m) FROM {RELATION}): "
                f"use one of {', '.join(SUMMARIES)}."
            )
        self._at += 1
        self._require("(")
        column = self._column()
        share = None
        if token.folded == "quantile_cont":
            self._require(",")
            share = self._literal().value
            if isinstance(share, str) or not 0 <= share <= 1:
                raise FilterError(
                    "quantile_cont needs a share from 0 to 1, for example quantile_cont(recon_loss_high, "
                    "0.99)."
                )
        self._require(")")
        self._require("from")
        self._require(RELATION)
        return Summary(token.folded, column, share)

    def _column(self) -> Column:
        name = self._name()
        field = self._name() if self._take(".") else None
        if self._peek() == "(":
            raise FilterError(f"The filter may not call functions ({_quoted(name)}): {_ADVICE}")
        return Column(name, field, self._element() if self._take("[") else None)

    def _element(self) -> int:
        token = self._token()
        if token is None or not (token.kind == "number" and token.text.isdecimal()):
            raise FilterError(f"{_ELEMENT}; the filter needs one {self._where()}.")
        if len(token.text) > len(str(MAX_ELEMENT)) or int(token.text) == 0:
            raise FilterError(f"{_ELEMENT}; [{token.text[:_SHOWN]}] is not.")
        self._at += 1
        self._require("]")
        return int(token.text)

    def _name(self) -> str:
        token = self._token()
        if token is None or token.kind not in ("word", "quoted") or token.folded in _WORDS:
            raise self._unexpected()
        self._at += 1
        return token.text.strip('"')

    def _literal(self) -> Value:
        negative = self._take("-")
        token = self._token()
        if token is None:
            raise self._unexpected()
        self._at += 1
        if token.kind == "number":
            return Value(_number(token.text) * (-1 if negative else 1))
        if not negative and token.kind == "text":
            return Value(token.text[1:-1].replace("''", "'"))
        if not negative and token.folded in ("true", "false"):
            return Value(token.folded == "true")
        self._at -= 1
        raise self._unexpected()

    def _token(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _peek(self) -> str:
        token = self._token()
        return token.folded if token is not None and token.kind in ("word", "sign") else ""

    def _take(self, what: str) -> bool:
        found = self._peek() == what
        self._at += found
        return found

    def _require(self, what: str) -> None:
        if not self._take(what):
            raise FilterError(f"The filter needs {what.upper()} {self._where()}: {_ADVICE}")

    def _where(self) -> str:
        rest = " ".join(token.text for token in self._tokens[self._at : self._at + 8])
        return f"before {_quoted(rest)}" if rest else "at its end"

    def _unexpected(self) -> FilterError:
        where = self._where().replace("before", "at", 1)
        return FilterError(f"The filter is not a condition {where}: {_ADVICE}")


def _number(text: str) -> int | float:
    value = float(text)
    whole = text.isdecimal() and value < 2**63
    return int(text) if whole else value
