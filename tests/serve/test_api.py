"""The HTTP interface without Ray: answers, refusals, limits, documents."""

import base64

import numpy as np
import pytest

from spt_dist.serve.api import Picture, build_api
from spt_dist.serve.request import BusyError, Order, read_image, read_labels


async def mirror(order: Order) -> Picture:
    return Picture(order.image[:, ::-1].copy(), order.labels[:, ::-1].copy())


@pytest.fixture
def client(connect, tmp_path, limits):
    return connect(build_api(mirror, tmp_path, limits))


def post(client, parts, **headers):
    files = {name: parts[name] for name in ("image", "parsing") if name in parts}
    data = {name: parts[name] for name in ("source_joints", "target_joints") if name in parts}
    return client.post("/v1/generate", files=files or None, data=data, headers=headers)


def problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"field", "message"}
    assert error["message"]
    return error


def test_answers_a_png(client, parts, pixels):
    answer = post(client, parts)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(read_image(answer.content, max_pixels=10_000), pixels[:, ::-1])


def test_answers_json_with_the_parsing_map_when_asked(client, parts, pixels, labels):
    drawn = post(client, parts, Accept="application/json").json()
    image, parsing = (base64.b64decode(drawn[name]) for name in ("image", "parsing"))
    np.testing.assert_array_equal(read_image(image, max_pixels=10_000), pixels[:, ::-1])
    np.testing.assert_array_equal(read_labels(parsing, max_pixels=10_000), labels[:, ::-1])


@pytest.mark.parametrize("field", ["image", "parsing", "source_joints", "target_joints"])
def test_missing_field_is_named(client, parts, field):
    del parts[field]
    assert problem(post(client, parts), 422)["field"] == field


@pytest.mark.parametrize(
    ("field", "content"),
    [("image", b"hello"), ("parsing", b""), ("source_joints", "[1, 2"), ("target_joints", "[null]")],
)
def test_bad_field_is_named(client, parts, field, content):
    parts[field] = content
    assert problem(post(client, parts), 422)["field"] == field


def test_file_where_text_belongs_and_text_where_a_file_belongs(client, parts):
    names = ("image", "parsing", "source_joints")
    files = {name: parts[name] for name in names}
    error = problem(client.post("/v1/generate", files=files, data={"target_joints": parts["target_joints"]}), 422)
    assert error["field"] == "source_joints"
    assert "=<file" in error["message"]
    texts = {name: parts[name] for name in ("source_joints", "target_joints")} | {"image": "me.jpg"}
    error = problem(client.post("/v1/generate", files={"parsing": parts["parsing"]}, data=texts), 422)
    assert error["field"] == "image"
    assert "=@file" in error["message"]


def test_too_many_bytes(client, parts, limits):
    parts["image"] = bytes(limits.max_upload_bytes)
    error = problem(post(client, parts), 413)
    assert error["field"] == "body"
    assert "20,000" in error["message"]


def test_too_many_bytes_without_a_declared_length(client):
    async def chunks():
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        for _ in range(10):
            yield bytes(4_000)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert problem(client.post("/v1/generate", content=chunks(), headers=kind), 413)["field"] == "body"


def test_body_that_is_no_form(client):
    kind = {"Content-Type": "multipart/form-data"}
    assert problem(client.post("/v1/generate", content=b"?", headers=kind), 400)["field"] == "body"


def test_full_queue_says_when_to_come_back(connect, tmp_path, limits, parts):
    async def busy(order: Order) -> Picture:
        raise BusyError(3)

    answer = post(connect(build_api(busy, tmp_path, limits)), parts)
    problem(answer, 503)
    assert answer.headers["retry-after"] == "3"


def test_bug_is_json_and_tells_nothing_private(connect, tmp_path, limits, parts):
    async def broken(order: Order) -> Picture:
        raise RuntimeError("/secret/path")

    error = problem(post(connect(build_api(broken, tmp_path, limits)), parts), 500)
    assert error["field"] == ""
    assert "secret" not in error["message"]


def test_unknown_path_and_wrong_method(client):
    assert "/docs" in problem(client.get("/v2/generate"), 404)["message"]
    assert "GET /v1/generate" in problem(client.get("/v1/generate"), 405)["message"]


def test_health_names_the_run(client, tmp_path):
    assert client.get("/healthz").json() == {"status": "ok", "run": tmp_path.name, "version": "0.1.0"}


def test_openapi_says_what_the_endpoint_takes_and_gives(client):
    api = client.get("/openapi.json").json()
    generate = api["paths"]["/v1/generate"]["post"]
    reference = generate["requestBody"]["content"]["multipart/form-data"]["schema"]["$ref"]
    form = api["components"]["schemas"][reference.rpartition("/")[2]]
    assert form["required"] == ["image", "parsing", "source_joints", "target_joints"]
    assert set(generate["responses"]) == {"200", "413", "422", "503"}
    assert set(generate["responses"]["200"]["content"]) == {"image/png", "application/json"}
    assert "HTTPValidationError" not in api["components"]["schemas"]
    references = set(_references(api))
    assert references <= {f"#/components/schemas/{name}" for name in api["components"]["schemas"]}


def test_the_documented_example_pose_is_accepted(client, parts):
    api = client.get("/openapi.json").json()
    fields = api["components"]["schemas"]["Body_generate_v1_generate_post"]["properties"]
    parts["target_joints"] = fields["target_joints"]["examples"][0]
    assert post(client, parts).status_code == 200


def _references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _references(child)
