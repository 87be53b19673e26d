"""Batches that fill while another is served, of one kind each, and whoever waits for company no longer than said."""

import asyncio
import time

import pytest

from spt_dist.serve.gathering import Gatherer


class Server:
    """Serves a batch in `seconds`, and remembers it."""

    def __init__(self, seconds: float = 0.0, fails: str = ""):
        self.seconds, self.fails = seconds, fails
        self.batches: list[list[str]] = []
        self.at_once = 0

    async def __call__(self, batch: list[str]) -> list[str]:
        self.at_once += 1
        assert self.at_once == 1
        self.batches.append(batch)
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        if self.fails in batch:
            raise ValueError(f"{self.fails} cannot be served")
        return [item.upper() for item in batch]


def gatherer(server: Server, most: int = 4, patience_s: float = 0.01) -> Gatherer[str, str]:
    return Gatherer(server, lambda item: item[0], most, patience_s)


def test_batches_are_full_while_there_are_more_who_ask_than_a_batch_holds():
    server = Server(seconds=0.02)
    gather = gatherer(server, patience_s=0.002)

    async def ask(number: int) -> None:
        for turn in range(6):
            await asyncio.sleep(0.0015 * number)  # answers go out and the next come in one by one
            assert await gather(f"a{number}.{turn}") == f"A{number}.{turn}"

    async def ask_all() -> None:
        await asyncio.gather(*map(ask, range(8)))

    asyncio.run(ask_all())
    assert sum(map(len, server.batches)) == 48
    assert 48 / len(server.batches) >= 0.85 * 4


def test_a_batch_is_of_one_kind_and_the_oldest_go_first():
    server = Server(seconds=0.01)

    async def ask() -> list[str]:
        gather = gatherer(server, most=3)
        return await asyncio.gather(*map(gather, ["a1", "b1", "a2", "b2", "a3", "a4"]))

    assert asyncio.run(ask()) == ["A1", "B1", "A2", "B2", "A3", "A4"]
    assert server.batches == [["a1", "a2", "a3"], ["b1", "b2"], ["a4"]]


@pytest.mark.parametrize(("others", "least_s", "most_s"), [(0, 0.2, 0.4), (1, 0.2, 0.4), (3, 0.0, 0.15)])
def test_a_batch_that_is_not_full_waits_for_company_and_a_full_one_does_not(others, least_s, most_s):
    server = Server()

    async def ask() -> None:
        gather = gatherer(server, patience_s=0.2)
        await asyncio.gather(*map(gather, ["a", *(f"a{n}" for n in range(others))]))

    start = time.monotonic()
    asyncio.run(ask())
    assert least_s <= time.monotonic() - start < most_s
    assert len(server.batches) == 1


def test_whoever_hangs_up_is_not_served():
    server = Server(seconds=0.02)

    async def ask() -> list:
        gather = gatherer(server, most=1)
        asked = [asyncio.create_task(gather(name)) for name in ("a1", "a2", "a3")]
        await asyncio.sleep(0.01)
        asked[1].cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert (first, third) == ("A1", "A3")
    assert isinstance(second, asyncio.CancelledError)
    assert server.batches == [["a1"], ["a3"]]


def test_a_failure_is_told_to_its_batch_alone():
    server = Server(fails="a2")

    async def ask() -> list:
        gather = gatherer(server, most=2)
        found = await asyncio.gather(*map(gather, ["a1", "a2", "a3"]), return_exceptions=True)
        return [*found, await gather("a4")]

    *told, third, fourth = asyncio.run(ask())
    assert [str(error) for error in told] == ["a2 cannot be served"] * 2
    assert (third, fourth) == ("A3", "A4")
