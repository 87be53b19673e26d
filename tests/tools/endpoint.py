"""How tests of the endpoint ask for a picture, and read a refusal."""

import base64
import json


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
    files = {name: parts[name] for name in ("image", "parsing", "target_image") if name in parts}
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


def as_json(parts):
    files = {name: base64.b64encode(parts[name]).decode() for name in ("image", "parsing")}
    return files | {name: json.loads(parts[name]) for name in ("source_joints", "target_joints")}
