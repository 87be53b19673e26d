"""How a request becomes a job and a picture an answer: both forms, options, deadlines, keys, lines, readiness."""

import base64
import json
import tempfile

import numpy as np
import pytest
from endpoint import as_json, post, problem, raising

from spt_dist import config
from spt_dist.provenance import read
from spt_dist.serve.api import build_api
from spt_dist.serve.orders import BusyError, Replicas, RequestError
from spt_dist.serve.request import read_image


def test_json_is_the_same_order_as_the_form(client, studio, parts):
    answers = post(client, parts), client.post("/v1/generate", json=as_json(parts))
    pictures = [read_image(answer.content, max_pixels=1000) for answer in answers]
    np.testing.assert_array_equal(*pictures)
    origins = [read(answer.content).origin for answer in answers]
    assert [origin["request_id"] for origin in origins] == [answer.headers["x-request-id"] for answer in answers]
    assert {(origin["operation"], origin["digest"]) for origin in origins} == {("generate", "first-digest")}
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


def test_a_refusal_repeats_no_more_than_a_part_of_what_was_sent(client, parts):
    giver = {"giver_image": parts["image"], "giver_parsing": parts["parsing"]}
    data = {"source_joints": parts["source_joints"], "giver_joints": parts["source_joints"], "labels": "[" * 5000}
    answer = client.post("/v1/transfer", files={name: parts[name] for name in ("image", "parsing")} | giver, data=data)
    message = problem(answer, 422)["message"]
    assert len(message) < 700
    assert message.endswith("r_leg")


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


def test_a_seed_reaches_the_job_and_the_file_where_the_model_has_noise(client, studio, parts):
    studio.models["second"] = studio.models["second"]._replace(noise=True)
    for sent, model, kept in ((7, "second", 7), ("7", "second", 7), (7, "first", None), (None, "second", None)):
        body = as_json(parts) | {"model": model} | ({} if sent is None else {"seed": sent})
        answer = client.post("/v1/generate", json=body, headers={"Accept": "application/json"}).json()
        assert (studio.jobs[-1].seed, answer["seed"]) == (kept, kept)
        assert read(base64.b64decode(answer["image"])).origin["seed"] == ("" if kept is None else str(kept))
    assert [each["noise"] for each in client.get("/v1/models").json()["models"]] == [False, True]


@pytest.mark.parametrize("seed", [-1, 2**32, "1.5", "7 ", "٧", "", "9" * 5000, True, [7]])
def test_a_seed_that_is_none_is_refused(client, parts, seed):
    assert problem(client.post("/v1/generate", json=as_json(parts) | {"seed": seed}), 422)["field"] == "seed"


def test_poses_are_drawn_by_one_seed(client, studio, parts):
    studio.models["first"] = studio.models["first"]._replace(noise=True)
    body = as_json(parts) | {"seed": 5}
    body["poses"] = [body.pop("target_joints")] * 2
    assert client.post("/v1/poses", json=body).status_code == 200
    assert [job.seed for job in studio.jobs] == [5, 5]


def test_more_text_than_any_pose_has_is_not_parsed(client, parts, monkeypatch):
    monkeypatch.setattr("spt_dist.joints.load_json", lambda text: pytest.fail("it was parsed"))
    long = "[" + "1," * 5_000 + "1]"
    refused = problem(client.post("/v1/generate", json=as_json(parts) | {"target_joints": long}), 413)
    assert refused["field"] == "target_joints"
    assert "10,003 characters; 10,000" in refused["message"]


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


def test_a_bug_in_one_pose_is_a_line_of_its_own(client, studio, parts, caplog):
    raising(studio, RuntimeError("/secret/path"))
    body = as_json(parts)
    body["poses"] = [body.pop("target_joints"), body["source_joints"]]
    *lines, last = map(json.loads, client.post("/v1/poses", json=body).text.splitlines())
    assert last["done"] == len(lines) == 2
    (failed,) = (line for line in lines if "error" in line)
    assert "secret" not in failed["error"]["message"]
    assert f"of request {last['request_id']} failed" in caplog.text


def test_requests_are_inside_until_their_last_byte(client, studio, door, parts):
    inside, draw = [], studio.draw

    async def look(job):
        inside.append(door.inside)
        return await draw(job)

    studio.draw = look
    body = as_json(parts)
    assert client.post("/v1/generate", json=body).status_code == 200
    body["poses"] = [body.pop("target_joints")]
    assert client.post("/v1/poses", json=body).status_code == 200
    assert (inside, door.inside) == ([1, 1], 0)


def test_a_big_upload_stays_in_memory(connect, studio, tmp_path, parts, monkeypatch):
    def refuse(_):
        raise AssertionError("an upload was written to disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    limits = config.Serve(max_upload_bytes=4_000_000)
    parts["image"] += bytes(3_000_000)
    assert post(connect(build_api(studio, tmp_path, limits)), parts).status_code == 200
