"""What is checked before Ray starts."""

import asyncio
import logging
import socket
import warnings
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest
import yaml

from spt_dist import config
from spt_dist.serve.api import Picture
from spt_dist.serve.request import BusyError, read_order


@pytest.fixture(scope="module")
def app():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, while it is imported
        from spt_dist.serve import app
    return app


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_ongoing_requests": 3, "max_batch": 4, "target_ongoing_requests": 1}, "a batch never fills"),
        ({"max_ongoing_requests": 4, "max_batch": 4, "target_ongoing_requests": 5}, "no replica is ever added"),
        ({"max_replicas": 1, "min_replicas": 2}, "no number of replicas"),
        ({"target_ongoing_requests": 0}, "endless replicas"),
    ],
)
def test_contradicting_limits_are_refused(app, values, words):
    with pytest.raises(ValueError, match=words):
        app.check(config.Serve(**values))


def test_defaults_are_consistent(app):
    app.check(config.Serve())


def test_config_file_is_one_that_serve_and_we_accept(app, tmp_path):
    from ray.serve.schema import ServeDeploySchema

    text = (Path(__file__).parents[2] / "deploy" / "serve.yaml").read_text()
    entry = ServeDeploySchema.model_validate(yaml.safe_load(text)).applications[0]
    assert entry.import_path == f"{app.__name__}:{app.application.__name__}"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "card.json").write_text("{}")
    arguments = app.Arguments.model_validate({**entry.args, "run": tmp_path})
    assert app.application(arguments)
    with pytest.raises(ValueError, match="holds no trained weights"):
        app.application(app.Arguments.model_validate(entry.args))
    with pytest.raises(ValueError, match="runs"):
        app.Arguments.model_validate({**entry.args, "runs": 1})


@pytest.mark.parametrize(
    ("values", "there", "words"),
    [
        ({"min_replicas": 3}, {"CPU": 2.0}, "asks for 3 CPUs, but there are 2"),
        ({"gpus_per_replica": 0.5, "min_replicas": 3}, {"CPU": 8.0, "GPU": 1.0}, "asks for 1.5 GPUs, but there are 1"),
        ({"gpus_per_replica": 1.0}, {"CPU": 8.0}, "`serve.gpus_per_replica` x .* asks for 1 GPUs, but there are 0"),
    ],
)
def test_replicas_that_would_wait_for_ever_are_refused(app, values, there, words):
    with pytest.raises(ValueError, match=words):
        app.check_resources(config.Serve(**values, max_replicas=3), there)
    app.check_resources(config.Serve(**values, max_replicas=3), {"CPU": 3.0, "GPU": 1.5})


def test_the_best_weights_are_served_on_request(app, monkeypatch, tmp_path):
    best = config.Serve(weights="best")
    with pytest.raises(ValueError, match="has no best weights"):
        app.application(app.Arguments(run=tmp_path, serve=best))
    (tmp_path / "weights-best").mkdir()
    (tmp_path / "weights-best" / "card.json").write_text("{}")
    assert app.application(app.Arguments(run=tmp_path, serve=best))
    load = Mock()
    monkeypatch.setattr("spt_dist.infer.Predictor.load", load)
    app.Painter(str(tmp_path), best)
    assert load.call_args.args == (tmp_path / "weights-best", "cpu")


@pytest.mark.parametrize(("gpus", "device"), [(0.0, "cpu"), (0.25, "cuda")])
def test_painter_draws_where_its_share_is(app, monkeypatch, gpus, device):
    load = Mock()
    monkeypatch.setattr("spt_dist.infer.Predictor.load", load)
    app.Painter("runs/a", config.Serve(gpus_per_replica=gpus))
    assert load.call_args.args == (Path("runs/a/weights"), device)


def front(app, *answers):
    painter = Mock(spec=app.DeploymentHandle)
    painter.draw = Mock(remote=AsyncMock(side_effect=answers))
    return app.Front(painter, "runs/a", config.Serve()), painter.draw.remote


def test_order_of_a_lost_painter_goes_to_another_once(app, parts, pixels, labels, caplog):
    from ray.exceptions import ActorDiedError

    order, picture = read_order(**parts, max_pixels=2_000), Picture(pixels, labels)
    recovering, asked = front(app, ActorDiedError(), picture)
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(recovering.draw(order)) is picture
    assert all(call.args[0] is order for call in asked.call_args_list)
    assert asked.call_count == 2
    assert "a Painter was lost (ActorDiedError)" in caplog.text
    deadly, asked = front(app, ActorDiedError(), ActorDiedError(), picture)
    with pytest.raises(ActorDiedError):
        asyncio.run(deadly.draw(order))
    assert asked.call_count == 2
    full, _ = front(app, ActorDiedError(), app.BackPressureError(num_queued_requests=1, max_queued_requests=1))
    with pytest.raises(BusyError):
        asyncio.run(full.draw(order))


def test_run_without_weights_is_refused_before_anything_starts(app, tmp_path):
    with pytest.raises(ValueError, match=r"holds no trained weights.*card\.json"):
        app.run(tmp_path, config.Serve(), blocking=False)


def test_taken_port_is_refused_before_anything_starts(app, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "card.json").write_text("{}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            app.run(tmp_path, config.Serve(port=port), blocking=False)
