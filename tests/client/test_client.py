"""The client against the real interface: calls arrive, answers are typed, what may go better is tried again."""

import asyncio
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import pytest
import uvicorn
from endpoint import raising
from mirror import SIZE, Mirror, stand_in

from spt_dist import config
from spt_dist.body import Joint, Label
from spt_dist.client import (
    AsyncClient,
    BusyError,
    Client,
    DeadlineError,
    EndpointError,
    Person,
    Picture,
    Pose,
    RefusedError,
    UnreachableError,
)
from spt_dist.client import clients as module
from spt_dist.provenance import encode
from spt_dist.serve.api import build_api
from spt_dist.serve.keys import add_key
from spt_dist.serve.orders import BusyError as Busy
from spt_dist.serve.orders import Look


@pytest.fixture
def studio():
    return Mirror()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


@pytest.fixture
def person(pixels, tmp_path):
    """The photo as pixels, the map as a path: both ways go."""
    labels = np.full(SIZE, Label.PANTS, np.uint8)
    (tmp_path / "a.png").write_bytes(encode(labels, "png"))
    joints = [[index % SIZE[1], index % SIZE[0], 1] for index in range(len(Joint) - 1)] + [None]
    return Person(pixels, tmp_path / "a.png", joints)


@pytest.fixture
def serve(studio, tmp_path):
    """Starts an endpoint on a free port; gives its address."""
    servers = []

    def start(**limits) -> str:
        api = build_api(studio, tmp_path, config.Serve(**limits))
        server = uvicorn.Server(uvicorn.Config(api, port=0, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "_backoff", lambda state: 0.01)


def test_every_operation_arrives(serve, studio, person, pixels):
    pose = Pose(person.joints, (24, 14))
    with Client(serve()) as client:
        drawn = client.generate(person, pose)
        np.testing.assert_array_equal(drawn.pixels, pixels[:, ::-1])
        assert (drawn.labels == Label.PANTS).all()
        assert drawn.request_id
        assert drawn.timings_s["draw"] == pytest.approx(0.004)
        client.transfer(person, person, ["upper", "pants"])
        client.edit(person, "pants-to-skirt")
        client.edit(person, new_parsing=np.full(SIZE, Label.SKIRT, np.uint8))
        assert [model["id"] for model in client.models()] == ["first", "second"]
    posed, dressed, named, edited = (job.order for job in studio.jobs)
    assert posed.target_size == (24, 14)
    assert dressed.labels == {Label.UPPER, Label.PANTS}
    assert (named.new_labels == Label.SKIRT).any()
    assert (edited.new_labels == Label.SKIRT).all()


def test_raw_photos_are_annotated_by_the_endpoint(serve, studio, pixels, tmp_path):
    found = stand_in(Look("image", pixels, 0.0, ""))
    (tmp_path / "b.png").write_bytes(encode(np.full((30, 20, 3), 7, np.uint8), "png"))
    with Client(serve()) as client:
        annotated = client.annotate(pixels)
        client.generate(Person(pixels), tmp_path / "b.png")
        client.transfer(Person(pixels), Person(tmp_path / "b.png"))
    np.testing.assert_allclose(annotated.joints, found.joints)
    np.testing.assert_array_equal(annotated.labels, found.labels)
    assert (annotated.annotator, annotated.box) == ("stand-in", found.box)
    posed, dressed = (job.order for job in studio.jobs)
    np.testing.assert_array_equal(posed.source.labels, found.labels)
    assert posed.target_size == (30, 20)
    assert dressed.giver.labels.shape == (30, 20)

    async def ask(address: str):
        async with AsyncClient(address) as client:
            return await client.annotate(pixels)

    np.testing.assert_array_equal(asyncio.run(ask(serve())).labels, found.labels)


def test_a_picture_is_saved_as_it_came(serve, person, tmp_path):
    with Client(serve(), model="second") as client:
        drawn = client.generate(person, Pose(person.joints), format="webp")
    drawn.save(tmp_path / "out.webp")
    assert (tmp_path / "out.webp").read_bytes() == drawn.content
    assert drawn.content[:4] == b"RIFF"


def test_a_seed_is_sent_with_every_call(serve, studio, person):
    studio.models["first"] = studio.models["first"]._replace(noise=True)
    with Client(serve()) as client:
        client.generate(person, Pose(person.joints), seed=7)
        client.edit(person, new_parsing=person.parsing, seed=8)
        client.transfer(person, person, seed=9)
        list(client.poses(person, [Pose(person.joints)], seed=10))
    assert [job.seed for job in studio.jobs] == [7, 8, 9, 10]


def test_poses_come_with_their_index_and_a_bad_one_alone(serve, studio, person):
    raising(studio, ValueError("a bug in the first"))
    with Client(serve()) as client:
        found = list(client.poses(person, [Pose(person.joints)] * 3))
    assert sorted(each.index for each in found if isinstance(each, Picture)) == [1, 2]
    (failed,) = (each for each in found if isinstance(each, EndpointError))
    assert "the endpoint failed" in str(failed)
    assert not isinstance(failed, RefusedError)  # no fault of the request


def test_busy_is_tried_again_under_the_same_key_and_drawn_once(serve, studio, person):
    raising(studio, Busy(retry_after_s=0), Busy(retry_after_s=0))
    with Client(serve()) as client:
        assert client.generate(person, Pose(person.joints)).pixels.shape == (*SIZE, 3)
    assert len(studio.jobs) == 1


def test_a_lost_answer_is_asked_for_again_and_not_drawn_again(studio, person, tmp_path):
    class Lossy(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self.real, self.lost = httpx.ASGITransport(build_api(studio, tmp_path, config.Serve())), 0

        async def handle_async_request(self, request):
            answer = await self.real.handle_async_request(request)
            self.lost += 1
            if self.lost == 1:
                raise httpx.RemoteProtocolError("the connection was lost")
            return answer

    async def draw() -> Picture:
        async with AsyncClient("http://test", transport=Lossy()) as client:
            return await client.generate(person, Pose(person.joints))

    assert asyncio.run(draw()).pixels.shape == (*SIZE, 3)
    assert len(studio.jobs) == 1


def test_retry_after_is_kept(serve, studio, person):
    raising(studio, Busy(retry_after_s=1))
    start = time.monotonic()
    with Client(serve()) as client:
        client.generate(person, Pose(person.joints))
    assert time.monotonic() - start >= 1


def test_tries_and_deadline_are_bounds(serve, studio, person):
    raising(studio, *[Busy(retry_after_s=0)] * 3, *[Busy(retry_after_s=5)] * 3)
    address = serve()
    with Client(address, tries=3) as client, pytest.raises(BusyError, match="the queue is full"):
        client.generate(person, Pose(person.joints))
    start = time.monotonic()
    with Client(address, deadline_s=1.0) as client, pytest.raises(BusyError):  # waiting 5 s would be too late
        client.generate(person, Pose(person.joints))
    assert time.monotonic() - start < 1
    assert not studio.jobs


def test_a_slow_endpoint_is_left_at_the_deadline(serve, studio, person):
    async def sleep(job):
        await asyncio.sleep(3)

    studio.draw = sleep
    with Client(serve(), deadline_s=0.2) as client, pytest.raises(DeadlineError, match=r"within 0\.2 s"):
        client.generate(person, Pose(person.joints))


def test_refusals_name_the_field_and_are_not_tried_again(serve, person):
    with Client(serve()) as client, pytest.raises(RefusedError, match="`edit`: or `new_parsing`") as refused:
        client.edit(person)
    assert (refused.value.status, refused.value.field) == (422, "edit")
    assert refused.value.request_id in str(refused.value)


def test_keys_are_sent(serve, person, tmp_path):
    secret = add_key(tmp_path / "keys.json", "shop", per_minute=1)
    address = serve(keys=str(tmp_path / "keys.json"))
    with Client(address) as client, pytest.raises(RefusedError, match="Authorization"):
        client.generate(person, Pose(person.joints))
    with Client(address, key=secret, deadline_s=2) as client:
        client.generate(person, Pose(person.joints))
        with pytest.raises(BusyError, match="1 pictures a minute"):
            client.generate(person, Pose(person.joints))


def test_nobody_there_is_said(person):
    with Client("http://127.0.0.1:9", tries=2) as client:
        for ask in (lambda: client.generate(person, Pose(person.joints)), client.models):
            with pytest.raises(UnreachableError, match="does it run"):
                ask()


def test_the_client_that_awaits_has_the_same_methods(serve, studio, person, pixels):
    async def all_of_them(address: str) -> list:
        async with AsyncClient(address) as client:
            drawn = await client.generate(person, Pose(person.joints))
            many = [each async for each in client.poses(person, [Pose(person.joints)] * 2)]
            await client.transfer(person, person)
            await client.edit(person, "pants-to-skirt")
            assert len(await client.models()) == 2
            return [drawn, *many]

    for picture in asyncio.run(all_of_them(serve())):
        np.testing.assert_array_equal(picture.pixels, pixels[:, ::-1])
    assert len(studio.jobs) == 5
    public = [{name for name in vars(kind) if name[0] != "_"} for kind in (Client, AsyncClient)]
    assert public[0] == public[1]


@pytest.mark.slow
def test_it_brings_neither_torch_nor_ray():
    code = "import sys, spt_dist.client; sys.exit(bool({'torch', 'ray', 'cv2', 'c2pa'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
