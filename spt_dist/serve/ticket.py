"""What accompanies a request from its first byte to its last: its id, its deadline, and the time of each stage.

`Tickets` is the outermost layer of the application: it gives every request a ticket, puts the id and the stages into
the answer's headers, and turns what nobody caught into a refusal.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spt_dist.serve.orders import BusyError

ID_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")
logger = logging.getLogger(__name__)


@dataclass
class Ticket:
    """One request under way; times are `time.time`, stages in seconds."""

    request_id: str
    arrived: float = field(default_factory=time.time)
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens within as a stage's time."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - start

    @property
    def server_timing(self) -> str:
        """The stages as the header `Server-Timing` has them, in ms."""
        return ", ".join(f"{name};dur={1e3 * seconds:.1f}" for name, seconds in self.stages.items())


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

    def __init__(self, app: ASGIApp, refuse: Callable[[Ticket], Response], proxied: bool) -> None:
        self.app, self.refuse, self.proxied = app, refuse, proxied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accompany one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        ticket = scope["ticket"] = _new(scope)
        answering = False

        async def stamped(message: Message) -> None:
            nonlocal answering
            if message["type"] == "http.response.start":
                answering = True
                own = [] if self.proxied else [(b"x-request-id", ticket.request_id.encode())]
                if ticket.stages:
                    own.append((b"server-timing", ticket.server_timing.encode()))
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        try:
            await self.app(scope, receive, stamped)
        except Exception:
            logger.exception("request %s failed", ticket.request_id)
            if not answering:
                await self.refuse(ticket)(scope, receive, stamped)


def _new(scope: Scope) -> Ticket:
    sent = dict(scope.get("headers", ())).get(b"x-request-id", b"").decode("latin-1")
    return Ticket(sent if ID_FORM.fullmatch(sent) else uuid4().hex)
