"""Hostile requests by the hundred (`make fuzz`: 10,000): each is refused in order, or drawn; nothing breaks or grows.

$FUZZ is how many.
"""

import asyncio
import gc
import os
from dataclasses import replace

import httpx
import psutil
import pytest
from hostile import requests
from rich.progress import track

from spt_dist import config
from spt_dist.serve.api import build_api

COUNT = int(os.environ.get("FUZZ", "300"))
GROWTH_BYTES = 48_000_000
LIMITS = replace(config.Serve(), max_upload_bytes=1_000_000, max_pixels=100_000)


@pytest.mark.timeout(60 + COUNT // 10)
def test_hostile_requests_are_refused_in_order(studio, parts, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    api = build_api(studio, tmp_path, LIMITS)
    statuses: dict[int, int] = {}
    memory: list[int] = []

    async def send_all() -> None:
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            wanted = enumerate(requests(1, COUNT, parts))
            for index, request in track(wanted, "hostile requests", COUNT, disable=COUNT <= 300):
                answer = await client.request(**request)
                check(answer, request)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                studio.jobs.clear()
                if index % max(1, COUNT // 10) == 0:
                    gc.collect()
                    memory.append(psutil.Process().memory_info().rss)

    asyncio.run(send_all())
    print(f"{COUNT:,} requests by status: {dict(sorted(statuses.items()))}")
    print(f"memory in MB, ten times on the way: {[size // 10**6 for size in memory]}")
    assert statuses[200] > COUNT / 50  # some are good by chance: it is not the first check that refuses all
    assert statuses[422] > COUNT / 5
    assert not [record for record in caplog.records if record.exc_info]
    assert not list(tmp_path.iterdir())
    assert memory[-1] - memory[2] < GROWTH_BYTES


def check(answer: httpx.Response, request: dict) -> None:
    shown = f"{request['method']} {request['url'][:60]}: {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500, shown
    assert "Traceback" not in answer.text, shown
    assert 'File "' not in answer.text, shown
    if answer.status_code >= 400 and request["method"] != "HEAD":
        error = answer.json()["error"]
        assert error["message"], shown
        assert len(answer.text) < 2000, shown
