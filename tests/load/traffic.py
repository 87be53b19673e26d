"""Traffic on an endpoint: locust's users in a process of their own, and what they were answered."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx

from tests.load.endpoint import Endpoint

USERS = Path(__file__).with_name("users.py")
HANG_S = 1.0  # an answer may take so much longer than the deadline
END_S = 60.0  # locust is given so long to end after its last step


class Answer(NamedTuple):
    """One request's answer; `start` in seconds of `time.time`, status 0 where there was none."""

    start: float
    seconds: float
    status: int
    model: str
    digest: str
    timing: str
    retry_after: str
    error: str

    @property
    def end(self) -> float:
        """When it was there."""
        return self.start + self.seconds


class Traffic:
    """A record of answers that grows while locust runs."""

    def __init__(self, record: Path) -> None:
        self.record = record
        self.kept: list[Answer] = []  # all of them, when locust has ended

    def answers(self) -> list[Answer]:
        """All so far, by their start."""
        whole = self.record.read_text().rpartition("\n")[0].splitlines() if self.record.exists() else []
        return sorted(Answer(**json.loads(line)) for line in whole)

    def ok(self) -> int:
        """How many pictures have come."""
        return sum(answer.status == 200 for answer in self.answers())


def orders(endpoint: Endpoint, models: Sequence[str] = ("",)) -> list[dict]:
    """A request for every person of the gallery in the next one's pose, from each model in turn."""
    people = httpx.get(f"{endpoint.address}/v1/gallery").json()["people"]
    found = []
    for index, (person, pose) in enumerate(zip(people, people[1:] + people[:1], strict=True)):
        files = {name: httpx.get(endpoint.address + person[name]).content for name in ("image", "parsing")}
        body = {name: base64.b64encode(content).decode() for name, content in files.items()}
        body |= {"source_joints": person["joints"], "target_joints": pose["joints"]}
        model = models[index % len(models)]
        found.append(body | ({"model": model} if model else {}))
    return found


@contextmanager
def traffic(
    endpoint: Endpoint,
    steps: str,
    *,
    models: Sequence[str] = ("",),
    deadline_s: float = 30.0,
    request_timeout: str = "",
) -> Iterator[Traffic]:
    """Users in steps, such as `2x5,24x20`: so many for so many seconds each; at its end the block waits for the last.

    Raises:
        RuntimeError: locust failed, or did not end.
    """
    with TemporaryDirectory() as folder:
        bodies, record, said = (Path(folder) / name for name in ("orders", "record", "said"))
        bodies.write_text("\n".join(json.dumps(order) for order in orders(endpoint, models)))
        command = [sys.executable, "-m", "locust", "-f", str(USERS), "--headless", "--only-summary"]
        command += ["--host", endpoint.address, "--exit-code-on-error", "0", "--stop-timeout"]
        command += [str(round(deadline_s + HANG_S))]
        command += ["--orders", str(bodies), "--record", str(record), "--steps", steps]
        command += ["--patience", str(deadline_s + HANG_S), "--request-timeout", request_timeout]
        with said.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as locust:
            try:
                running = Traffic(record)
                yield running
                seconds = sum(float(step.partition("x")[2]) for step in steps.split(","))
                if locust.wait(seconds + END_S):
                    raise RuntimeError(f"locust ended with {locust.returncode}:\n{said.read_text()[-3000:]}")
                running.kept = running.answers()
            finally:
                locust.kill()
