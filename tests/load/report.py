"""The report: numbers in JSON, from which the picture and the page are drawn."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spt_kernels.bench.rows import commit

from tests.load.findings import Findings
from tests.load.plot import PERCENTILES, draw

VERSIONS = ("ray", "torch", "fastapi", "locust")
HEAD = """# The endpoint under load and faults

`make load-test` starts a real `spt serve` on loopback for each of these, lets locust's users ask it for pictures
(128x64 px, the model in the box, one after the other per user), and breaks things meanwhile. Latencies are those of
pictures, seen from outside; users, proxy and replicas share the machine's cores, so they say how the endpoint behaves,
not how fast the networks are. `-` in a row means: not applicable.
"""


def write(
    name: str, found: Findings, seconds: float, path: Path, plot: Path, page: Path, order: tuple[str, ...]
) -> None:
    """Renew one scenario's findings in the JSON file, and from that the picture and the page."""
    rows = json.loads(path.read_text()) if path.exists() else {}
    rows[name] = found.tree() | {"seconds": round(seconds, 1), "machine": machine(), "commit": commit()}
    rows = {each: rows[each] for each in order if each in rows}
    for file in (path, plot, page):
        file.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n")
    draw(rows, plot)
    page.write_text(markdown(rows, os.path.relpath(plot, page.parent)))


def machine() -> dict[str, Any]:
    """What it was measured on."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in VERSIONS}
    return {"cpus": os.cpu_count(), "processor": platform.machine(), "versions": versions}


def verdict(passed: bool | None) -> str:
    """PASS, FAIL or MISSING."""
    return "MISSING" if passed is None else "PASS" if passed else "FAIL"


def markdown(rows: dict[str, Any], picture: str) -> str:
    """The page with one table of numbers and one of targets."""
    lines = [HEAD, f"![latency, throughput, replicas and batches of each scenario]({picture})", ""]
    lines += ["| scenario | load | requests | failures | refused | pictures/s | p50 | p95 | p99 | cold | commit |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
    for name, row in rows.items():
        times = " | ".join(
            f"{1e3 * row['latency_s'][each]:.0f} ms" if row["latency_s"] else "-" for each in PERCENTILES
        )
        refused = row["requests"] - row["failures"] - row["statuses"].get("200", 0)
        lines.append(
            f"| {name} | {row['what']} | {row['requests']} | {row['failures']} | {refused} "
            f"| {row['pictures_per_s']:.1f} | {times} | {row['cold']} | {row['commit']} |"
        )
    lines += ["", "| scenario | promise | measured | |", "|---|---|---|---|"]
    for name, row in rows.items():
        for target in row["targets"]:
            lines.append(f"| {name} | {target['promise']} | {target['measured']} | {verdict(target['passed'])} |")
    machines = {json.dumps(row["machine"], sort_keys=True): row["machine"] for row in rows.values()}
    for one in machines.values():
        versions = ", ".join(f"{name} {number}" for name, number in one["versions"].items())
        lines += ["", f"{one['cpus']} CPUs ({one['processor']}); {versions}."]
    return "\n".join(lines) + "\n"
