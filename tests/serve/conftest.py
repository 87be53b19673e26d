"""A request that is good in every part, and an endpoint in this process whose studio mirrors photos."""

import asyncio
import json

import httpx
import numpy as np
import pytest
from mirror import SIZE, Mirror

from spt_dist import config
from spt_dist.body import Joint, Label
from spt_dist.provenance import encode
from spt_dist.serve.api import build_api
from spt_dist.serve.ticket import Door


class Client:
    """Requests to an ASGI application in this process; failures of the application become its own answers."""

    def __init__(self, api):
        self.transport = httpx.ASGITransport(api, raise_app_exceptions=False)

    def request(self, method: str, path: str, **options) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def get(self, path: str, **options) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options) -> httpx.Response:
        return self.request("POST", path, **options)


@pytest.fixture
def studio():
    return Mirror()


@pytest.fixture
def connect():
    return Client


@pytest.fixture
def joints() -> list:
    """18 joints inside the photo, the last one missing."""
    return [[index % SIZE[1] + 0.25, index % SIZE[0], 1] for index in range(len(Joint) - 1)] + [None]


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % len(Label)).astype(np.uint8)


@pytest.fixture
def parts(pixels, labels, joints) -> dict:
    """The four parts of a request: two files, two texts."""
    target = [[x, y, visible] for x, y, visible in joints[:-1]] + [[-1, -1, 0]]
    return {
        "image": encode(pixels, "png"),
        "parsing": encode(labels, "png"),
        "source_joints": json.dumps(joints),
        "target_joints": json.dumps({"joints": target, "size": [24, 14]}),
    }


@pytest.fixture
def limits() -> config.Serve:
    return config.Serve(max_upload_bytes=20_000, max_pixels=2_000)


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def client(connect, studio, door, tmp_path, limits):
    return connect(build_api(studio, tmp_path, limits, door=door))


@pytest.fixture(scope="session")
def loaded():
    """The model in the box."""
    from browser import load_box

    return load_box()


@pytest.fixture(scope="module")
def browser():
    """Closed with each module: while it is open, this thread's event loop is its own."""
    from browser import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture
def painted(loaded):
    """A studio that draws with the model in the box."""
    from browser import Painted

    return Painted(loaded)


@pytest.fixture
def visit(browser, painted):
    """Opens the page of an endpoint of its own; it must ask no other host, and complain of nothing."""
    from contextlib import ExitStack

    from browser import Visit, serving

    visits = []
    with ExitStack() as stack:

        def open_page(options=None, studio=None, **limits) -> Visit:
            address = stack.enter_context(serving(studio or painted, **limits))
            visits.append(Visit(browser, address, **(options or {})))
            return visits[-1]

        yield open_page
        for each in visits:
            each.context.close()
    for each in visits:
        assert [url for url in each.asked if not url.startswith((each.address, "blob:" + each.address, "data:"))] == []
        assert each.complaints == []
