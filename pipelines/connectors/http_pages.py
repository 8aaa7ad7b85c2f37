"""Page after page: by number, offset, cursor or link header, in order, complete or not at all.

Pages whose address is known beforehand are asked for side by side. What was inserted or removed
meanwhile shifts them: that is found by the total that the server tells, and by a record that comes twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, Self
from urllib.parse import urljoin, urlsplit

import httpx
from pydantic import Field, field_validator, model_validator

from pipelines.connectors.http_auth import Strict
from pipelines.connectors.http_records import Find, finder
from pipelines.connectors.http_session import Reply, Request, Session, as_json
from reconcilers.errors import Unreachable


class Paginate(Strict):
    """How one page leads to the next."""

    by: Literal["page", "offset", "cursor", "link"]
    parameter: str | None = None
    first: int | None = None
    size: int | None = Field(None, ge=1)
    size_parameter: str | None = None
    next: str | None = None
    total: str | None = None
    total_header: str | None = None
    concurrency: int = Field(1, ge=1, le=32)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.parameter is None) != (self.by == "link"):
            raise ValueError(f"by {self.by} {'has no' if self.by == 'link' else 'needs'} parameter")
        if (self.next is None) == (self.by == "cursor"):
            raise ValueError("by cursor, and only that, needs next: where the answer has the cursor of the next page")
        if (self.size is None) != (self.size_parameter is None):
            raise ValueError("size and size_parameter need one another")
        if self.total is not None and self.total_header is not None:
            raise ValueError("has either total or total_header")
        if self.concurrency > 1 and (self.by not in ("page", "offset") or not (self.total or self.total_header)):
            raise ValueError("concurrency needs pages by page or offset, and total or total_header")
        if self.first is not None and self.by not in ("page", "offset"):
            raise ValueError("first belongs to by page and by offset")
        return self

    @property
    def name(self) -> str:
        """The parameter that says which page."""
        return self.parameter or ""

    @property
    def sized(self) -> dict[str, str]:
        """The parameter that says how many records."""
        return {} if self.size_parameter is None else {self.size_parameter: str(self.size)}

    @field_validator("next", "total")
    @classmethod
    def _path(cls, expression: str | None) -> str | None:
        if expression is not None:
            finder(expression)
        return expression


#: One answer has it all.
_ALONE = Paginate.model_construct(by="alone")


@dataclass(frozen=True)
class Page:
    """One answer: its records, the total that it tells, and what asked for it."""

    number: int
    request: Request
    reply: Reply
    body: Any
    records: list[Any]
    total: int | None


class Pages:
    """The pages of one dataset."""

    def __init__(self, session: Session, request: Request, records: str, paginate: Paginate | None) -> None:
        self.session = session
        self.start = request
        self.by = paginate or _ALONE
        self._records = finder(records)
        self._next = finder(self.by.next or "`null`")
        self._total: Find | None = finder(self.by.total) if self.by.total else None

    def first(self) -> Page:
        """The first page. Raises `Unreachable`."""
        if self.by.by in ("page", "offset"):
            return self._ask(self._at(1, 0), 1)
        return self._ask(self._with(self.start, self.by.sized), 1)

    def all(self, first: Page) -> Iterator[Page]:
        """Every page, `first` among them, in order.

        Raises:
            Unreachable: a page cannot be had, a cursor repeats, records moved or are missing.
        """
        seen, told, last = 0, first.total, first
        for page in self._follow(first):
            self._check(page, last, told)
            seen += len(page.records)
            told, last = page.total if page.total is not None else told, page
            yield page
        if told is not None and seen != told:
            raise Unreachable(f"{self._where}: {seen} records came, it tells of {told}")

    def _check(self, page: Page, last: Page, told: int | None) -> None:
        """Whether a page can follow the one before, where `told` records were told of."""
        wrong = None
        if page is not last and page.records and last.records:
            if page.records[0] == last.records[0]:
                wrong = f"page {page.number} begins like the one before: is it the page that was asked for?"
            elif page.records[0] == last.records[-1]:
                wrong = (
                    f"page {page.number} begins with the last record of the one before: it changed while it was read"
                )
        if told is not None and page.total is not None and page.total < told:
            wrong = f"{told} records became {page.total} on page {page.number}: it changed while it was read"
        if wrong is not None:
            raise Unreachable(f"{self._where}: {wrong}")

    @property
    def _where(self) -> str:
        return self.session.shown(self.start.url)

    def _follow(self, first: Page) -> Iterator[Page]:
        yield first
        if self.by.by == "cursor":
            yield from self._chained(first, self._cursor)
        elif self.by.by == "link":
            yield from self._chained(first, self._link)
        elif self.by is not _ALONE:
            yield from self._numbered(first)

    def _numbered(self, first: Page) -> Iterator[Page]:
        """By page or offset: those that the total promises side by side, then on to an empty one."""
        step, total = len(first.records), first.total
        if step == 0:
            return
        known = range(2, 1 if total is None else -(-total // step) + 1)
        read, last = step, first
        for page in self._side_by_side(known, step):
            read, last = read + len(page.records), page
            yield page
        # A page that is shorter than asked for may be the server's own limit: only an empty one is the end.
        while last.records and (last.total is None or read < last.total):
            last = self._ask(self._at(last.number + 1, step), last.number + 1)
            read += len(last.records)
            if last.records:
                yield last

    def _side_by_side(self, numbers: range, step: int) -> Iterator[Page]:
        """Pages in order, of which some are asked for ahead of the reader."""
        if self.by.concurrency == 1:
            yield from (self._ask(self._at(number, step), number) for number in numbers)
            return
        waiting: deque[Future[Page]] = deque()
        left = iter(numbers)
        with ThreadPoolExecutor(self.by.concurrency) as pool:
            try:
                for number in left:
                    waiting.append(pool.submit(self._ask, self._at(number, step), number))
                    if len(waiting) > self.by.concurrency:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _at(self, number: int, step: int) -> Request:
        """The request of a page by its number, where `step` records are on a page."""
        by = self.by
        begin = by.first if by.first is not None else int(by.by == "page")
        place = begin + (number - 1) * (1 if by.by == "page" else step)
        return self._with(self.start, {**by.sized, by.name: str(place)})

    def _chained(self, page: Page, following: Any) -> Iterator[Page]:
        """One after the other, as each tells; a place that comes again would never end."""
        been: set[int] = set()
        while (found := following(page)) is not None:
            place, request = found
            if hash(place) in been:
                raise Unreachable(f"{self._where}: page {page.number} leads back to one that was read already")
            been.add(hash(place))
            page = self._ask(request, page.number + 1)
            yield page

    def _cursor(self, page: Page) -> tuple[str, Request] | None:
        cursor = self._next(page.body)
        if cursor is None or cursor is False or cursor == "":
            return None
        return str(cursor), self._with(page.request, {self.by.name: str(cursor)})

    def _link(self, page: Page) -> tuple[str, Request] | None:
        """RFC 8288 `Link: <…>; rel="next"`."""
        links = httpx.Response(200, headers=page.reply.headers).links
        target = links.get("next", {}).get("url")
        if target is None:
            return None
        url = urljoin(page.request.url, target)
        if urlsplit(url)[:2] != urlsplit(self.start.url)[:2]:
            raise Unreachable(f"{self._where}: page {page.number} leads to another server, {self.session.shown(url)}")
        return url, replace(page.request, url=url, params={})

    def _with(self, request: Request, parameters: Mapping[str, str]) -> Request:
        """With parameters: of the URL, or the variables of a GraphQL query."""
        if isinstance(request.body, dict) and "query" in request.body and "variables" in request.body:
            numbers = (self.by.size_parameter, self.by.name if self.by.by in ("page", "offset") else None)
            values = {name: int(text) if name in numbers else text for name, text in parameters.items()}
            variables = {**request.body["variables"], **values}
            return replace(request, body={**request.body, "variables": variables})
        return replace(request, params={**request.params, **parameters})

    def _ask(self, request: Request, number: int) -> Page:
        def parse(reply: Reply) -> Page:
            body = as_json(reply)
            return Page(number, request, reply, body, self._found(body), self._told(reply, body))

        return self.session.ask(request, parse)

    def _found(self, body: Any) -> list[Any]:
        # An answer to a GraphQL query that has errors has not all of the data.
        if self.start.body is not None and isinstance(body, dict) and body.get("errors"):
            first = body["errors"][0] if isinstance(body["errors"], list) else body["errors"]
            message = first.get("message") if isinstance(first, dict) else first
            raise Unreachable(f"{self._where}: {self.session.redacted(str(message))}")
        found = self._records(body)
        if isinstance(found, list):
            return found
        there = f"it has: {', '.join(list(body)[:10])}" if isinstance(body, dict) else f"it is {type(body).__name__}"
        raise Unreachable(f"{self._where}: no list of records in the answer where `records` says; {there}")

    def _told(self, reply: Reply, body: Any) -> int | None:
        if self._total is None and self.by.total_header is None:
            return None
        told = self._total(body) if self._total is not None else reply.headers.get(str(self.by.total_header))
        try:
            return int(told)
        except (TypeError, ValueError):
            raise Unreachable(f"{self._where}: no total in the answer where `paginate` says") from None
