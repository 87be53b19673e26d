"""One of two processes that train a layer through every op under DistributedDataParallel; writes the gradient."""

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from spt_kernels import norm_act, part_warp, semantic_style_loss
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Layer(nn.Module):
    """A convolution, then each op that has a gradient."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images, labels, transforms, quads):
        features = norm_act(self.conv(images), groups=4, slope=0.2)
        warped = part_warp(features, transforms, quads, (16, 12))
        return semantic_style_loss(
            warped, images.repeat(1, 2, 1, 1)[:, :4], features, labels, labels.flip(2), (1, 2, 3)
        )


def batch() -> list[torch.Tensor]:
    """Two samples of features at 8x6, of pictures at 16x12."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 4, (2, 16, 12), generator=generator, dtype=torch.uint8)
    transforms = torch.eye(2, 3) + 0.1 * torch.randn(2, 2, 2, 3, generator=generator)
    frame = torch.tensor([[-1, -1], [12, -1], [12, 16], [-1, 16]], dtype=torch.float64)
    box = torch.tensor([[2.5, 1.5], [8.5, 1.5], [8.5, 12.5], [2.5, 12.5]], dtype=torch.float64)
    return [
        torch.randn(2, 3, 8, 6, generator=generator),
        labels,
        transforms,
        torch.stack([frame, box]).repeat(2, 1, 1, 1),
    ]


def main(rank: int, folder: Path) -> None:
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    layer = DistributedDataParallel(Layer())
    layer(*(tensor[rank : rank + 1] for tensor in batch())).backward()
    torch.save(layer.module.conv.weight.grad, folder / f"{rank}.pt")
    dist.barrier()
    del layer  # it holds the group, whose threads abort the process if they outlive the interpreter
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
