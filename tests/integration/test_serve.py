"""`spt serve` as a user runs it: Ray Serve on a free port, requests over HTTP, an interrupt."""

import base64
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from processes import wait_for
from untrained import PEOPLE, untrained_run

from spt_dist import config
from spt_dist.body import Label
from spt_dist.infer import Person, Predictor
from spt_dist.provenance import encode, read

SPT = str(Path(sys.executable).with_name("spt"))


class Endpoint(NamedTuple):
    address: str
    run: Path
    other: Path  # a second run, served as `other`
    process: subprocess.Popen


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory) -> Iterator[Endpoint]:
    run, other = untrained_run(tmp_path_factory.mktemp("run")), untrained_run(tmp_path_factory.mktemp("other"), seed=1)
    limits = ("port=0", "max_replicas=1", "follow_s=0.2", f"log={run}/endpoint.jsonl", f"identity={run}/identity")
    command = [SPT, "serve", f"run={run}", f"other={other}", *(f"--set=serve.{each}" for each in limits)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if found := re.search(r"(http://127\.0\.0\.1:\d+)/docs", line):
                    break
            else:
                pytest.fail("the endpoint did not start:\n" + "".join(lines))
            yield Endpoint(found[1], run, other, process)
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=60)[0]
            assert process.returncode == 0, rest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_listens_on_127_0_0_1_alone(endpoint):
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint.address.replace("127.0.0.1", "127.0.0.2"))


def request(endpoint: Endpoint, source: dict, target: dict) -> dict:
    """What `httpx.post` sends for one person of the gallery in the pose of another."""
    files = {name: httpx.get(endpoint.address + source[name]).content for name in ("image", "parsing")}
    return {
        "files": files,
        "data": {
            f"{end}_joints": json.dumps(joints)
            for end, joints in (("source", source["joints"]), ("target", target["joints"]))
        },
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_requests_at_once_each_get_the_picture_that_the_predictor_draws(endpoint):
    entries = httpx.get(f"{endpoint.address}/v1/gallery").json()["people"]
    orders = [request(endpoint, source, target) for source, target in zip(entries, entries[::-1], strict=True)]
    with ThreadPoolExecutor(PEOPLE) as pool:
        send = lambda order: httpx.post(f"{endpoint.address}/v1/generate", timeout=60, **order)  # noqa: E731
        answers = list(pool.map(send, orders))
    predictor = Predictor.load(endpoint.run / "weights")
    assert all("draw;dur=" in answer.headers["server-timing"] for answer in answers)
    assert all(len(answer.headers.get_list("x-request-id")) == 1 for answer in answers)
    poses = [np.array(entry["joints"], np.float32) for entry in entries]
    for index, (order, answer) in enumerate(zip(orders, answers, strict=True)):
        assert answer.status_code == 200, answer.text
        image, labels = (np.array(Image.open(io.BytesIO(order["files"][name]))) for name in ("image", "parsing"))
        expected = predictor.generate(image, labels, poses[index], poses[-1 - index]).image.astype(int)
        np.testing.assert_allclose(pixels(answer), expected, atol=1)
        assert expected.std() > 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pages_documents_and_refusals_pass_the_proxy(endpoint):
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/v1/body", "/assets/page.js"):
        assert httpx.get(endpoint.address + path).status_code == 200
    entry = httpx.get(f"{endpoint.address}/v1/gallery").json()["people"][0]
    order = request(endpoint, entry, entry)
    order["files"]["parsing"] = b"no picture"
    answer = httpx.post(f"{endpoint.address}/v1/generate", **order)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "parsing")
    order["files"]["image"] = bytes(config.Serve().max_upload_bytes)
    answer = httpx.post(f"{endpoint.address}/v1/generate", **order)
    assert (answer.status_code, answer.json()["error"]["field"]) == (413, "body")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_pose_outside_its_picture_is_refused_by_the_networks_frame(endpoint):
    entries = httpx.get(f"{endpoint.address}/v1/gallery").json()["people"]
    order = request(endpoint, entries[0], entries[1])
    order["data"]["target_joints"] = json.dumps([[5000, 5000, 1]] + [None] * 17)
    answer = httpx.post(f"{endpoint.address}/v1/generate", **order)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "target_joints")
    assert "no joint inside its picture" in answer.json()["error"]["message"]


def first(endpoint: Endpoint) -> dict:
    """A request for the gallery's first person in the second one's pose."""
    entries = httpx.get(f"{endpoint.address}/v1/gallery").json()["people"]
    return request(endpoint, entries[0], entries[1])


def ask(endpoint: Endpoint, order: dict, **fields: str) -> httpx.Response:
    data = {**order["data"], **fields}
    return httpx.post(f"{endpoint.address}/v1/generate", files=order["files"], data=data, timeout=60)


@contextmanager
def load(endpoint: Endpoint, order: dict) -> Iterator[list[httpx.Response]]:
    """Four clients that ask one request after the other, until the end of the block and once more."""
    answers: list[httpx.Response] = []
    stopped = threading.Event()

    def go_on() -> None:
        while not stopped.is_set():
            answers.append(ask(endpoint, order))
        answers.append(ask(endpoint, order))

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(go_on) for _ in range(4)]
        try:
            yield answers
        finally:
            stopped.set()
        for client in clients:
            client.result(60)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_models_share_the_replicas(endpoint):
    order = first(endpoint)
    by_run, by_other, by_default = (
        pixels(ask(endpoint, order, **by)) for by in ({"model": "run"}, {"model": "other"}, {})
    )
    np.testing.assert_array_equal(by_run, by_default)
    assert (by_run != by_other).any()
    found = httpx.get(f"{endpoint.address}/v1/models").json()
    assert [model["id"] for model in found["models"]] == ["run", "other"]
    assert found["replicas"] == {"running": 1, "starting": 0}
    assert httpx.get(f"{endpoint.address}/readyz").json()["status"] == "ready"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_poses_stream_and_an_impossible_one_fails_alone(endpoint):
    order = first(endpoint)
    wanted = json.loads(order["data"].pop("target_joints"))
    order["data"]["poses"] = json.dumps([wanted, [[5000, 5000, 1]] + [None] * 17, wanted])
    answer = httpx.post(f"{endpoint.address}/v1/poses", timeout=60, **order)
    *lines, last = map(json.loads, answer.text.splitlines())
    assert last["done"] == 3
    by_index = {line["index"]: line for line in lines}
    assert "no joint inside its picture" in by_index[1]["error"]["message"]
    first_drawn, last_drawn = (base64.b64decode(by_index[index]["image"]) for index in (0, 2))
    np.testing.assert_allclose(
        *(np.array(Image.open(io.BytesIO(each))).astype(int) for each in (first_drawn, last_drawn)), atol=1
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_clothes_and_maps_are_what_the_predictor_draws(endpoint):
    entries = httpx.get(f"{endpoint.address}/v1/gallery").json()["people"]
    orders = [request(endpoint, entry, entry) for entry in entries[:2]]
    wearer, giver = (Person(*arrays(order)[:3]) for order in orders)
    order, predictor = orders[0], Predictor.load(endpoint.run / "weights")
    del order["data"]["target_joints"]

    edited = np.where(wearer.labels == Label.PANTS, Label.SKIRT, wearer.labels).astype(np.uint8)
    files = order["files"] | {"new_parsing": encode(edited, "png")}
    answer = httpx.post(f"{endpoint.address}/v1/edit", files=files, data=order["data"], timeout=60)
    expected = predictor.edit(wearer, edited).image
    np.testing.assert_allclose(pixels(answer), expected.astype(int), atol=1)
    assert (expected != predictor.frame(wearer).image).any()

    files = order["files"] | {f"giver_{name}": content for name, content in orders[1]["files"].items()}
    data = order["data"] | {"giver_joints": orders[1]["data"]["source_joints"], "labels": "upper"}
    answer = httpx.post(f"{endpoint.address}/v1/transfer", files=files, data=data, timeout=60)
    expected = predictor.transfer(wearer, giver, {Label.UPPER}).image
    np.testing.assert_allclose(pixels(answer), expected.astype(int), atol=1)
    assert (expected != predictor.frame(wearer).image).any()


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.array(Image.open(io.BytesIO(answer.content))).astype(int)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_new_weights_are_served_without_a_failed_request(endpoint, tmp_path):
    order = first(endpoint)
    before = pixels(ask(endpoint, order))
    with load(endpoint, order) as answers:
        for file in sorted((untrained_run(tmp_path / "new", seed=2) / "weights").iterdir()):
            shutil.copy(file, endpoint.run / "weights" / file.name)
        wait_for(lambda: answers and (abs(pixels(answers[-1]) - before) > 1).any(), "the new weights", 60)
    assert {answer.status_code for answer in answers} == {200}
    expected = Predictor.load(endpoint.run / "weights").generate(*arrays(order)).image.astype(int)
    np.testing.assert_allclose(pixels(answers[-1]), expected, atol=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_metrics_log_and_seal_are_those_of_the_request(endpoint):
    answer = ask(endpoint, first(endpoint))
    request_id = answer.headers["x-request-id"]
    metrics = httpx.get(f"{endpoint.address}/metrics").text
    drawn = re.search(r'^spt_pictures_total\{digest="\w+",model="run"\} (\d+)', metrics, re.M)
    batches = re.search(r"^spt_batches_total ([\d.]+)", metrics, re.M)
    assert drawn
    assert batches
    assert float(drawn[1]) >= 1 <= float(batches[1])
    assert 'spt_replicas{state="running"} 1.0' in metrics
    lines = [json.loads(line) for line in (endpoint.run / "endpoint.jsonl").read_text().splitlines()]
    (line,) = (each for each in lines if each["request_id"] == request_id)
    assert (line["route"], line["status"]) == ("/v1/generate", 200)
    found = read(answer.content, (endpoint.run / "identity" / "chain.pem").read_text())
    assert (found.seal, found.known, found.origin["request_id"]) == ("whole", True, request_id)


def arrays(order: dict) -> list[np.ndarray]:
    """What `Predictor.generate` takes, of a request."""
    pictures = [np.array(Image.open(io.BytesIO(order["files"][name]))) for name in ("image", "parsing")]
    return pictures + [np.array(json.loads(order["data"][f"{end}_joints"]), np.float32) for end in ("source", "target")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_replica_killed_under_load_fails_no_request(endpoint):
    order = first(endpoint)
    with load(endpoint, order) as answers:
        wait_for(lambda: len(answers) > 8, "some answers", 60)
        (painter,) = (one for one in psutil.Process(endpoint.process.pid).children(recursive=True) if is_painter(one))
        painter.kill()
        killed = len(answers)
        wait_for(lambda: len(answers) > killed + 8, "answers of the next replica", 60)
    assert {answer.status_code for answer in answers} == {200}
    cold = [answer for answer in answers if "cold;dur=" in answer.headers["server-timing"]]
    assert cold  # those who waited for the next replica are told so


def is_painter(process: psutil.Process) -> bool:
    try:
        return "ServeReplica:spt:Painter" in " ".join(process.cmdline())
    except psutil.Error:
        return False
