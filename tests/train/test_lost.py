"""A run whose shards break on the way: told in its events, or ended with the list."""

import itertools
import os
import re
from dataclasses import replace

import pytest

from spt_dist.data.importers import read_folder, splits
from spt_dist.data.pack import pack
from spt_dist.data.schema import DataError
from spt_dist.data.synthetic import draw_folder
from spt_dist.run_log import read_events
from spt_dist.train.engine import PlainEngine
from spt_dist.train.loop import Trainer
from spt_dist.train.prepare import prepare_run
from spt_dist.train.ranks import Ranks

pytestmark = pytest.mark.filterwarnings("ignore:.*random network.*:UserWarning")


@pytest.mark.parametrize("max_lost", [0.1, 0.3])
def test_a_shard_that_is_lost_on_the_way(tiny_config, tmp_path, max_lost):
    draw_folder(tmp_path / "drawn", 24, (32, 16), seed=0, val_people=3, test_people=3)
    samples = itertools.chain.from_iterable(
        read_folder(tmp_path / "drawn", split) for split in splits(tmp_path / "drawn")
    )
    pack(samples, tmp_path / "shards", (32, 16), "whole", shard_samples=4)
    settings = replace(tiny_config, data=replace(tiny_config.data, shards=str(tmp_path / "shards"), max_lost=max_lost))
    run = tmp_path / "run"
    prepare_run(settings, run, resume=False, ranks=1, engine=PlainEngine.__name__)
    trainer = Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks())
    trainer.resume()
    next(trainer.reader)  # the start is over, the files were whole
    os.truncate(tmp_path / "shards" / "train-000002.tar", 0)
    said = r"lost 4 of 24 samples of `train`, \d may be.*train-000002.tar"
    if max_lost == 0.1:
        with pytest.raises(DataError, match=r"lost 4 of 24 .* raise `data.max_lost`:\n  4 x shard"):
            trainer.train()
        trainer.watchdog.end()
        trainer.log.close()
        return
    assert trainer.train()
    assert [event["rank"] for event in read_events(run) if re.search(said, event["what"])] == [0]
