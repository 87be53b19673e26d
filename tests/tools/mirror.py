"""A studio that mirrors the photo instead of asking networks: for tests of everything around a picture."""

from pathlib import Path

from spt_dist.serve.orders import Drawn, Job, Model, Replicas

SIZE = (12, 7)  # height, width in px


class Mirror:
    """A studio that mirrors photos, and forgets nothing of what it was asked for."""

    def __init__(self):
        self.models = {name: Model(name, Path(name), f"{name}-digest", SIZE) for name in ("first", "second")}
        self.jobs: list[Job] = []
        self.found = Replicas(1, 0)

    async def draw(self, job: Job) -> Drawn:
        self.jobs.append(job)
        image, labels = job.order.source.image[:, ::-1].copy(), job.order.source.labels[:, ::-1].copy()
        return Drawn(image, labels, job.model.digest, {"queue": 0.002, "draw": 0.004}, 0.0)

    async def replicas(self) -> Replicas:
        return self.found
