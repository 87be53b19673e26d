"""What is checked before Ray starts."""

import asyncio
import json
import logging
import socket
import time
import warnings
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from mirror import stand_in

from spt_dist import config
from spt_dist.serve.operations import read_pose
from spt_dist.serve.orders import BusyError, DeadlineError, Drawn, Job, Look, Model, Replicas

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, while it is imported
    from spt_dist.serve import app as app_module
    from spt_dist.serve import replicas
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

MODEL = Model("a", Path("runs/a/weights"), "digest", (24, 14))


@pytest.fixture
def app():
    return app_module


def card(folder: Path) -> None:
    """A weights folder that looks whole to whoever does not load it."""
    folder.mkdir()
    (folder / "card.json").write_text(json.dumps({"config": {}, "weights": []}))


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


def test_files_that_cannot_be_used_are_refused_before_anything_starts(app, tmp_path):
    (tmp_path / "chain.pem").write_text("half an identity")
    (tmp_path / "broken.toml").write_text("[pose]\nfile = 'pose.onnx'\n")
    for key, value, words in (
        ("keys", "keys.json", "is no key file"),
        ("log", "nowhere/endpoint.jsonl", "lies in no folder"),
        ("annotator", "models.toml", "is no annotator; give box, off"),
        ("annotator", "broken.toml", r"`serve\.annotator`: .*broken\.toml"),
        ("identity", "", "lacks"),
    ):
        with pytest.raises((ValueError, OSError), match=words):
            app.check(config.Serve(**{key: str(tmp_path / value)}))


def test_defaults_are_consistent(app):
    app.check(config.Serve())


def test_config_file_is_one_that_serve_and_we_accept(app, tmp_path):
    from ray.serve.schema import ServeDeploySchema

    text = (Path(__file__).parents[2] / "deploy" / "serve.yaml").read_text()
    entry = ServeDeploySchema.model_validate(yaml.safe_load(text)).applications[0]
    assert entry.import_path == f"{app.__name__}:{app.application.__name__}"
    card(tmp_path / "weights")
    arguments = app.Arguments.model_validate({**entry.args, "runs": {"a": tmp_path}})
    assert app.application(arguments)
    with pytest.raises(ValueError, match="holds no trained weights"):
        app.application(app.Arguments.model_validate(entry.args))
    with pytest.raises(ValueError, match="run\n"):
        app.Arguments.model_validate({**entry.args, "run": 1})


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


def test_the_best_weights_are_served_on_request(app, tmp_path):
    best = config.Serve(weights="best")
    with pytest.raises(ValueError, match="has no best weights"):
        app.find_models({"a": tmp_path}, best)
    card(tmp_path / "weights-best")
    (model,) = app.find_models({"a": tmp_path}, best)
    assert (model.id, model.folder, model.size) == ("a", tmp_path / "weights-best", (256, 256))


def test_other_weights_have_another_digest(app, tmp_path):
    card(tmp_path / "weights")
    digests = []
    for content in (b"a", b"a", b"b"):
        (tmp_path / "weights/appearance.safetensors").write_bytes(content)
        digests.append(app.find_models({"a": tmp_path}, config.Serve())[0].digest)
    assert digests[0] == digests[1] != digests[2]


@pytest.fixture
def job(parts):
    (order,) = read_pose(parts, config.Serve())
    return Job(order, MODEL, time.time() + 5, "id")


@pytest.fixture
def picture(pixels, labels):
    return Drawn(pixels, labels, "digest", {"draw": 0.0}, 0.0)


def front(app, *answers):
    """A front whose replicas answer so, one after the other."""

    async def answer(outcome):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    painter = Mock(spec=DeploymentHandle)
    ask = painter.options.return_value.draw.remote = Mock(side_effect=[answer(outcome) for outcome in answers])
    return replicas.Front(painter, [MODEL], config.Serve()), ask


def test_job_of_a_lost_painter_goes_to_another_once(app, job, picture, caplog):
    from ray.exceptions import ActorDiedError

    recovering, asked = front(app, ActorDiedError(), picture)
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(recovering.draw(job)).image is picture.image
    assert all(call.args[0] is job for call in asked.call_args_list)
    assert asked.call_count == 2
    assert "a Painter was lost (ActorDiedError)" in caplog.text
    deadly, asked = front(app, ActorDiedError(), ActorDiedError())
    with pytest.raises(BusyError, match="a replica was lost twice over it; try again in 5 s"):
        asyncio.run(deadly.draw(job))
    assert asked.call_count == 2
    full, _ = front(app, ActorDiedError(), BackPressureError(num_queued_requests=1, max_queued_requests=1))
    with pytest.raises(BusyError):
        asyncio.run(full.draw(job))


def test_time_that_no_stage_accounts_for_is_the_queues(app, job, picture):
    asking, _ = front(app, picture)
    stages = asyncio.run(asking.draw(job)).stages
    assert list(stages) == ["queue", "draw"]
    assert 0 <= stages["queue"] < 1


def test_a_raw_photo_goes_to_a_painter_and_to_another_when_that_is_lost(pixels):
    from ray.exceptions import ActorDiedError

    found = stand_in(Look("image", pixels, time.time() + 5, "id"))

    async def answer(outcome):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    painter = Mock(spec=DeploymentHandle)
    painter.annotate = Mock()
    painter.annotate.remote.side_effect = [answer(ActorDiedError()), answer(found)]
    asking = replicas.Front(painter, [MODEL], config.Serve())
    annotated = asyncio.run(asking.annotate(Look("image", pixels, time.time() + 5, "id")))
    assert annotated.labels is found.labels
    assert annotated.stages["annotate"] == found.stages["annotate"]


@pytest.mark.parametrize(
    ("running", "error", "words"), [(1, DeadlineError, "within the deadline"), (0, BusyError, "awake")]
)
def test_a_passed_deadline_cancels_the_job_and_says_whether_anybody_was_awake(app, job, running, error, words):
    class Slow:
        cancelled = False

        def __await__(self):
            return asyncio.sleep(60).__await__()

        def cancel(self):
            self.cancelled = True

    async def found():
        return Replicas(running, 0)

    asking, asked = front(app)
    asked.side_effect, asking.replicas = [slow := Slow()], found
    with pytest.raises(error, match=words):
        asyncio.run(asking.draw(job._replace(deadline=time.time() + 0.05)))
    assert slow.cancelled


def test_run_without_weights_is_refused_before_anything_starts(app, tmp_path):
    with pytest.raises(ValueError, match=r"holds no trained weights.*card\.json"):
        app.run({"a": tmp_path}, config.Serve(), blocking=False)


def test_taken_port_is_refused_before_anything_starts(app, tmp_path):
    card(tmp_path / "weights")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            app.run({"a": tmp_path}, config.Serve(port=port), blocking=False)
