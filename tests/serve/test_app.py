"""What is checked before Ray starts."""

import socket
import warnings
from pathlib import Path

import pytest
import yaml

from spt_dist import config


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
