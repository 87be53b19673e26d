"""The KubeRay files: allowed fields, one version everywhere, and pods that may do as little as possible."""

import json
from importlib import metadata
from itertools import chain
from pathlib import Path

import jsonschema
import pytest
from manifests import CLUSTERS, MANIFESTS, cluster, documents, pods
from referencing import Registry, Resource

from spt_dist import __version__

SCHEMAS = {path.name: json.loads(path.read_text()) for path in (Path(__file__).parent / "schemas").glob("*.json")}
REGISTRY = Registry().with_resources([(name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()])
PODS = list(chain.from_iterable(pods(file) for file in CLUSTERS))
CONTAINERS = [(pod, container) for pod in PODS for container in pod.containers]
each_pod = pytest.mark.parametrize("pod", PODS, ids=lambda pod: f"{pod.file}-{pod.group}")
each_container = pytest.mark.parametrize(
    ("pod", "container"), CONTAINERS, ids=[f"{pod.file}-{container['name']}" for pod, container in CONTAINERS]
)


def problems(document: dict) -> list[str]:
    schema = SCHEMAS[f"{document['kind'].lower()}.json"]
    validator = jsonschema.Draft202012Validator(schema, registry=REGISTRY)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas_and_say_of_what_version(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == name
    assert " v" in SCHEMAS[name]["$comment"]


@pytest.mark.parametrize("file", MANIFESTS)
def test_manifests_follow_their_schemas(file):
    for document in documents(file):
        assert problems(document) == []


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("spec", "rayClusterSpec", "rayversion"), "2.60.0", "rayversion"),
        (("spec", "submissionMode"), "HttpMode", "HttpMode"),
        (("spec", "shutdownAfterJobFinishes"), False, "True was expected"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0, "0 is not of type"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "container"), [], "container"),
    ],
)
def test_a_mistake_in_a_manifest_is_found(path, value, word):
    (document,) = documents("rayjob.yaml")
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert any(word in problem for problem in problems(document))


@each_container
def test_images_are_ours_and_of_this_version(pod, container):
    target = "serve" if pod.file == "rayservice.yaml" else "train"
    assert container["image"] == f"spt-dist-{target}:{__version__}"


@pytest.mark.parametrize("file", CLUSTERS)
def test_ray_version_is_the_installed_one(file):
    assert cluster(file)["rayVersion"] == metadata.version("ray")


@each_container
def test_containers_say_what_they_need_and_get_no_more(pod, container):
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert {"cpu", "memory"} <= requests.keys()
    assert requests == limits
    assert ("nvidia.com/gpu" in limits) == (pod.group != "head")


@each_container
def test_containers_are_asked_whether_they_are_well(pod, container):
    asked = {8265, 52365, 8000}
    assert container["readinessProbe"]["httpGet"]["port"] in asked
    assert container["livenessProbe"]["httpGet"] == {"path": "/api/local_raylet_healthz", "port": 52365}
    ready_on_serve = container["readinessProbe"]["httpGet"]["port"] == 8000
    assert ready_on_serve == (pod.file == "rayservice.yaml" and pod.group != "head")


@each_container
def test_containers_may_do_nothing_that_they_need_not(pod, container):
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@each_pod
def test_pods_run_as_nobody_in_particular(pod):
    spec = pod.template["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"] > 0
    assert "hostNetwork" not in spec


@each_pod
def test_every_mount_has_its_volume_and_every_volume_its_mount(pod):
    volumes = [volume["name"] for volume in pod.template["spec"]["volumes"]]
    mounts = {mount["name"] for container in pod.containers for mount in container["volumeMounts"]}
    assert len(set(volumes)) == len(volumes)
    assert mounts == set(volumes)


@each_pod
def test_claims_exist(pod):
    claims = {document["metadata"]["name"] for document in documents("pvc.yaml")}
    used = [volume["persistentVolumeClaim"] for volume in pod.template["spec"]["volumes"] if "emptyDir" not in volume]
    assert used
    assert {claim["claimName"] for claim in used} <= claims


@each_container
def test_what_must_be_written_can_be_and_nothing_else(pod, container):
    volumes = {volume["name"]: volume for volume in pod.template["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    written = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    assert written == {"/tmp", "/home/spt", "/dev/shm"} | ({"/runs"} if pod.file != "rayservice.yaml" else set())
    assert volumes[mounts["/dev/shm"]["name"]]["emptyDir"]["medium"] == "Memory"
    for path in ("/tmp", "/home/spt", "/dev/shm"):
        assert volumes[mounts[path]["name"]]["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize("file", CLUSTERS)
def test_object_stores_fit_into_shared_memory_and_that_into_the_limit(file):
    found = cluster(file)
    for group in [found["headGroupSpec"], *found["workerGroupSpecs"]]:
        spec = group["template"]["spec"]
        (shm,) = (volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if volume["name"] == "shm")
        memory = spec["containers"][0]["resources"]["limits"]["memory"]
        store = int(group["rayStartParams"]["object-store-memory"])
        assert store < int(shm.removesuffix("Gi")) * 2**30 < int(memory.removesuffix("Gi")) * 2**30


@pytest.mark.parametrize("file", CLUSTERS)
def test_the_head_does_no_work(file):
    assert cluster(file)["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("file", CLUSTERS)
def test_groups_begin_within_their_bounds(file):
    for group in cluster(file)["workerGroupSpecs"]:
        assert 0 < group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_a_run_gets_the_pods_of_the_cluster_that_stays():
    assert cluster("rayjob.yaml") == cluster("raycluster.yaml")


def test_a_run_that_is_told_to_stop_has_the_time_to_save():
    for pod in pods("rayjob.yaml"):
        (container,) = pod.containers
        assert container["lifecycle"]["preStop"]
    head = pods("rayjob.yaml")[0]
    (wait,) = (item["value"] for item in head.containers[0]["env"] if item["name"] == "RAY_JOB_STOP_WAIT_TIME_S")
    assert 60 <= int(wait) < head.template["spec"]["terminationGracePeriodSeconds"]
