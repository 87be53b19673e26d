"""One rank of two that read the same shards and meet after each batch; rank 0 spoils shards on the way.

Run by test_lost_together.py with RANK, WORLD_SIZE and friends set: SHARDS MAX_LOST. Prints the sources as JSON, or why
it stopped.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from spt_dist import config
from spt_dist.data.pipeline import open_reader
from spt_dist.data.schema import DataError

STEPS, BEFORE, BATCH = 40, 2, 4
STOPPED = 3


def main(shards: str, max_lost: str) -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank, names = dist.get_rank(), []
    data = config.Data(shards=shards, image_size=(24, 16), batch=BATCH, shuffle_buffer=1, max_lost=float(max_lost))
    reader = open_reader(data, "train", rank=rank, ranks=2, tell=lambda what: print(what, file=sys.stderr))
    for step in range(STEPS):
        if step == BEFORE:
            dist.barrier()
            if rank == 0:
                for number in (3, 6):
                    (Path(shards) / f"train-{number:06d}.idx").write_text("")
            dist.barrier()
        names.append(next(reader).source.ids)
        dist.all_reduce(torch.ones(1))
    dist.barrier()
    dist.destroy_process_group()
    print(json.dumps(names))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DataError as error:
        print(error)
        sys.exit(STOPPED)
