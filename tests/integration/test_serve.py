"""`spt serve` as a user runs it: Ray Serve on a free port, requests over HTTP, an interrupt."""

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from spt_dist import config
from spt_dist.data.schema import Sample
from spt_dist.infer import Predictor
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.models.weights import save_weights
from spt_dist.serve.page import export_gallery

SPT = str(Path(sys.executable).with_name("spt"))
SIZE = (64, 32)
PEOPLE = 6
SMALL = config.from_tree(
    {
        "data": {"image_size": SIZE},
        "networks": {"semantic": {"widths": [8, 8, 8]}, "appearance": {"widths": [8, 8, 8], "warped_levels": 2}},
    }
)


class Endpoint(NamedTuple):
    address: str
    run: Path
    process: subprocess.Popen


def people() -> Iterator[Sample]:
    """Noise with labels in blocks, and joints anywhere in the picture."""
    random = np.random.default_rng(0)
    for index in range(PEOPLE):
        image = random.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        labels = random.integers(0, 10, (SIZE[0] // 8, SIZE[1] // 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        joints = np.column_stack([random.uniform(1, side - 2, 18) for side in (SIZE[1], SIZE[0])] + [np.ones(18)])
        yield Sample(f"person {index}", image, labels, joints.round(1).astype(np.float32))


def untrained_run(folder: Path) -> Path:
    torch.manual_seed(0)
    networks = SMALL.networks
    modules = {
        "semantic": SemanticGenerator(networks.semantic),
        "appearance": AppearanceGenerator(networks.appearance),
    }
    save_weights(folder / "weights", modules, {"config": config.to_tree(SMALL), "frame": "person"})
    (folder / "config.json").write_text(json.dumps(config.to_tree(SMALL)))
    assert export_gallery(folder, people()) == PEOPLE
    return folder


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory) -> Iterator[Endpoint]:
    run = untrained_run(tmp_path_factory.mktemp("run"))
    command = [SPT, "serve", str(run), "--set", "serve.port=0", "--set", "serve.max_replicas=1"]
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
            yield Endpoint(found[1], run, process)
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=60)[0]
            assert process.returncode == 0, rest


@pytest.mark.slow
@pytest.mark.timeout(180)
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
@pytest.mark.timeout(180)
def test_requests_at_once_each_get_the_picture_that_the_predictor_draws(endpoint):
    entries = httpx.get(f"{endpoint.address}/v1/gallery").json()["people"]
    orders = [request(endpoint, source, target) for source, target in zip(entries, entries[::-1], strict=True)]
    with ThreadPoolExecutor(PEOPLE) as pool:
        send = lambda order: httpx.post(f"{endpoint.address}/v1/generate", timeout=60, **order)  # noqa: E731
        answers = list(pool.map(send, orders))
    predictor = Predictor.load(endpoint.run / "weights")
    poses = [np.array(entry["joints"], np.float32) for entry in entries]
    for index, (order, answer) in enumerate(zip(orders, answers, strict=True)):
        assert answer.status_code == 200, answer.text
        image, labels = (np.array(Image.open(io.BytesIO(order["files"][name]))) for name in ("image", "parsing"))
        expected = predictor.generate(image, labels, poses[index], poses[-1 - index]).image.astype(int)
        drawn = np.array(Image.open(io.BytesIO(answer.content))).astype(int)
        np.testing.assert_allclose(drawn, expected, atol=1)
        assert expected.std() > 1


@pytest.mark.slow
@pytest.mark.timeout(180)
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
@pytest.mark.timeout(180)
def test_a_pose_outside_its_picture_is_refused_by_the_networks_frame(endpoint):
    entries = httpx.get(f"{endpoint.address}/v1/gallery").json()["people"]
    order = request(endpoint, entries[0], entries[1])
    order["data"]["target_joints"] = json.dumps([[5000, 5000, 1]] + [None] * 17)
    answer = httpx.post(f"{endpoint.address}/v1/generate", **order)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "target_joints")
    assert "no joint inside its picture" in answer.json()["error"]["message"]
