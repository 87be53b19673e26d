"""One rank of a run in DeepSpeed engines: goes on where the run's folder stands, and trains to the end.

Run by test_resize.py with RANK, WORLD_SIZE and friends set. The ranks leave what every engine held when it was resumed,
and where the reader stood.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from spt_dist import config
from spt_dist.data.pipeline import micro_batch
from spt_dist.train import engine
from spt_dist.train.engine import DeepSpeedEngine, init_deepspeed
from spt_dist.train.loop import Trainer
from spt_dist.train.ranks import Ranks
from spt_dist.train.saving import write


def main():
    run, left = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    engine.WHOLE_BELOW = 0  # these networks' parameters are small ones all
    dist.init_process_group("gloo")
    init_deepspeed(torch.device("cpu"))
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), torch.device("cpu"))
    settings = config.load_run(run)
    share = micro_batch(settings.data, ranks.size, settings.train.accumulate)
    trainer = Trainer(settings, run, lambda network: DeepSpeedEngine(network, settings.train, share), ranks)
    if trainer.resume():
        for name, trained in trainer.state.engines.items():
            trained.save(left / name, write)
            with trained.whole() as module:
                if ranks.leads:
                    torch.save(module.state_dict(), left / f"{name}.pt")
        if ranks.leads:
            (left / "reader.json").write_text(json.dumps(trainer.reader.state_dict()))
    trainer.train()
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
