"""What `deploy/` describes, as the tests read it: documents by file, pods, containers."""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CLUSTERS = ("raycluster.yaml", "rayjob.yaml", "rayservice.yaml")
MANIFESTS = (*CLUSTERS, "networkpolicy.yaml", "pvc.yaml", "prometheus-rules.yaml")
KEY_OF_CLUSTER = {"RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}  # in `spec`; a RayCluster's is `spec`


class Pod(NamedTuple):
    """One kind of pod that a file makes: how many, of which group, by which template."""

    file: str
    group: str  # "head", or the worker group's name
    replicas: int
    template: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All of its containers, those that run before the others too."""
        spec = self.template["spec"]
        return spec.get("initContainers", []) + spec["containers"]


def documents(file: str) -> list[dict[str, Any]]:
    """The documents of one YAML file of `deploy/`."""
    return list(yaml.safe_load_all((DEPLOY / file).read_text()))


def cluster(file: str) -> dict[str, Any]:
    """The Ray cluster that a file describes."""
    (document,) = documents(file)
    key = KEY_OF_CLUSTER.get(document["kind"])
    return document["spec"][key] if key else document["spec"]


def pods(file: str) -> list[Pod]:
    """The pods of a file's cluster, the head first."""
    found = cluster(file)
    head = Pod(file, "head", 1, found["headGroupSpec"]["template"])
    groups = found["workerGroupSpecs"]
    return [head] + [Pod(file, group["groupName"], group["replicas"], group["template"]) for group in groups]


def gpus(file: str) -> int:
    """The GPUs of all pods of a file's cluster."""
    return sum(
        pod.replicas * int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
        for pod in pods(file)
        for container in pod.containers
    )
