"""Load while something is changed or lost: new weights, a replica, a node, the endpoint itself."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from spt_dist import box, local_ray
from tests.load.endpoint import serving, wait_for
from tests.load.findings import Findings, Mark
from tests.load.scenarios import another_run, warm_up
from tests.load.traffic import Traffic, traffic

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

TWO = {"min_replicas": 2, "max_replicas": 2, "follow_s": 0}
AGAIN_S = 60.0  # a lost replica is replaced within


def update(scale: float) -> Findings:
    """New weights copied over those that are served."""
    found = Findings("8 users on two replicas while weights are copied over the run's")
    with TemporaryDirectory() as folder:
        run, new = (another_run(Path(folder) / name, seed) for seed, name in enumerate(("run", "new")))
        with serving([str(run)], {**TWO, "follow_s": 0.5}) as endpoint:
            warm_up(endpoint)
            with traffic(endpoint, f"8x{16 * scale:g}") as users:
                wait_for_pictures(users, 10)
                found.marks.append(Mark(time.time(), "weights copied"))
                for path in sorted((new / "weights").iterdir()):
                    shutil.copy(path, run / "weights" / path.name)
            found.answers, found.counts = users.kept, endpoint.counts
    drawn = [answer for answer in found.answers if answer.status == 200]
    digests = list(dict.fromkeys(answer.digest for answer in drawn))
    found.expect("answers change from the old digest to the new", len(digests) == 2, ", ".join(digests))
    if len(digests) == 2:
        came = min(answer.end for answer in drawn if answer.digest == digests[1])
        late = [answer for answer in drawn if answer.start > came and answer.digest == digests[0]]
        found.expect("from the first new picture on none is old", not late, f"{len(late)} of {len(drawn)}")
        found.marks.append(Mark(came, "first new picture"))
    found.expect_no_failure("no failed request while weights change")
    return found


def replica(scale: float) -> Findings:
    """One of two replicas killed, then both at once."""
    found = Findings("8 users on two replicas; kill -9 of one, then of both")
    with serving([box.NAME], TWO) as endpoint:
        warm_up(endpoint)
        with traffic(endpoint, f"8x{45 * scale:g}") as users:
            for number in (1, 2):
                wait_for(lambda: len(endpoint.painters()) == endpoint.running() == 2, "two replicas", AGAIN_S)
                wait_for_pictures(users, 10)
                for process in endpoint.painters()[:number]:
                    process.kill()
                found.marks.append(Mark(time.time(), f"{number} killed"))
                time.sleep(1)
            wait_for_pictures(users, 10)
        found.answers, found.counts = users.kept, endpoint.counts
    expect_recovery(found)
    found.expect_no_failure("no failed request though replicas are killed")
    return found


def node(scale: float) -> Findings:
    """The node of one of two replicas killed, in a cluster of three nodes on this machine."""
    found = Findings("8 users on two nodes with a replica each, beside a head; one of the nodes is killed")
    with cluster() as made:
        nodes = [made.add_node(num_cpus=1) for _ in range(2)]
        with serving([box.NAME], TWO, RAY_ADDRESS=made.address) as endpoint:
            warm_up(endpoint)
            with traffic(endpoint, f"8x{20 * scale:g}") as users:
                wait_for_pictures(users, 10)
                found.marks.append(Mark(time.time(), "node killed"))
                made.remove_node(nodes[0], allow_graceful=False)
                time.sleep(5 * scale)
                found.marks.append(Mark(time.time(), "a new node"))
                made.add_node(num_cpus=1)
            wait_for(lambda: endpoint.running() == 2, "two replicas", AGAIN_S)
            found.answers, found.counts = users.kept, endpoint.counts
    expect_recovery(found)
    found.expect_no_failure("no failed request though a node is killed")
    return found


def drain(scale: float) -> Findings:
    """SIGTERM under load."""
    found = Findings("8 users on one replica; SIGTERM", refusals=(0, 503))
    with serving([box.NAME], {"max_replicas": 1, "follow_s": 0}) as endpoint:
        warm_up(endpoint)
        with traffic(endpoint, f"8x{10 * scale:g}") as users:
            wait_for_pictures(users, 20)
            asked = time.time()
            found.marks.append(Mark(asked, "SIGTERM"))
            status = endpoint.stop()
            found.marks.append(Mark(time.time(), f"ended, status {status}"))
        found.answers, found.counts = users.kept, endpoint.counts
    before = [answer for answer in found.answers if answer.start < asked]
    under_way = [answer for answer in before if answer.end > asked]
    whole = sum(answer.status == 200 for answer in under_way)
    words = f"{whole} of {len(under_way)}"
    found.expect("requests under way are answered with pictures", 0 < whole == len(under_way), words)
    earlier = sum(answer.status != 200 for answer in before)
    found.expect("none failed before", earlier == 0, earlier)
    later = [answer for answer in found.answers if answer.start > asked]
    wrong = [answer for answer in later if answer.status == 503 and not answer.retry_after.isdigit()]
    words = f"{len(later) - len(wrong)} of {len(later)}"
    found.expect("later ones get a picture, 503 with Retry-After or no connection", bool(later) and not wrong, words)
    found.expect("exit status 0", status == 0, status)
    return found


def expect_recovery(found: Findings) -> None:
    """Two replicas run again after each mark, and one was missing in between."""
    fewest = min((count.running for count in found.counts if count.time > found.marks[0].time), default=2)
    last = found.counts[-1].running
    found.expect("a lost replica is seen, and replaced", fewest < 2 == last, f"2, {fewest}, {last}")


def wait_for_pictures(users: Traffic, more: int) -> None:
    """Let so many more pictures come."""
    before = users.ok()
    wait_for(lambda: users.ok() >= before + more, f"{more} pictures", AGAIN_S)


@contextmanager
def cluster() -> "Iterator[Cluster]":
    """A Ray cluster of this machine, on loopback: a head that only leads."""
    os.environ.pop("RAY_ADDRESS", None)
    local_ray.prepare()
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        yield made
    finally:
        made.shutdown()
