"""What locust runs: users who ask for one picture after the other, and a line of JSON for every answer.

It runs in a process of its own, since locust's gevent replaces sockets and threads for whoever imports it.
"""

import json
from argparse import ArgumentParser
from itertools import cycle
from pathlib import Path
from typing import Any, TextIO

import gevent
from locust import FastHttpUser, LoadTestShape, events, task
from locust.env import Environment

PAUSE_S = 0.1  # after a refusal; shorter than `Retry-After`, so that the pressure stays
_orders: cycle
_record: TextIO


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--orders", help="file with the body of a request per line")
    parser.add_argument("--record", help="file that gets a line per answer")
    parser.add_argument("--steps", help="USERSxSECONDS, comma separated: 2x5,24x20")
    parser.add_argument("--patience", type=float, help="seconds after which an answer counts as a hang")
    parser.add_argument("--request-timeout", default="", help="the header of this name")


@events.init.add_listener
def open_files(environment: Environment, **_: Any) -> None:
    global _orders, _record
    _orders = cycle(Path(environment.parsed_options.orders).read_bytes().splitlines())
    _record = Path(environment.parsed_options.record).open("w", buffering=1)  # noqa: SIM115


class Steps(LoadTestShape):
    def tick(self) -> tuple[int, float] | None:
        end = 0.0
        for step in self.runner.environment.parsed_options.steps.split(","):
            users, _, seconds = step.partition("x")
            end += float(seconds)
            if self.get_run_time() < end:
                return int(users), 1000
        return None


class Customer(FastHttpUser):
    def __init__(self, environment: Environment) -> None:
        self.network_timeout = self.connection_timeout = environment.parsed_options.patience
        super().__init__(environment)
        self.headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if timeout := environment.parsed_options.request_timeout:
            self.headers["Request-Timeout"] = timeout

    @task
    def ask(self) -> None:
        answer = self.client.post("/v1/generate", data=next(_orders), headers=self.headers)
        if answer.status_code != 200:
            gevent.sleep(PAUSE_S)


@events.request.add_listener
def note(response_time: float, response: Any, start_time: float, exception: Exception | None, **_: Any) -> None:
    text = response.text or ""
    answer = json.loads(text) if response.status_code and text.startswith("{") else {}
    line = {
        "start": start_time,
        "seconds": response_time / 1e3,
        "status": response.status_code,
        "model": answer.get("model", ""),
        "digest": answer.get("digest", ""),
        "timing": response.headers.get("server-timing", "") if response.headers else "",
        "retry_after": response.headers.get("retry-after", "") if response.headers else "",
        "error": f"{exception!r} {text[:200]}" if exception else "",
    }
    _record.write(json.dumps(line) + "\n")
