"""The Dockerfile, read: its stages, who runs in them, where they write, and that what they copy is there."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from typing import NamedTuple

import pytest
from manifests import CLUSTERS, DEPLOY, ROOT, documents, pods

from spt_dist import __version__

SOURCE = (DEPLOY / "Dockerfile").read_text()


class Stage(NamedTuple):
    """One stage: what it starts from, and its instructions in order."""

    source: str
    steps: list[tuple[str, str]]


def read(text: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """The arguments before the first stage, and the stages by name."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for line in filter(str.strip, joined.splitlines()):
        word, rest = line.strip().split(maxsplit=1)
        if word == "ARG" and not stages:
            arguments |= [rest.split("=", 1)]
        elif word == "FROM":
            source, _, name = rest.split()
            stages[name] = Stage(source, [])
        else:
            list(stages.values())[-1].steps.append((word, rest))
    return arguments, stages


ARGUMENTS, STAGES = read(SOURCE)


def steps(name: str) -> list[tuple[str, str]]:
    """The instructions of a stage after those of the stages that it starts from."""
    source = STAGES[name].source
    return (steps(source) if source in STAGES else []) + STAGES[name].steps


def last(name: str, word: str) -> str:
    return [rest for found, rest in steps(name) if found == word][-1]


def environment(name: str) -> dict[str, str]:
    words = [word for found, rest in steps(name) if found == "ENV" for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


each_target = pytest.mark.parametrize("target", ["train", "serve"])


def test_bases_have_pinned_tags_and_no_host():
    bases = [stage.source for stage in STAGES.values() if stage.source not in STAGES]
    assert bases
    for base in bases:
        image = ARGUMENTS[re.fullmatch(r"\$\{(\w+)\}", base)[1]]
        assert re.fullmatch(r"[a-z]+/[a-z]+:\d+\.\d+\.\d+-[a-z0-9-]+", image)
    assert not re.search(r":latest|@latest", SOURCE)


@each_target
def test_nobody_is_root(target):
    user, group = last(target, "USER").split(":")
    assert int(user) > 0
    assert f"useradd --uid {user} --gid {group}" in SOURCE
    for pod in [pod for file in CLUSTERS for pod in pods(file)]:
        security = pod.template["spec"]["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))


@each_target
def test_compilers_and_what_the_pods_call_are_in_the_image(target):
    installed = {word for found, rest in steps(target) if found == "RUN" for word in rest.split()}
    assert {"python3.11", "python3.11-devel", "gcc-c++", "procps-ng"} <= installed


def test_what_is_installed_are_pyprojects_versions():
    commands = " ".join(rest for word, rest in STAGES["build"].steps if word == "RUN")
    assert "['project']['dependencies']" in commands
    assert "pip install --no-deps ." in commands
    assert not re.search(r"[a-z]==\d", commands)  # no second spelling of a version
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert any(dependency.startswith("ninja==") for dependency in dependencies)


@each_target
def test_what_is_compiled_and_cached_goes_where_the_pods_can_write(target):
    variables = environment(target)
    for file in CLUSTERS:
        for pod in pods(file):
            mounts = pod.containers[0]["volumeMounts"]
            written = [mount["mountPath"] for mount in mounts if not mount.get("readOnly")]
            for name in ("HOME", "TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR"):
                assert any(f"{variables[name]}/".startswith(f"{path}/") for path in written), name


@each_target
def test_the_pods_work_where_the_configs_are(target):
    folder = last(target, "WORKDIR")
    assert ("COPY", "configs configs") in steps(target)
    for pod in [pod for file in CLUSTERS for pod in pods(file)]:
        assert pod.containers[0]["workingDir"] == folder


def test_serve_says_whether_it_is_well():
    check = last("serve", "HEALTHCHECK")
    port = documents("serve.yaml")[0]["http_options"]["port"]
    assert f"127.0.0.1:{port}/-/healthz" in check
    assert last("serve", "EXPOSE") == str(port)
    assert not any(word == "HEALTHCHECK" for word, _ in steps("train"))


def test_what_is_copied_is_there_and_not_left_out():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    sources = [
        source
        for stage in STAGES.values()
        for word, rest in stage.steps
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert sources
    assert ignored.index("*") < ignored.index(f"!{kept[0]}")
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, name) for name in kept)


@each_target
def test_the_commands_in_the_page_name_this_version(target):
    page = (DEPLOY / "README.md").read_text()
    assert f"--target {target} -t spt-dist-{target}:{__version__} ." in page
    assert f"spt-dist-train:{__version__}" in SOURCE
