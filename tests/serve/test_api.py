"""The HTTP interface without Ray: answers, refusals, limits, documents."""

import base64

import numpy as np
import pytest
from endpoint import post, problem, raising

from spt_dist import config
from spt_dist.serve.api import build_api
from spt_dist.serve.orders import BusyError, DeadlineError
from spt_dist.serve.request import read_image, read_labels


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
def test_missing_field_is_named(connect, studio, tmp_path, parts, field):
    del parts[field]
    client = connect(build_api(studio, tmp_path, config.Serve(annotator="off")))
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


def test_full_queue_says_when_to_come_back(client, studio, parts):
    raising(studio, BusyError("the queue is full", 3))
    answer = post(client, parts)
    problem(answer, 503)
    assert answer.headers["retry-after"] == "3"


def test_bug_is_json_and_tells_nothing_private(client, studio, parts, caplog):
    raising(studio, RuntimeError("/secret/path"))
    error = problem(post(client, parts), 500)
    assert error["field"] == ""
    assert "secret" not in error["message"]
    assert error["request_id"] in error["message"]
    assert f"request {error['request_id']} failed" in caplog.text


def test_passed_deadline(client, studio, parts):
    raising(studio, DeadlineError("the deadline passed"))
    assert problem(post(client, parts), 504)["message"] == "the deadline passed"


def test_unknown_path_and_wrong_method(client):
    assert "/docs" in problem(client.get("/v2/generate"), 404)["message"]
    assert "GET /v1/generate" in problem(client.get("/v1/generate"), 405)["message"]


def test_health_names_the_run(client):
    assert client.get("/healthz").json() == {"status": "ok", "run": "first", "version": "0.1.0"}


def test_openapi_says_what_the_endpoint_takes_and_gives(client):
    api = client.get("/openapi.json").json()
    generate = api["paths"]["/v1/generate"]["post"]
    for form in generate["requestBody"]["content"].values():
        assert form["schema"]["required"] == ["image"]
    assert set(generate["responses"]) == {"200", "400", "401", "413", "415", "422", "429", "503", "504"}
    kinds = {"image/png", "image/jpeg", "image/webp", "application/json"}
    assert set(generate["responses"]["200"]["content"]) == kinds
    assert {path for path in api["paths"] if path.startswith("/v1")} == {
        f"/v1/{name}" for name in ("generate", "poses", "transfer", "edit", "annotate", "models", "gallery", "body")
    }
    assert "HTTPValidationError" not in api["components"]["schemas"]
    references = set(_references(api))
    assert references <= {f"#/components/schemas/{name}" for name in api["components"]["schemas"]}


def test_the_documented_example_pose_is_accepted(client, parts):
    api = client.get("/openapi.json").json()
    form = api["paths"]["/v1/generate"]["post"]["requestBody"]["content"]["multipart/form-data"]
    fields = form["schema"]["properties"]
    parts["target_joints"] = fields["target_joints"]["examples"][0]
    assert post(client, parts).status_code == 200


@pytest.mark.parametrize("name", ["generate", "poses", "transfer", "edit"])
def test_the_documented_example_is_drawn(studio, connect, tmp_path, name):
    client = connect(build_api(studio, tmp_path, config.Serve()))
    api = client.get("/openapi.json").json()
    example = api["paths"][f"/v1/{name}"]["post"]["requestBody"]["content"]["application/json"]["example"]
    answer = client.post(f"/v1/{name}", json=example)
    assert answer.status_code == 200, answer.text
    assert '"error"' not in answer.text[:200]
    assert len(studio.jobs) == 1


def _references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _references(child)
