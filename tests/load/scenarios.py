"""Load without faults: full batches, replicas that come and go, refusals in time, several models."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from safetensors.numpy import load_file, save_file

from spt_dist import box
from tests.load.endpoint import Endpoint, serving, wait_for
from tests.load.findings import Findings
from tests.load.traffic import HANG_S, orders, traffic

FILLED = 0.7  # of the largest batch, on average, at saturation
MAX_BATCH = 4
ONE = {"max_replicas": 1, "max_batch": MAX_BATCH, "follow_s": 0}


def saturation(scale: float) -> Findings:
    """More users than the queue needs."""
    found = Findings(f"24 users on one replica, batches of at most {MAX_BATCH}")
    with serving([box.NAME], ONE) as endpoint:
        warm_up(endpoint)
        before = endpoint.batches()
        with traffic(endpoint, f"24x{15 * scale:g}") as users:
            pass
        after = endpoint.batches()
        found.answers, found.counts = users.kept, endpoint.counts
    found.expect_no_failure()
    promise = f"mean batch at saturation at least {FILLED:g} of {MAX_BATCH}"
    if before is None or after is None:
        found.expect(promise, None, "missing: the endpoint has no /metrics")
    else:
        found.batches = after.since(before)
        mean = found.batches.pictures / max(1.0, found.batches.batches)
        found.expect(promise, mean >= FILLED * MAX_BATCH, f"{mean:.2f}, {mean / MAX_BATCH:.0%}")
    return found


def scaling(scale: float) -> Findings:
    """Load that comes and goes, on one replica or two."""
    found = Findings("2 users, then 16, then none, on one or two replicas")
    limits = {"max_replicas": 2, "target_ongoing_requests": 2, "upscale_delay_s": 1, "downscale_delay_s": 2}
    with serving([box.NAME], {**limits, "follow_s": 0}) as endpoint:
        warm_up(endpoint)
        with traffic(endpoint, f"2x{5 * scale:g},16x{45 * scale:g}") as users:
            pass
        came = endpoint.running()
        with suppress(TimeoutError):
            wait_for(lambda: endpoint.running() == 1, "one replica", 60)
        found.answers, found.counts = users.kept, endpoint.counts
    most = max(count.running for count in found.counts)
    found.expect("a replica is added under load", most == 2, f"1, then {most}")
    found.expect(
        "it goes when the load has gone", came == 2 and found.counts[-1].running == 1, found.counts[-1].running
    )
    found.expect_no_failure("no error while replicas come and go")
    return found


def sleeping(scale: float) -> Findings:
    """No replica without load."""
    found = Findings("no replica, one request, 4 users, no replica again")
    limits = {"min_replicas": 0, "max_replicas": 1, "upscale_delay_s": 0, "downscale_delay_s": 2, "follow_s": 0}
    with serving([box.NAME], limits) as endpoint:
        before = endpoint.status()
        with traffic(endpoint, f"1x1,4x{5 * scale:g}") as users:
            pass
        with suppress(TimeoutError):
            wait_for(lambda: endpoint.status() == "asleep", "no replica", 60)
        after = endpoint.status()
        found.answers, found.counts = users.kept, endpoint.counts
    found.expect("/readyz says asleep before and after", before == after == "asleep", f"{before}, {after}")
    first = found.answers[0]
    found.expect("the first request wakes a replica and is told so", "cold;dur" in first.timing, first.timing)
    found.expect_no_failure()
    return found


def pressure(scale: float) -> Findings:
    """More requests than a short queue takes."""
    deadline_s = 5.0
    found = Findings("40 users on one replica with a queue of 2", refusals=(503,))
    limits = {**ONE, "max_ongoing_requests": 4, "target_ongoing_requests": 4, "max_queued_requests": 2}
    with serving([box.NAME], {**limits, "deadline_s": deadline_s}) as endpoint:
        warm_up(endpoint)
        with traffic(endpoint, f"40x{10 * scale:g}", deadline_s=deadline_s) as users:
            pass
        found.answers, found.counts = users.kept, endpoint.counts
    found.expect_no_failure("only pictures and 503")
    busy = [answer for answer in found.answers if answer.status == 503]
    told = sum(answer.retry_after.isdigit() for answer in busy)
    found.expect("some 503, each with Retry-After", 0 < told == len(busy), f"{told} of {len(busy)}")
    expect_in_time(found, deadline_s)
    return found


def deadlines(scale: float) -> Findings:
    """Requests that are of no use after 50 ms."""
    deadline_s = 0.05
    found = Findings("16 users with Request-Timeout: 0.05", refusals=(503, 504))
    with serving([box.NAME], ONE) as endpoint:
        warm_up(endpoint)
        with traffic(endpoint, f"16x{6 * scale:g}", request_timeout=str(deadline_s)) as users:
            pass
        (order,) = orders(endpoint)[:1]
        after = httpx.post(f"{endpoint.address}/v1/generate", json=order, timeout=30).status_code
        found.answers, found.counts = users.kept, endpoint.counts
    late = sum(answer.status == 504 for answer in found.answers)
    found.expect_no_failure("only pictures, 503 and 504")
    found.expect("some 504", late > 0, f"{late} of {len(found.answers)}")
    expect_in_time(found, deadline_s)
    found.expect("a patient request is drawn right after", after == 200, after)
    return found


def models(scale: float) -> Findings:
    """Two runs on one pool of replicas."""
    found = Findings("16 users, two models in turn, on one replica")
    with TemporaryDirectory() as folder:
        other = another_run(Path(folder) / "other", seed=1)
        with serving([f"first={box.RUN}", f"other={other}"], {**ONE, "models_per_replica": 2}) as endpoint:
            warm_up(endpoint)
            with traffic(endpoint, f"16x{10 * scale:g}", models=("first", "other")) as users:
                pass
            served = {one["id"]: one["digest"] for one in httpx.get(f"{endpoint.address}/v1/models").json()["models"]}
            found.answers, found.counts = users.kept, endpoint.counts
    drawn = {(answer.model, answer.digest) for answer in found.answers if answer.status == 200}
    found.expect("each model's pictures are drawn by its own weights", drawn == set(served.items()), sorted(drawn))
    most = max(count.running for count in found.counts)
    found.expect("they share one replica", most == 1, most)
    found.expect_no_failure()
    return found


def expect_in_time(found: Findings, deadline_s: float) -> None:
    """No answer took longer than its deadline and a second."""
    longest = max(answer.seconds for answer in found.answers)
    promise = f"every answer within the deadline of {deadline_s:g} s and {HANG_S:g} s"
    found.expect(promise, longest <= deadline_s + HANG_S, f"the longest {longest:.2f} s")


def warm_up(endpoint: Endpoint) -> None:
    """A few pictures before anything is measured."""
    for order in orders(endpoint)[:4]:
        httpx.post(f"{endpoint.address}/v1/generate", json=order, timeout=60).raise_for_status()


def another_run(folder: Path, seed: int) -> Path:
    """The model in the box with a little noise on its weights: a run that draws other pictures."""
    shutil.copytree(box.RUN, folder)
    random = np.random.default_rng(seed)
    for path in (folder / "weights").glob("*.safetensors"):
        tensors = load_file(path)
        noisy = {name: t * random.normal(1, 0.05, t.shape).astype(t.dtype) for name, t in tensors.items()}
        save_file(noisy, path)
    card = folder / "weights" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text())))
    return folder
