"""The demo's own steps, without the chain: what it refuses before anything runs, and how it treats its endpoint."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from spt_dist import demo
from spt_dist.config import ConfigError

CONFIG = Path(__file__).parents[1] / "configs" / "demo.toml"


@pytest.mark.parametrize("missing", demo.LAYOUT)
def test_a_folder_that_lacks_a_part_is_refused_before_anything_runs(tmp_path, monkeypatch, missing):
    monkeypatch.setattr(demo, "_spt", lambda *words: pytest.fail(f"ran {words}"))
    for name in demo.LAYOUT:
        (tmp_path / "photos" / name).mkdir(parents=True)
    (tmp_path / "photos" / missing).rmdir()
    with pytest.raises(ConfigError, match=f"photos` has no {missing}; a folder of photos holds img, "):
        demo.run_demo(tmp_path / "photos", tmp_path / "run", CONFIG, [])
    assert not (tmp_path / "run").exists()


def test_photos_in_the_run_that_is_replaced_are_refused(tmp_path):
    for name in demo.LAYOUT:
        (tmp_path / "run" / "photos" / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match="is about to be replaced; move it out first"):
        demo.run_demo(tmp_path / "run" / "photos", tmp_path / "run", CONFIG, [])


def test_an_empty_gallery_is_a_sentence(tmp_path, monkeypatch):
    @contextmanager
    def endpoint(run, port):
        yield f"http://127.0.0.1:{port}"

    monkeypatch.setattr(demo, "_endpoint", endpoint)
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "gallery.json").write_text(json.dumps({"people": []}))
    with pytest.raises(RuntimeError, match="gallery` is empty: no test picture shows enough joints"):
        demo._ask_endpoint(tmp_path)


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_proxy_in_the_environment_does_not_matter(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert demo._healthy(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def test_an_endpoint_that_will_not_stop_is_killed_and_reaped(tmp_path, monkeypatch):
    stubborn = tmp_path / "spt"
    stubborn.write_text(f"#!/bin/sh\ntrap '' INT\necho $$ > {tmp_path}/pid\nexec sleep 100\n")
    stubborn.chmod(0o755)
    monkeypatch.setattr(demo, "_program", lambda: str(stubborn))
    monkeypatch.setattr(demo, "STOP_TIMEOUT_S", 0.2)
    monkeypatch.setattr(demo, "_healthy", lambda address: (tmp_path / "pid").is_file())
    with demo._endpoint(tmp_path, 1):
        process = Path("/proc") / (tmp_path / "pid").read_text().strip()
        assert process.exists()
    assert not process.exists()
