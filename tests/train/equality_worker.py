"""One rank of the equality test: real phases in DeepSpeed engines, compared with plain torch on the whole batch.

Run by test_equality.py with RANK, WORLD_SIZE and friends set. Rank 0 prints one line of JSON.
"""

import argparse
import json
from dataclasses import replace

import torch
import torch.distributed as dist

from spt_dist import config
from spt_dist.body import Label
from spt_dist.data.schema import Batch, Pairs
from spt_dist.models.features import PerceptualFeatures
from spt_dist.models.noise import Rows
from spt_dist.train import engine
from spt_dist.train.ema import Ema
from spt_dist.train.engine import DeepSpeedEngine, PlainEngine, init_deepspeed
from spt_dist.train.phases import STAGES, Turn, train_phase
from spt_dist.train.scene import build_scene
from spt_dist.train.state import AVERAGED, build_networks

BATCH, STEPS, SIZE, SEED = 6, 5, (32, 16), 109
# Each stage starts from fresh networks, with the paper's terms, at about its rate (2e-4). These steps are chaotic: at
# 1e-3, over twenty steps, or with an L1 term, whose gradient jumps where pixels agree, even plain torch parts from
# itself when a batch is summed in another order. Clipped to a norm of 1, a hundredth of theirs, gradients come near
# Adam's epsilon, with the same end.
LEARNING_RATE = 1e-4
SETTINGS = config.Config(
    data=config.Data(image_size=SIZE, heatmap_sigma_px=2.0, batch=BATCH),
    networks=config.Networks(
        semantic=config.Semantic(widths=(4, 6, 8), warped_input=True, label_weights={"l_arm": 4.0}),
        appearance=config.Appearance(
            widths=(4, 6, 8), warped_levels=2, dropout=0.5, flat_colour_input=True, max_stretch=2.0
        ),
        discriminator=config.Discriminator(widths=(4, 8)),
        pose_detector=config.PoseDetector(width=4, blocks=1),
        features=config.PerceptualFeatures(normalise=True),
    ),
    losses=config.LossWeights(pose=100, content=10, style=10),
)


def fresh_networks():
    """Networks whose H_S is sure of its labels.

    The style loss reads the most likely one; where two are alike, a rounding would choose between two objectives.
    """
    networks = build_networks(SETTINGS.networks, 0)
    with torch.no_grad():
        networks["semantic"].unet.head.bias[Label.UPPER] += 5
    return networks


def fresh_averages():
    return {name: Ema(network, 1000.0) for name, network in fresh_networks().items() if name in AVERAGED}


def compare(found, expected, start):
    """How far two trained networks are apart, and how far they have come."""
    triples = list(zip(*(module.parameters() for module in (found, expected, start)), strict=True))
    return {
        "difference": max((a - b).abs().max().item() for a, b, _ in triples),
        "moved": max((b - c).abs().max().item() for _, b, c in triples),
    }


class FixedPairs:
    """Stands in for the search: any map will do to compare two ways of training on it."""

    def match(self, source: Batch, target_joints: torch.Tensor):
        return source.labels.flip(2), target_joints


def people(count: int) -> Batch:
    """Random pictures with blocky maps and joints inside: numbers matter here, not looks.

    A sum in another order can end far away. Either one parameter, whose gradient is next to nothing, takes another
    first step (Adam's is nearly the gradient's sign), or the objective has a step there and all of a network moves.
    Of 120 seeds, plain torch alone, in micro-batches of 3, 2 and 1, ended within 3e-7 of its own whole batch with 9
    (this one: 6e-8), and up to 3e-4 from it with others.
    """
    generator = torch.Generator().manual_seed(SEED)
    height, width = SIZE
    images = torch.randint(0, 256, (count, height, width, 3), generator=generator, dtype=torch.uint8)
    coarse = torch.randint(0, 10, (count, 1, height // 4, width // 4), generator=generator).float()
    labels = torch.nn.functional.interpolate(coarse, size=SIZE, mode="nearest")[:, 0].to(torch.uint8)
    places = torch.rand(count, 18, 2, generator=generator) * torch.tensor([width - 1.0, height - 1.0])
    return Batch([str(i) for i in range(count)], images, labels, torch.cat([places, torch.ones(count, 18, 1)], 2))


def rows(batch: Batch, chosen: list[int]) -> Batch:
    return Batch([batch.ids[i] for i in chosen], *(tensor[chosen] for tensor in batch[1:]))


def train(stage, engines, averages, settings, features, chosen_per_micro):
    everyone = people((STEPS + 1) * BATCH)
    for step in range(STEPS):
        turns = []
        for chosen in chosen_per_micro:
            sources = [step * BATCH + i for i in chosen]
            pairs = Pairs(rows(everyone, sources), rows(everyone, [i + BATCH for i in sources]))
            own_pose = stage == "appearance" and step < 2
            part = Rows((0, step), BATCH, chosen[0], len(chosen))
            scene = build_scene(pairs, settings, FixedPairs(), own_pose)
            turns.append(Turn(scene, settings, features, rows=part))
        for phase in STAGES[stage]:
            train_one_phase(phase, engines, turns)
            if phase.network in averages:
                with engines[phase.network].whole() as module:
                    averages[phase.network].update(module, BATCH)


def train_one_phase(phase, engines, turns):
    others = {name: engine for name, engine in engines.items() if name != phase.network}
    before = {name: copies(other) for name, other in others.items()}
    train_phase(phase, engines, turns, LEARNING_RATE)
    for name, values in before.items():
        for value, now in zip(values, copies(others[name]), strict=True):
            assert torch.equal(value, now), f"{name} moved while {phase.network} was trained"
        gradients = [parameter.grad for parameter in others[name].module.parameters()]
        assert all(gradient is None for gradient in gradients), f"{name} got one while {phase.network} was trained"


def copies(trained):
    with trained.whole() as module:
        return [parameter.detach().clone() for parameter in module.parameters()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--zero", type=int)
    parser.add_argument("--accumulate", type=int)
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine.WHOLE_BELOW = 0  # these networks' parameters are small ones all
    dist.init_process_group("gloo")
    init_deepspeed(torch.device("cpu"))
    rank, world = dist.get_rank(), dist.get_world_size()
    alone = replace(SETTINGS, train=config.Train(clip=3.0, precision=arguments.precision))
    sharing = replace(alone, train=replace(alone.train, zero_stage=arguments.zero, accumulate=arguments.accumulate))
    features = PerceptualFeatures(SETTINGS.networks.features)
    share = BATCH // world // arguments.accumulate
    micro = [[(m * world + rank) * share + i for i in range(share)] for m in range(arguments.accumulate)]
    results = {}
    for stage in STAGES:
        engines = {n: DeepSpeedEngine(m, sharing.train, share) for n, m in fresh_networks().items()}
        averages = fresh_averages()
        train(stage, engines, averages, sharing, features, micro)
        plain = {n: PlainEngine(m, alone.train) for n, m in fresh_networks().items()}
        start, plain_averages = fresh_networks(), fresh_averages()
        train(stage, plain, plain_averages, alone, features, [list(range(BATCH))])
        for name in sorted({phase.network for phase in STAGES[stage]}):  # the same order on every rank
            with engines[name].whole() as whole:
                results[f"{stage}/{name}"] = compare(whole, plain[name].module, start[name])
            if name in averages:
                three = averages[name].module, plain_averages[name].module, start[name]
                results[f"{stage}/average of {name}"] = compare(*three)
    if rank == 0:
        print(json.dumps(results), flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
