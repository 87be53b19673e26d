"""A real `spt serve` on loopback, and an eye on its replicas."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

SPT = str(Path(sys.executable).with_name("spt"))
START_S, STOP_S, LOOK_S = 90.0, 60.0, 0.25
BATCHES = "spt_batch_size"


class Count(NamedTuple):
    """How many painters ran and were starting, at a `time.time`."""

    time: float
    running: int
    starting: int


class Batches(NamedTuple):
    """A count of batches: the pictures in them, how many they were, and the pictures in those of at most each size."""

    pictures: float
    batches: float
    at_most: dict[str, float]

    def since(self, earlier: "Batches") -> "Batches":
        """Those that came later."""
        at_most = {size: count - earlier.at_most.get(size, 0.0) for size, count in self.at_most.items()}
        return Batches(self.pictures - earlier.pictures, self.batches - earlier.batches, at_most)

    def by_size(self) -> dict[str, float]:
        """How many there were of each size, from one bound to the next."""
        below, found = 0.0, {}
        for size, count in sorted(self.at_most.items(), key=lambda item: float(item[0])):
            found[size], below = (count - below) / float(size), count
        return found


@dataclass
class Endpoint:
    """A served run; `counts` grows while it runs."""

    address: str
    process: subprocess.Popen
    counts: list[Count] = field(default_factory=list)

    def painters(self) -> list[psutil.Process]:
        """The processes that draw, on whichever node that this process started."""
        return [process for process in psutil.Process().children(recursive=True) if _is_painter(process)]

    def running(self) -> int:
        """Painters at the last look."""
        return self.counts[-1].running if self.counts else 0

    def status(self) -> str:
        """What /readyz says: ready, asleep, or why it is neither."""
        answer = httpx.get(f"{self.address}/readyz").json()
        return answer["status"] if "status" in answer else answer["error"]["message"]

    def batches(self) -> "Batches | None":
        """Of all pictures so far; None where the endpoint does not tell."""
        answer = httpx.get(f"{self.address}/metrics")
        if answer.status_code == 404:
            return None
        found = Batches(0.0, 0.0, {})
        for family in text_string_to_metric_families(answer.text):
            for name, labels, value, *_ in family.samples:
                if name == f"{BATCHES}_count":
                    found = found._replace(pictures=found.pictures + value)
                elif name == "spt_batches_total":
                    found = found._replace(batches=found.batches + value)
                elif name == f"{BATCHES}_bucket":
                    found.at_most[labels["le"]] = found.at_most.get(labels["le"], 0.0) + value
        return found if found.at_most else None

    def stop(self) -> int:
        """Ask it to end, as an operator does; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@contextmanager
def serving(runs: Sequence[str], limits: Mapping[str, Any], **environment: str) -> Iterator[Endpoint]:
    """Serve run folders under `limits` (keys of `config.Serve`) on a free port until the end of the block.

    Raises:
        RuntimeError: it did not start.
    """
    overrides = [f"--set=serve.{key}={value}" for key, value in {"port": 0, **limits}.items()]
    command = [SPT, "serve", *runs, *overrides]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ | environment
    ) as process:
        try:
            endpoint = Endpoint(_address(process), process)
            stopped = threading.Event()
            watch = threading.Thread(target=_watch, args=(endpoint, stopped), daemon=True)
            watch.start()
            try:
                yield endpoint
            finally:
                stopped.set()
                watch.join()
                endpoint.stop()
        finally:
            process.kill()


def wait_for(happened: Callable[[], Any], what: str, timeout_s: float) -> float:
    """Wait until `happened` gives something true; the seconds that it took.

    Raises:
        TimeoutError: it did not in `timeout_s`.
    """
    start = time.monotonic()
    while not happened():
        if time.monotonic() > start + timeout_s:
            raise TimeoutError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.05)
    return time.monotonic() - start


def _address(process: subprocess.Popen) -> str:
    timer = threading.Timer(START_S, process.kill)
    timer.start()
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if found := re.search(r"(http://127\.0\.0\.1:\d+)/docs", line):
            timer.cancel()
            return found[1]
    timer.cancel()
    raise RuntimeError("the endpoint did not start:\n" + "".join(lines))


def _watch(endpoint: Endpoint, stopped: threading.Event) -> None:
    with httpx.Client(base_url=endpoint.address, timeout=5) as client:
        while not stopped.wait(LOOK_S):
            try:
                found = client.get("/v1/models").json()["replicas"]
            except (httpx.HTTPError, KeyError, ValueError):  # while it ends
                continue
            endpoint.counts.append(Count(time.time(), found["running"], found["starting"]))


def _is_painter(process: psutil.Process) -> bool:
    try:
        return "ServeReplica:spt:Painter" in " ".join(process.cmdline())
    except psutil.Error:
        return False
