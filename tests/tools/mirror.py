"""A studio that mirrors the photo instead of asking networks: for tests of everything around a picture."""

from pathlib import Path

import numpy as np

from spt_dist.body import MISSING, Joint, Label
from spt_dist.serve.orders import Drawn, Found, Job, Look, Model, Replicas, RequestError

SIZE = (12, 7)  # height, width in px


def stand_in(look: Look) -> Found:
    """A person in every photo, from its upper left corner to its middle but for the left ear; nobody in a black one."""
    if not look.photo.any():
        raise RequestError(look.field, "no person found in the photo: it is black")
    height, width = look.photo.shape[:2]
    shares = np.linspace(0.05, 0.5, len(Joint), dtype=np.float32)
    joints = np.column_stack((shares * (width - 1), shares * (height - 1), np.ones_like(shares))).astype(np.float32)
    joints[Joint.L_EAR] = MISSING
    labels = np.zeros((height, width), np.uint8)
    labels[: height // 2 + 1, : width // 2 + 1] = Label.UPPER
    box = (0.0, 0.0, width / 2, height / 2)
    return Found(joints, labels, shares, box, "stand-in", {"queue": 0.001, "annotate": 0.003})


class Mirror:
    """A studio that mirrors photos, and forgets nothing of what it was asked for."""

    def __init__(self):
        self.models = {name: Model(name, Path(name), f"{name}-digest", SIZE) for name in ("first", "second")}
        self.jobs: list[Job] = []
        self.looks: list[Look] = []
        self.found = Replicas(1, 0)

    async def draw(self, job: Job) -> Drawn:
        self.jobs.append(job)
        image, labels = job.order.source.image[:, ::-1].copy(), job.order.source.labels[:, ::-1].copy()
        return Drawn(image, labels, job.model.digest, {"queue": 0.002, "draw": 0.004}, 0.0)

    async def annotate(self, look: Look) -> Found:
        self.looks.append(look)
        return stand_in(look)

    async def replicas(self) -> Replicas:
        return self.found
