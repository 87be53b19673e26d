"""Whether a deployed endpoint works: python deploy/smoke.py http://127.0.0.1:8000

Asks for what its users ask: health, documents, the page, a person of the gallery in another's pose, and something that
cannot be drawn. Each check prints a line; the first that fails ends it with 1. Nothing is left behind.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
from PIL import Image

TEXTS = ("/", "/docs", "/openapi.json", "/v1/body")


class SmokeError(Exception):
    """What the endpoint did, and what it should have done."""


def healthy(http: httpx.Client) -> str:
    """It answers, and says what it serves."""
    found = _get(http, "/healthz").json()
    return f"run {found['run']}, version {found['version']}"


def documented(http: httpx.Client) -> str:
    """Page, documents and tables are there."""
    for path in TEXTS:
        if not _get(http, path).content:
            raise SmokeError(f"{path} is empty")
    return f"{len(TEXTS)} pages"


def drawn(http: httpx.Client) -> str:
    """The first person of the gallery, in the last one's pose, is a picture of its size that shows something."""
    people = _get(http, "/v1/gallery").json()["people"]
    if not people:
        raise SmokeError("the gallery is empty: nobody to draw; `spt train` writes one beside the weights")
    source, target = people[0], people[-1]
    photo = _get(http, source["image"]).content
    files = {"image": photo, "parsing": _get(http, source["parsing"]).content}
    joints = {f"{end}_joints": json.dumps(one["joints"]) for end, one in (("source", source), ("target", target))}
    answer = http.post("/v1/generate", files=files, data=joints)
    _expect(answer, 200)
    picture, size = np.array(Image.open(io.BytesIO(answer.content))), Image.open(io.BytesIO(photo)).size
    if picture.shape != (size[1], size[0], 3):
        raise SmokeError(f"the picture's shape is {picture.shape}, the photo's {(size[1], size[0], 3)}")
    if picture.std() < 1:
        raise SmokeError(f"the picture is one colour: {picture[0, 0].tolist()}")
    return f"{size[0]}x{size[1]} px in {answer.elapsed.total_seconds():.2f} s"


def refusing(http: httpx.Client) -> str:
    """What is no picture is refused, by the field's name."""
    person = _get(http, "/v1/gallery").json()["people"][0]
    joints = json.dumps(person["joints"])
    files = {"image": b"no picture", "parsing": b"no picture"}
    answer = http.post("/v1/generate", files=files, data={"source_joints": joints, "target_joints": joints})
    _expect(answer, 422)
    return f"`{answer.json()['error']['field']}`: {answer.json()['error']['message']}"


CHECKS: tuple[Callable[[httpx.Client], str], ...] = (healthy, documented, drawn, refusing)


def main() -> int:
    """Run the checks in turn; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="such as http://127.0.0.1:8000")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds until it must answer")
    parser.add_argument("--header", action="append", default=[], type=_header, help="NAME:VALUE, for a gateway")
    words = parser.parse_args()
    try:
        with httpx.Client(base_url=words.address, headers=dict(words.header), timeout=60.0) as http:
            _wait(http, words.wait)
            for check in CHECKS:
                print(f"{check.__name__:<12}{check(http)}", flush=True)
    except (SmokeError, httpx.HTTPError, httpx.InvalidURL, OSError, LookupError, TypeError, ValueError) as error:
        print(f"failed: {words.address}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _header(words: str) -> tuple[str, str]:
    name, colon, value = words.partition(":")
    if not (name and colon):
        raise argparse.ArgumentTypeError(f"{words!r} is not NAME:VALUE")
    return name.strip(), value.strip()


def _wait(http: httpx.Client, wait_s: float) -> None:
    """Until it answers at all: replicas load their networks first."""
    end = time.monotonic() + wait_s
    while True:
        try:
            status = http.get("/healthz").status_code
            if status == 200:
                return
            reason: Any = f"/healthz gave {status}"
        except httpx.UnsupportedProtocol:
            raise
        except httpx.TransportError as error:
            reason = error
        if time.monotonic() > end:
            raise SmokeError(f"no answer within {wait_s:g} s ({reason}); is the address right, and the pod ready?")
        time.sleep(1)


def _get(http: httpx.Client, path: str) -> httpx.Response:
    answer = http.get(path)
    _expect(answer, 200)
    return answer


def _expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise SmokeError(f"{answer.url.path} gave {answer.status_code}, not {status}: {answer.text[:200]}")


if __name__ == "__main__":
    sys.exit(main())
