"""What accompanies a request from its first byte to its last: its id, its deadline, and the time of each stage.

`Tickets` is the outermost layer of the application: it gives every request a ticket, puts the id and the stages into
the answer's headers, turns what nobody caught into a refusal, and shows the ticket to whoever watches when all is sent.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spt_dist.serve.orders import BusyError, Drawn, Model

ID_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")
HUNG_UP = 499  # the status of a request whose sender did not wait for the answer
logger = logging.getLogger(__name__)


class Span(NamedTuple):
    """A stage as it happened: from `start` (`time.time`), for so many seconds."""

    name: str
    start: float
    seconds: float


class Painted(NamedTuple):
    """One picture of a request, without its pixels: see `orders.Drawn`."""

    model: str
    digest: str
    batch: int
    cached: bool | None


@dataclass
class Ticket:
    """One request under way; times are `time.time`, stages in seconds."""

    request_id: str
    method: str = "GET"
    traceparent: str = ""  # the trace that the request belongs to, as W3C Trace Context writes it
    arrived: float = field(default_factory=time.time)
    stages: dict[str, float] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    pictures: list[Painted] = field(default_factory=list)
    key: str = ""  # the name of the API key
    route: str = ""  # the path with its parameters' names, when it is known
    status: int = HUNG_UP
    sent_bytes: int = 0
    seconds: float = 0.0  # from the first byte to the last, when all is sent

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens within as a stage's time."""
        begun, start = time.time(), time.perf_counter()
        try:
            yield
        finally:
            span = Span(name, begun, time.perf_counter() - start)
            self.spans.append(span)
            self.stages[name] = self.stages.get(name, 0.0) + span.seconds

    def note(self, model: Model, drawn: Drawn, asked: float) -> None:
        """Take down how a picture came to be that was asked for at `asked`; of several the slowest counts."""
        self.took(drawn.stages, asked)
        if drawn.painter_since > self.arrived:
            self.stages["cold"] = drawn.painter_since - self.arrived
        self.pictures.append(Painted(model.id, drawn.digest, drawn.batch, drawn.cached))

    def took(self, stages: Mapping[str, float], asked: float) -> None:
        """Take down what others did for the request from `asked` on; of several at a time the slowest counts."""
        for name, seconds in stages.items():
            self.spans.append(Span(name, asked, seconds))
            asked += seconds
            self.stages[name] = max(seconds, self.stages.get(name, 0.0))

    @property
    def server_timing(self) -> str:
        """The stages as the header `Server-Timing` has them, in ms."""
        return ", ".join(f"{name};dur={1e3 * seconds:.1f}" for name, seconds in self.stages.items())


Watcher: TypeAlias = Callable[[Ticket], None]
current: ContextVar[Ticket | None] = ContextVar("ticket", default=None)


def ticket_of(request: Request) -> Ticket:
    """The ticket of a request that came through `Tickets`."""
    return request.scope["ticket"]


class Door:
    """Counts the requests inside, and closes for good."""

    def __init__(self) -> None:
        self.inside, self.closed = 0, False

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside; `BusyError` when it is closed."""
        if self.closed:
            raise BusyError("the endpoint is shutting down", 5)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def close(self, patience_s: float) -> int:
        """Let nobody in any more, and wait for those inside; returns how many are still there after `patience_s`."""
        self.closed = True
        end = time.monotonic() + patience_s
        while self.inside and time.monotonic() < end:
            await asyncio.sleep(0.02)
        return self.inside


class Tickets:
    """ASGI middleware, the outermost: see the module. With `proxied` somebody in front puts the id into the answer."""

    def __init__(
        self, app: ASGIApp, refuse: Callable[[Ticket], Response], proxied: bool, watchers: Sequence[Watcher] = ()
    ) -> None:
        self.app, self.refuse, self.proxied, self.watchers = app, refuse, proxied, watchers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accompany one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        ticket = scope["ticket"] = _new(scope)
        current.set(ticket)
        answering = False

        async def stamped(message: Message) -> None:
            nonlocal answering
            if message["type"] == "http.response.start":
                answering = True
                ticket.status = message["status"]
                own = [] if self.proxied else [(b"x-request-id", ticket.request_id.encode())]
                if ticket.stages:
                    own.append((b"server-timing", ticket.server_timing.encode()))
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            ticket.sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, stamped)
        except Exception:
            logger.exception("request %s failed", ticket.request_id)
            if not answering:
                await self.refuse(ticket)(scope, receive, stamped)
        finally:
            ticket.route = getattr(scope.get("route"), "path", "")
            ticket.seconds = time.time() - ticket.arrived
            for watch in self.watchers:
                watch(ticket)


def _new(scope: Scope) -> Ticket:
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
    sent = headers.get(b"x-request-id", "")
    request_id = sent if ID_FORM.fullmatch(sent) else uuid4().hex
    return Ticket(request_id, scope["method"], headers.get(b"traceparent", ""))
