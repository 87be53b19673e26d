"""API keys: who is let in, what a key is charged, and what a key file holds."""

import json
import stat
from dataclasses import replace

import pytest
from endpoint import post, problem

from spt_dist import config
from spt_dist.serve.api import build_api
from spt_dist.serve.keys import KeyFile, add_key, revoke_key


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def serve(file, studio, connect, tmp_path):
    """Starts an endpoint that wants a key; gives its client."""
    return lambda: connect(build_api(studio, tmp_path, replace(config.Serve(), keys=str(file))))


def bearer(secret: str) -> dict:
    return {"Authorization": f"Bearer {secret}"}


def test_only_keys_of_the_file_are_let_in(serve, file, parts, studio):
    secret = add_key(file, "shop")
    client = serve()
    missing = post(client, parts)
    assert problem(missing, 401)["field"] == "Authorization"
    assert missing.headers["www-authenticate"] == "Bearer"
    for wrong in ("spt_wrong", secret[:-1], "", "ü" * 40):
        headers = {"Authorization": f"Bearer {wrong}".encode()}
        assert "Authorization" in problem(client.post("/v1/generate", headers=headers), 401)["field"]
    assert not studio.jobs
    assert post(client, parts, **bearer(secret)).status_code == 200


def test_without_a_key_no_body_is_read(serve, file):
    add_key(file, "shop")
    answer = serve().post("/v1/generate", content=b"neither form nor JSON")
    assert problem(answer, 401)


def test_tables_and_health_need_no_key_and_metrics_do(serve, file):
    secret = add_key(file, "shop")
    client = serve()
    for path in ("/", "/docs", "/healthz", "/readyz", "/v1/body", "/v1/gallery"):
        assert client.get(path).status_code == 200, path
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=bearer(secret)).status_code == 200


def test_a_revoked_key_ends_at_once_and_a_new_one_begins(serve, file, parts):
    first = add_key(file, "first")
    client = serve()
    second = add_key(file, "second")
    assert post(client, parts, **bearer(second)).status_code == 200
    revoke_key(file, "first")
    assert "revoked" in problem(post(client, parts, **bearer(first)), 401)["message"]
    assert post(client, parts, **bearer(second)).status_code == 200


def test_a_broken_key_file_leaves_the_keys_as_they_were(serve, file, parts, caplog):
    secret = add_key(file, "shop")
    client = serve()
    file.write_text("{")
    assert post(client, parts, **bearer(secret)).status_code == 200
    assert "the keys stay as they were" in caplog.text


def test_rate_is_per_key_and_says_when_to_come_back(serve, file, parts, studio):
    slow, fast = add_key(file, "slow", per_minute=2), add_key(file, "fast")
    client = serve()
    assert [post(client, parts, **bearer(slow)).status_code for _ in range(3)] == [200, 200, 429]
    refused = post(client, parts, **bearer(slow))
    assert "2 pictures a minute" in problem(refused, 429)["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert post(client, parts, **bearer(fast)).status_code == 200
    assert len(studio.jobs) == 3


def test_quota_counts_pictures_not_requests(serve, file, parts, studio):
    secret = add_key(file, "shop", per_day=4)
    client = serve()

    def ask(count: int):
        poses = json.dumps([json.loads(parts["target_joints"])] * count)
        files = {name: parts[name] for name in ("image", "parsing")}
        data = {"source_joints": parts["source_joints"], "poses": poses}
        return client.post("/v1/poses", files=files, data=data, headers=bearer(secret))

    assert "4 pictures a day" in problem(ask(5), 422)["message"]
    assert ask(3).status_code == 200
    assert "4 pictures a day" in problem(ask(2), 429)["message"]
    assert ask(1).status_code == 200
    assert len(studio.jobs) == 4


def test_a_replayed_answer_is_not_charged_and_keys_do_not_share_them(serve, file, parts):
    secret, other = add_key(file, "shop", per_day=1), add_key(file, "other")
    client = serve()
    for _ in range(2):
        assert post(client, parts, **bearer(secret), **{"Idempotency-Key": "a"}).status_code == 200
    stolen = post(client, parts, **bearer(other), **{"Idempotency-Key": "a"})
    assert stolen.status_code == 200
    assert "idempotent-replayed" not in stolen.headers


def test_file_holds_hashes_and_is_its_owners_alone(file):
    secret = add_key(file, "shop", per_minute=5)
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (key,) = KeyFile.read(file).keys
    assert (key.name, key.per_minute, key.per_day) == ("shop", 5, 0)


def test_errors_say_what_to_do(file):
    with pytest.raises(ValueError, match="spt keys add"):
        KeyFile.read(file)
    add_key(file, "shop")
    with pytest.raises(ValueError, match="another name"):
        add_key(file, "shop")
    with pytest.raises(ValueError, match="no key `café`; it has shop"):
        revoke_key(file, "café")
    with pytest.raises(ValueError, match="no name for a key"):
        add_key(file, "../shop")
    file.write_text('{"keys": [{"name": 3}]}')
    with pytest.raises(ValueError, match=r"keys\.0\.name"):
        KeyFile.read(file)
