import json
from pathlib import Path

import pytest

from spt_dist import config

SHIPPED = sorted(Path("configs").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_load_and_say_what_they_are(path):
    config.load(path)
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("Reproduces", "Hardware", "Expect", "Command"):
        assert any(word in line for line in header), f"{path} does not say `{word}`"


def test_a_resolved_config_survives_json():
    settings = config.load("configs/demo.toml", ("train.seed=7",))
    assert settings.train.seed == 7
    assert config.from_tree(json.loads(json.dumps(config.to_tree(settings)))) == settings


def test_every_problem_is_named_with_its_path(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('[data]\nshard = "x"\nbatch = 0\n[train]\nzero_stage = 4\n')
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    message = str(caught.value)
    assert "3 problem" in message
    assert "`data.shard` is not a key" in message
    assert "`data.batch` = 0" in message
    assert "`train.zero_stage` = 4" in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.seed", "has no `=`"),
        ("train.sed=1", "`train.sed` is not a key"),
        ("data.batch.x=1", "is a value, not a section"),
    ],
)
def test_bad_overrides(override, said):
    with pytest.raises(config.ConfigError, match=said):
        config.load("configs/demo.toml", (override,))


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(config.ConfigError, match="cannot read"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[data\n")
    with pytest.raises(config.ConfigError, match="not valid TOML"):
        config.load(tmp_path / "broken.toml")
    with pytest.raises(config.ConfigError, match="is not a run"):
        config.load_run(tmp_path)


def test_bare_words_are_strings():
    assert config.load("configs/demo.toml", ("data.reader=webdataset",)).data.reader == "webdataset"
