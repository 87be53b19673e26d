"""Raw photos at the endpoint: what is left out is annotated, counted, checked and told; nothing is where it is off."""

import base64
import json
import time

import numpy as np
import pytest
from annotators import GROUND, paint, write_models
from endpoint import as_json, post, problem
from mirror import stand_in

from spt_dist import config
from spt_dist.provenance import encode
from spt_dist.serve.api import build_api
from spt_dist.serve.keys import add_key
from spt_dist.serve.orders import BusyError, DeadlineError, Look, RequestError
from spt_dist.serve.painting import annotate
from spt_dist.serve.request import read_labels


def found_in(pixels):
    return stand_in(Look("image", pixels, 0.0, ""))


def test_a_raw_photo_is_drawn_as_if_what_was_found_had_been_sent(client, studio, parts, pixels):
    raw = {name: parts[name] for name in ("image", "target_joints")}
    assert post(client, raw).status_code == 200
    source, found = studio.jobs[0].order.source, found_in(pixels)
    np.testing.assert_array_equal(source.image, pixels)
    np.testing.assert_array_equal(source.labels, found.labels)
    np.testing.assert_allclose(source.joints, found.joints)
    assert (studio.looks[0].field, studio.looks[0].request_id) == ("image", studio.jobs[0].request_id)


@pytest.mark.parametrize("sent", ["parsing", "source_joints"])
def test_what_is_sent_of_a_person_counts(client, studio, parts, pixels, labels, sent):
    raw = {name: parts[name] for name in ("image", "target_joints", sent)}
    assert post(client, raw).status_code == 200
    source, found = studio.jobs[0].order.source, found_in(pixels)
    np.testing.assert_array_equal(source.labels, labels if sent == "parsing" else found.labels)
    if sent == "source_joints":
        wanted = [[-1, -1, 0] if each is None else each for each in json.loads(parts["source_joints"])]
        np.testing.assert_allclose(source.joints, wanted)
    else:
        np.testing.assert_allclose(source.joints, found.joints)


def test_the_pose_of_another_photo(client, studio, parts):
    other = np.full((30, 20, 3), 90, np.uint8)
    person = {name: parts[name] for name in ("image", "parsing", "source_joints")}
    wanted = person | {"target_image": encode(other, "png")}
    answer = post(client, wanted)
    assert answer.status_code == 200
    order = studio.jobs[0].order
    np.testing.assert_allclose(order.target_joints, found_in(other).joints)
    assert order.target_size == (30, 20)
    assert [look.field for look in studio.looks] == ["target_image"]
    assert "annotate;dur=3.0" in answer.headers["server-timing"]
    assert problem(post(client, parts | wanted), 422)["field"] == "target_joints"


def test_each_operation_takes_raw_photos(client, studio, parts):
    image = as_json(parts)["image"]
    raw = {
        "transfer": {"image": image, "giver_image": image},
        "edit": {"image": image, "edit": "long-sleeves"},
        "poses": {"image": image, "poses": [json.loads(parts["target_joints"])] * 2},
    }
    for operation, body in raw.items():
        studio.looks.clear()
        answer = client.post(f"/v1/{operation}", json=body)
        said = answer.json()["error"]["message"] if operation == "edit" else ""
        assert answer.status_code == 200 or "long-sleeves" in said, answer.text  # it has long sleeves, or no arms
        assert len(studio.looks) == (2 if operation == "transfer" else 1)


def test_annotate_answers_with_joints_and_map(client, parts, pixels):
    for sent in ({"files": {"image": parts["image"]}}, {"json": {"image": as_json(parts)["image"]}}):
        answer = client.post("/v1/annotate", **sent)
        assert answer.status_code == 200, answer.text
        tree, found = answer.json(), found_in(pixels)
        np.testing.assert_allclose(tree["joints"], found.joints)
        np.testing.assert_allclose(tree["confidence"], found.confidence)
        labels = read_labels(base64.b64decode(tree["parsing"]), max_pixels=1000)
        np.testing.assert_array_equal(labels, found.labels)
        assert tree["size"] == list(pixels.shape[:2])
        assert (tree["annotator"], tree["request_id"]) == ("stand-in", answer.headers["x-request-id"])


@pytest.mark.parametrize("field", ["image", "target_image"])
def test_a_photo_without_a_person_is_refused_by_its_field(client, parts, field):
    black = encode(np.zeros((9, 9, 3), np.uint8), "png")
    refused = problem(post(client, {"image": parts["image"], "target_image": parts["image"], field: black}), 422)
    assert refused["field"] == field
    assert "no person found" in refused["message"]


def test_limits_hold_for_raw_photos(client, parts, studio):
    large = encode(np.full((50, 50, 3), 9, np.uint8), "png")
    assert problem(post(client, {"image": large, "target_joints": parts["target_joints"]}), 413)["field"] == "image"
    assert problem(client.post("/v1/annotate", files={"image": large}), 413)["field"] == "image"
    assert problem(client.post("/v1/annotate", files={"image": b"x"}), 422)["field"] == "image"
    assert problem(client.post("/v1/annotate", json={"image": "", "pose": 1}), 422)["field"] == "pose"
    assert studio.looks == []


def test_whoever_annotates_may_be_busy_or_late(client, studio, parts):
    for error, status in ((BusyError("the queue is full", 3), 503), (DeadlineError("late"), 504)):

        async def fail(look, error=error):
            raise error

        studio.annotate = fail
        problem(client.post("/v1/annotate", files={"image": parts["image"]}), status)


def test_an_annotated_photo_counts_as_a_picture(connect, studio, tmp_path, parts):
    secret = add_key(tmp_path / "keys.json", "shop", per_minute=4)
    client = connect(build_api(studio, tmp_path, config.Serve(keys=str(tmp_path / "keys.json"))))
    key = {"Authorization": f"Bearer {secret}"}
    raw = {"image": parts["image"], "target_image": parts["image"]}
    problem(post(client, raw), 401)
    assert post(client, raw, **key).status_code == 200  # the picture and two photos
    assert client.post("/v1/annotate", files={"image": parts["image"]}, headers=key).status_code == 200
    refused = client.post("/v1/annotate", files={"image": parts["image"]}, headers=key)
    assert "4 pictures a minute" in problem(refused, 429)["message"]
    assert len(studio.looks) == 3


def test_where_it_is_off_nothing_is_annotated(connect, studio, tmp_path, parts):
    client = connect(build_api(studio, tmp_path, config.Serve(annotator="off")))
    assert problem(client.post("/v1/annotate", files={"image": parts["image"]}), 422)["field"] == "image"
    raw = {name: parts[name] for name in ("image", "parsing", "source_joints")} | {"target_image": parts["image"]}
    assert problem(post(client, raw), 422)["field"] == "target_joints"
    assert studio.looks == []
    assert client.get("/v1/models").json()["annotates"] is False
    assert post(client, parts).status_code == 200


def test_a_replica_annotates_by_the_models_of_its_setting(tmp_path):
    path = str(write_models(tmp_path) / "simcc.toml")
    photo, _ = paint((240, 180), (50, 30, 120, 200))
    found = annotate(path, 1, Look("image", photo, time.time() + 60, "id"))
    assert found.annotator.startswith("simcc.toml:")
    assert found.labels.shape == (240, 180)
    assert set(found.stages) == {"annotate"}
    with pytest.raises(RequestError, match=r"`giver_image`: no person found"):
        annotate(path, 1, Look("giver_image", np.full_like(photo, GROUND[0]), time.time() + 60, "id"))
    with pytest.raises(DeadlineError):
        annotate(path, 1, Look("image", photo, time.time() - 1, "id"))
