"""How replicas and the weights on disk keep together, without a Ray."""

import asyncio
import time
import warnings
from unittest.mock import AsyncMock, Mock

import pytest

from spt_dist import config
from spt_dist.serve.following import weights_digest
from spt_dist.serve.orders import Model, Replicas

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, while it is imported
    from spt_dist.serve import replicas
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle


@pytest.fixture
def model(tmp_path):
    (tmp_path / "card.json").write_text("{}")
    return Model("a", tmp_path, weights_digest(tmp_path), (24, 14))


def test_a_new_replica_leaves_weights_that_have_changed_to_the_first_job(model):
    painter = replicas.Painter(config.Serve())
    painter.load = AsyncMock()
    same, old = replicas.key_of(model), replicas.key_of(model._replace(digest="before"))
    asyncio.run(painter.reconfigure({"preload": [same, old]}))
    painter.load.assert_awaited_once_with(same)


@pytest.mark.parametrize("failure", [None, DeploymentUnavailableError(Mock()), ValueError("half a folder")])
def test_new_weights_are_served_when_every_replica_has_them_or_none_is_awake(model, failure):
    handle = Mock(spec=DeploymentHandle)
    handle.broadcast.return_value.results_async = AsyncMock(side_effect=failure)
    front = replicas.Front(handle, [model], config.Serve())
    (model.folder / "card.json").write_text("[]")
    new = model._replace(digest=weights_digest(model.folder))
    if isinstance(failure, ValueError):
        with pytest.raises(ValueError, match="half"):
            asyncio.run(front._take_up(model))
    else:
        asyncio.run(front._take_up(model))
    handle.broadcast.assert_called_once_with("warm", replicas.key_of(new))
    assert front.models == {"a": model if isinstance(failure, ValueError) else new}


def test_many_who_ask_for_the_replicas_at_once_cost_one_look(model, monkeypatch):
    looks = []

    def look() -> Replicas:
        looks.append(time.monotonic())
        time.sleep(0.05)
        return Replicas(len(looks), 0)

    monkeypatch.setattr(replicas, "_count_replicas", look)
    front = replicas.Front(Mock(spec=DeploymentHandle), [model], config.Serve())

    async def ask() -> list[int]:
        found = await asyncio.gather(*(front.replicas() for _ in range(16)))
        await asyncio.sleep(replicas.LOOK_S)
        return [each.running for each in (*found, await front.replicas())]

    assert asyncio.run(ask()) == [1] * 16 + [2]
