"""Whoever waits, gathered into batches at the moment somebody is free to serve them.

Ray Serve's own batches are frozen soon after their first member came, even while another batch is under way: whoever
comes in the meantime starts the next one, and under load batches stay half empty. Here a batch is taken when the one
before it is done, from all that wait by then: the oldest, and those that go together with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    answer: "asyncio.Future[Result]"
    came: float = field(default_factory=time.monotonic)


class Gatherer(Generic[Item, Result]):
    """Calls `serve` with one batch after the other, of at most `most` items of one kind.

    A batch that is not full waits for company, until its oldest item has waited `patience_s`.
    """

    def __init__(
        self,
        serve: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        kind: Callable[[Item], Hashable],
        most: int,
        patience_s: float,
    ) -> None:
        self.serve, self.kind, self.most, self.patience_s = serve, kind, most, patience_s
        self._waiting: list[_Waiting[Item, Result]] = []
        self._came = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """The item's result; raises what `serve` raises for its batch. Whoever is cancelled is not served."""
        waiting = _Waiting[Item, Result](item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._came.set()
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._serve_all())
        return await waiting.answer

    async def _serve_all(self) -> None:
        while self._next():
            await self._wait_for_company()
            batch = self._next()
            self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
            if batch:
                await self._serve_one(batch)

    async def _serve_one(self, batch: list[_Waiting[Item, Result]]) -> None:
        try:
            results = await self.serve([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001 - each of the batch is told
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            return
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(result)

    async def _wait_for_company(self) -> None:
        while 0 < len(batch := self._next()) < self.most:
            left_s = batch[0].came + self.patience_s - time.monotonic()
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), max(0.0, left_s))
            except TimeoutError:
                return

    def _next(self) -> list[_Waiting[Item, Result]]:
        """Who would be served now: the oldest that still waits, and others of its kind."""
        self._waiting = [waiting for waiting in self._waiting if not waiting.answer.done()]
        if not self._waiting:
            return []
        kind = self.kind(self._waiting[0].item)
        return [waiting for waiting in self._waiting if self.kind(waiting.item) == kind][: self.most]
