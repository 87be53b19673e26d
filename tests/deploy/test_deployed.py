"""The cluster's files do what they say, for real, on a Ray of this machine: its service draws, its job trains."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import yaml
from manifests import ROOT, documents
from processes import wait_for
from run_folders import losses, write_toml

from spt_dist import local_ray

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BIN = Path(sys.executable).parent
SMOKE = ROOT / "deploy/smoke.py"


@pytest.fixture(scope="module", autouse=True)
def environment():
    """What Ray's own commands must find: this environment's programs, loopback, and a token against other users."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        patch.setenv("RAY_TMPDIR", folder)  # which cluster is there is written below it
        patch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("DS_ACCELERATOR", "cpu")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", uuid4().hex)
        patch.delenv("RAY_ADDRESS", raising=False)
        local_ray.prepare()
        yield


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command, log):
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def smoke(address, *words):
    return subprocess.run([sys.executable, SMOKE, address, *words], capture_output=True, text=True)


def test_the_services_config_starts_and_passes_the_smoke_test(tmp_path):
    """All as in the cluster, but for the run, its place, and the GPUs that are not here."""
    (service,) = documents("rayservice.yaml")
    tree = yaml.safe_load(service["spec"]["serveConfigV2"])
    tree["http_options"] = {"host": "127.0.0.1", "port": free_port()}
    (application,) = tree["applications"]
    application["args"]["runs"] = {"box": str(ROOT / "spt_dist/box")}
    application["args"]["serve"] |= {"gpus_per_replica": 0, "max_replicas": 1}
    file, log = tmp_path / "serve.yaml", tmp_path / "serve.log"
    file.write_text(yaml.safe_dump(tree))
    with running([BIN / "serve", "run", file], log):
        done = smoke(f"http://127.0.0.1:{tree['http_options']['port']}", "--wait", "120")
    assert done.returncode == 0, done.stderr + log.read_text()[-3000:]
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["healthy", "documented", "drawn", "refusing"]


def test_the_smoke_test_says_what_is_wrong(tmp_path):
    address = f"http://127.0.0.1:{free_port()}"
    done = smoke(address, "--wait", "0")
    assert done.returncode == 1
    assert f"failed: {address}: SmokeError: no answer within 0 s" in done.stderr
    done = smoke("127.0.0.1:8000", "--wait", "60", "--header", "no colon")
    assert (done.returncode, "'no colon' is not NAME:VALUE" in done.stderr) == (2, True)
    done = smoke("127.0.0.1", "--wait", "60")
    assert done.returncode == 1
    assert "missing an 'http://' or 'https://' protocol" in done.stderr
    (tmp_path / "healthz").write_text('{"run": "spt", "version": "0"}')
    port = free_port()
    pages = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with running(pages, tmp_path / "log.txt"):
        done = smoke(f"http://127.0.0.1:{port}", "--wait", "20")
    assert done.returncode == 1
    assert "/docs gave 404, not 200" in done.stderr


@pytest.mark.cluster
def test_the_jobs_entrypoint_trains_when_submitted(tiny_config, tmp_path):
    """The RayJob's own words, with a config of this size and a folder of this machine in the places of the others."""
    (job,) = documents("rayjob.yaml")
    run, port = tmp_path / "run", free_port()
    toml = write_toml(replace(tiny_config, train=replace(tiny_config.train, workers=2)), tmp_path / "tiny.toml")
    places = {"configs/cluster/8gpu.toml": str(toml), "/runs/spt": str(run)}
    words = [places.get(word, word) for word in shlex.split(job["spec"]["entrypoint"])]
    assert set(places.values()) <= set(words)
    head = [BIN / "ray", "start", "--head", "--block", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
    head += [f"--port={free_port()}", f"--dashboard-port={port}", "--include-dashboard=true"]
    submit = [BIN / "ray", "job", "submit", f"--address=http://127.0.0.1:{port}", "--", *words]
    log = tmp_path / "head.log"
    with running(head, log):
        wait_for(lambda: "Ray runtime started" in log.read_text(), "Ray", 60)
        done = subprocess.run(submit, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "trained: " in done.stdout
    assert losses(run)[-1][0] == 32
