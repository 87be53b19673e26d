"""The HTTP interface without Ray: answers, refusals, limits, documents."""

import base64
import json

import numpy as np
import pytest

from spt_dist.serve.api import build_api
from spt_dist.serve.orders import BusyError, DeadlineError, Replicas, RequestError
from spt_dist.serve.request import read_image, read_labels
from spt_dist.serve.ticket import Door


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def client(connect, studio, door, tmp_path, limits):
    return connect(build_api(studio, tmp_path, limits, door=door))


def raising(studio, *errors):
    """The studio, raising these errors one after the other before it draws."""
    draw, waiting = studio.draw, list(errors)

    async def fail(job):
        if waiting:
            raise waiting.pop(0)
        return await draw(job)

    studio.draw = fail
    return studio


def post(client, parts, **headers):
    files = {name: parts[name] for name in ("image", "parsing") if name in parts}
    data = {name: parts[name] for name in ("source_joints", "target_joints") if name in parts}
    return client.post("/v1/generate", files=files or {"": b""}, data=data, headers=headers)


def problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"field", "message", "request_id"}
    assert error["request_id"] == answer.headers["x-request-id"]
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
        assert form["schema"]["required"] == ["image", "parsing", "source_joints", "target_joints"]
    assert set(generate["responses"]) == {"200", "400", "413", "415", "422", "503", "504"}
    kinds = {"image/png", "image/jpeg", "image/webp", "application/json"}
    assert set(generate["responses"]["200"]["content"]) == kinds
    assert {path for path in api["paths"] if path.startswith("/v1")} == {
        f"/v1/{name}" for name in ("generate", "poses", "transfer", "edit", "models", "gallery", "body")
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


def as_json(parts):
    files = {name: base64.b64encode(parts[name]).decode() for name in ("image", "parsing")}
    return files | {name: json.loads(parts[name]) for name in ("source_joints", "target_joints")}


def test_json_is_the_same_order_as_the_form(client, studio, parts):
    assert post(client, parts).content == client.post("/v1/generate", json=as_json(parts)).content
    first, second = (job.order for job in studio.jobs)
    np.testing.assert_array_equal(first.source.image, second.source.image)
    np.testing.assert_array_equal(first.target_joints, second.target_joints)
    assert first.target_size == second.target_size == (24, 14)


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("image", "no base64!", 422),
        ("image", 5, 422),
        ("model", 1.5, 422),
        ("format", "bmp", 422),
        ("model", "third", 422),
        ("imge", "", 422),
        ("target_joints", {"joints": [[float("nan"), 1]] * 18}, 422),
    ],
)
def test_bad_json_field_is_named(client, parts, field, value, status):
    body = json.dumps(as_json(parts) | {field: value}).encode()
    kind = {"Content-Type": "application/json"}
    assert problem(client.post("/v1/generate", content=body, headers=kind), status)["field"] == field


@pytest.mark.parametrize(
    ("body", "kind", "status"), [(b"[1]", "json", 422), (b"[" * 10_000, "json", 400), (b"x", "xml", 415)]
)
def test_body_of_another_kind(client, body, kind, status):
    headers = {"Content-Type": f"application/{kind}"}
    assert problem(client.post("/v1/generate", content=body, headers=headers), status)["field"] == "body"


@pytest.mark.parametrize(("format", "start"), [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8"), ("webp", b"RIFF")])
def test_formats(client, parts, format, start):
    for options in (
        {"json": as_json(parts) | {"format": format}},
        {"json": as_json(parts), "headers": {"Accept": f"image/{format}"}},
    ):
        answer = client.post("/v1/generate", **options)
        assert (answer.headers["content-type"], answer.content[: len(start)]) == (f"image/{format}", start)


def test_the_wanted_model_draws(client, studio, parts):
    assert client.post("/v1/generate", json=as_json(parts) | {"model": "second"}).status_code == 200
    assert studio.jobs[0].model is studio.models["second"]


def test_every_answer_has_an_id_and_says_where_its_time_went(client, studio, parts):
    answer = post(client, parts, **{"X-Request-Id": "mine-1"})
    assert answer.headers["x-request-id"] == studio.jobs[0].request_id == "mine-1"
    timing = dict(stage.split(";dur=") for stage in answer.headers["server-timing"].split(", "))
    assert (timing["queue"], timing["draw"], set(timing)) == ("2.0", "4.0", {"read", "queue", "draw", "write"})
    assert post(client, parts, **{"X-Request-Id": "not sane"}).headers["x-request-id"] != "not sane"


def test_deadline_is_what_the_request_asks_for_and_at_most_the_endpoints(client, studio, parts, limits):
    for asked, most in (("2.5", 2.5), ("1e6", limits.deadline_s)):
        assert post(client, parts, **{"Request-Timeout": asked}).status_code == 200
        assert most - 2 < studio.jobs[-1].left_s <= most
    for bad in ("-1", "nan", "soon"):
        assert problem(post(client, parts, **{"Request-Timeout": bad}), 422)["field"] == "Request-Timeout"


def test_the_same_request_under_a_key_is_drawn_once(client, studio, parts):
    first, again = (post(client, parts, **{"Idempotency-Key": "a"}) for _ in range(2))
    assert first.content == again.content
    assert (len(studio.jobs), again.headers["idempotent-replayed"]) == (1, "true")
    parts["target_joints"] = parts["source_joints"]
    assert problem(post(client, parts, **{"Idempotency-Key": "a"}), 422)["field"] == "Idempotency-Key"
    assert post(client, parts, **{"Idempotency-Key": "b"}).status_code == 200


def test_a_failure_under_a_key_is_not_kept(client, studio, parts):
    raising(studio, BusyError())
    assert [post(client, parts, **{"Idempotency-Key": "a"}).status_code for _ in range(2)] == [503, 200]


def test_poses_come_in_lines(client, studio, parts, pixels):
    raising(studio, RequestError("target_joints", "lies outside"))
    body = as_json(parts)
    body["poses"] = [body["source_joints"], body.pop("target_joints"), body["source_joints"]]
    answer = client.post("/v1/poses", json=body)
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, last = map(json.loads, answer.text.splitlines())
    assert last == {"done": 3, "request_id": answer.headers["x-request-id"]}
    assert sorted(line["index"] for line in lines) == [0, 1, 2]
    (failed,) = (line for line in lines if "error" in line)
    assert failed["error"]["message"] == "lies outside"
    for line in lines:
        if line is not failed:
            image = read_image(base64.b64decode(line["image"]), max_pixels=10_000)
            np.testing.assert_array_equal(image, pixels[:, ::-1])


@pytest.mark.parametrize("poses", [[], [[None] * 18], 5, [1]])
def test_bad_poses_are_refused_at_once(client, parts, poses):
    body = as_json(parts) | {"poses": poses}
    del body["target_joints"]
    assert problem(client.post("/v1/poses", json=body), 422)["field"] == "poses"


def test_transfer_brings_two_people_and_labels(client, studio, parts, pixels):
    body = as_json(parts)
    del body["target_joints"]
    body |= {f"giver_{name}": body[name] for name in ("image", "parsing")} | {"giver_joints": body["source_joints"]}
    assert client.post("/v1/transfer", json=body | {"labels": "hair"}).status_code == 200
    order = studio.jobs[0].order
    assert [label.name for label in order.labels] == ["HAIR"]
    np.testing.assert_array_equal(order.giver.image, pixels)
    assert problem(client.post("/v1/transfer", json=body | {"labels": "hat"}), 422)["field"] == "labels"
    body["giver_parsing"] = body["image"]
    assert problem(client.post("/v1/transfer", json=body), 422)["field"] == "giver_parsing"


def test_edit_takes_a_name_or_a_map(client, studio, parts, labels):
    body = as_json(parts)
    del body["target_joints"]
    assert client.post("/v1/edit", json=body | {"new_parsing": body["parsing"]}).status_code == 200
    np.testing.assert_array_equal(studio.jobs[0].order.new_labels, labels)
    for wrong in ({}, {"edit": "long-sleeves", "new_parsing": body["parsing"]}, {"edit": "wings"}):
        assert problem(client.post("/v1/edit", json=body | wrong), 422)["field"] == "edit"


def test_models_and_readiness(client, studio, door):
    found = client.get("/v1/models").json()
    assert [(model["id"], model["default"]) for model in found["models"]] == [("first", True), ("second", False)]
    assert found["replicas"] == {"running": 1, "starting": 0}
    assert client.get("/readyz").json()["status"] == "ready"
    studio.found = Replicas(0, 0)
    assert client.get("/readyz").json()["status"] == "asleep"
    studio.found = Replicas(0, 1)
    assert problem(client.get("/readyz"), 503)["message"].startswith("the first replica is starting")


def test_a_closed_door_refuses_pictures_and_readiness(client, door, parts):
    door.closed = True
    for answer in (post(client, parts), client.get("/readyz")):
        assert "shutting down" in problem(answer, 503)["message"]
        assert answer.headers["retry-after"] == "5"
    assert client.get("/healthz").status_code == 200


def _references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _references(child)
