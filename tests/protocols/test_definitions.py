"""Every definition of every protocol against a computation that shares nothing with it: scikit-image, numpy, loops."""

import cv2
import numpy as np
import pytest
import torch
from lineages import (
    box_share,
    drawn_mask,
    fid,
    new_ssim,
    old_ssim,
    ours_map,
    pil_fashion,
    pil_true,
    segment_share,
    wide_ssim,
)
from PIL import Image

from spt_dist import config
from spt_dist.body import Joint
from spt_dist.protocols.definition import Case
from spt_dist.protocols.judges import Judges
from spt_dist.protocols.pixels import cut_to_fashion, masked, round_to_fashion, white_margins
from spt_dist.protocols.table import PROTOCOLS

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
SIZE, PICTURES, KEPT = (64, 56), 66, 64


class Twice(torch.nn.Module):
    """Features and logits that numpy computes too."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x.float()
        means = torch.cat([x.mean((2, 3)), x[:, :, ::2].mean((2, 3))], 1)
        return means, means / 20


class Features(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), x[:, :, :100].mean((2, 3))], 1)[:, :, None, None]


class Distance(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean((1, 2, 3))


class Detector(torch.nn.Module):
    """A heat map per joint: where the picture has one of 18 brightnesses."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wanted = torch.linspace(-0.9, 0.9, 18)[:, None, None]
        return 1 - 8 * (x.mean(1, keepdim=True) - wanted).abs()


def make_case(size=SIZE, count=PICTURES):
    """Noise over soft shapes, and people whose joints lie within the frame on whole pixels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    truth = torch.nn.functional.interpolate(coarse, size, mode="bilinear") * 200 + 20
    noisy = truth + torch.randn(truth.shape, generator=generator) * 20
    places = torch.rand(count, len(Joint), 2, generator=generator) * torch.tensor([size[1] - 1.0, size[0] - 1.0])
    seen = (torch.rand(count, len(Joint), 1, generator=generator) < 0.8).float()
    joints = torch.cat([places.round(), torch.ones_like(seen)], 2) * seen + torch.tensor([-1.0, -1.0, 0.0]) * (1 - seen)
    images, truth = (x.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous() for x in (noisy, truth))
    return Case(images, truth, joints)


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    files = {}
    modules = {
        "inception": Twice(), "inception_torchvision": Features(), "lpips": Distance(), "pose_detector": Detector(),
    }  # fmt: skip
    for key, module in modules.items():
        files[key] = str(folder / f"{key}.pt")
        torch.jit.script(module).save(files[key])
    settings = config.Config(evaluation=config.Evaluation(**files))
    references = make_case(count=PICTURES + 20).truth[20:]
    return Judges(settings, folder, lambda: iter(references.split(10)))


@pytest.fixture(scope="module")
def case():
    return make_case()


def numpy_of(case):
    return [each.numpy() for each in case]


def as_it_is(image):
    return image


def mean_of(score, frame=as_it_is, true_frame=as_it_is):
    def compute(case):
        images, truth, _ = numpy_of(case)
        return np.mean([score(frame(x), true_frame(y)) for x, y in zip(images, truth, strict=True)])

    return compute


def inside(score, half=4.0):
    def compute(case):
        images, truth, _ = numpy_of(Case(*(masked(each, case.joints) for each in case[:2]), case.joints))
        return np.mean([score(x, y) for x, y in zip(images, truth, strict=True)])

    return compute


def in_mask(case):
    from spt_dist.geometry import pose_mask

    masks = pose_mask(case.joints, SIZE, 4 * SIZE[0] / 128)[:, 0].bool().numpy()
    images, truth, _ = numpy_of(case)
    return np.mean([ours_map(x, y)[mask].mean() for x, y, mask in zip(images, truth, masks, strict=True)])


def inception(images):
    x = images.astype(float)
    return np.concatenate([x.mean((1, 2)), x[:, ::2].mean((1, 2))], 1)


def torchvision(images):
    rows = []
    for image in images:
        x = cv2.resize(image.astype(np.float32) / 255, (299, 299), interpolation=cv2.INTER_LINEAR)
        x = x * (np.array([0.229, 0.224, 0.225]) / 0.5) + (np.array([0.485, 0.456, 0.406]) - 0.5) / 0.5
        rows.append(np.concatenate([x.mean((0, 1)), x[:100].mean((0, 1))]))
    return np.array(rows)


def score_of(images, splits):
    logits = inception(images) / 20
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    n, values = len(p), []
    for i in range(splits):
        part = p[i * n // splits : (i + 1) * n // splits]
        values.append(np.exp((part * (np.log(part) - np.log(part.mean(0)))).sum(1).mean()))
    return np.mean(values)


def lpips(case, frame=as_it_is, true_frame=as_it_is, kept=PICTURES, mask=None):
    rows = []
    for i, (x, y) in enumerate(zip(*numpy_of(case)[:2], strict=True)):
        apart = np.abs(frame(x).astype(float) - true_frame(y)) / 127.5
        rows.append((apart * mask[i][..., None] if mask is not None else apart).mean())
    return np.mean(rows[:kept])


def masks_of(case):
    return masked(torch.ones_like(case.images), case.joints)[..., 0].numpy()


REFERENCES = make_case(count=PICTURES + 20).truth[20:].numpy()
LINEAGE = {
    "SSIM": mean_of(old_ssim),
    "mask-SSIM": inside(old_ssim),
    "IS": lambda case: score_of(case.images.numpy(), 10),
    "mask-IS": lambda case: score_of(masked(case.images, case.joints).numpy(), 10),
}
EXPECTED = {
    "spt": LINEAGE,
    "defgan": LINEAGE,
    "patn": LINEAGE | {"PCKh": box_share},
    "gfla": {
        "SSIM": mean_of(wide_ssim),
        "SSIM 256": mean_of(new_ssim),
        "FID": lambda case: fid(torchvision(case.images[:KEPT].numpy()), torchvision(REFERENCES[:KEPT])),
        "LPIPS": lambda case: lpips(case, kept=KEPT),
        "mask-LPIPS": lambda case: lpips(case, kept=KEPT, mask=masks_of(case)),
    },
    "cfld": {
        "SSIM": mean_of(wide_ssim, pil_fashion, pil_true),
        "SSIM 256": mean_of(new_ssim, pil_fashion, pil_true),
        "FID": lambda case: fid(
            torchvision([pil_fashion(x) for x in case.images.numpy()]), torchvision([pil_true(x) for x in REFERENCES])
        ),
        "LPIPS": lambda case: lpips(case, pil_fashion, pil_true),
    },
    "clean": {
        "SSIM": mean_of(lambda x, y: ours_map(x, y).mean()),
        "SSIM in the mask": in_mask,
        "FID": lambda case: fid(inception(case.images.numpy()), inception(REFERENCES)),
        "IS": lambda case: score_of(case.images.numpy(), 1),
        "LPIPS": lpips,
        "PCKh": segment_share,
    },
}
EVERY = [(name, metric.name) for name, protocol in PROTOCOLS.items() for metric in protocol.metrics]


@pytest.mark.parametrize(("protocol", "metric"), EVERY)
def test_a_definition_is_what_its_words_say(protocol, metric, case, judges):
    (definition,) = [each for each in PROTOCOLS[protocol].metrics if each.name == metric]
    statistic = definition.compute(case, judges)
    value = statistic.of(torch.arange(statistic.n))
    assert statistic.n == (KEPT if protocol == "gfla" and not metric.startswith("SSIM") else PICTURES)
    tolerance = 2e-4 if protocol == "cfld" else 1e-5  # single pixels differ by a level where both libraries cut down
    expected = EXPECTED[protocol][metric](case)
    assert value == pytest.approx(expected, rel=tolerance * (100 if metric == "FID" else 1), abs=tolerance)
    assert value != pytest.approx(1.0) if metric != "FID" else value > 0


def test_every_expectation_is_of_a_definition():
    assert {(name, metric) for name, metrics in EXPECTED.items() for metric in metrics} == set(EVERY)


def test_old_and_new_windows_and_masks_of_the_field_give_different_numbers(case):
    small = Case(*(each[:8] for each in case))
    values = [mean_of(score)(small) for score in (old_ssim, new_ssim, wide_ssim)] + [inside(old_ssim)(small)]
    assert len({round(value, 4) for value in values}) == len(values)


def test_the_mask_is_the_one_that_the_field_draws(case):
    ones = torch.ones_like(case.images)
    ours = masked(ones, case.joints)[..., 0].bool().numpy()
    theirs = np.stack([drawn_mask(joints, SIZE) for joints in case.joints.numpy()])
    assert 0.1 < theirs.mean() < 0.95
    assert (ours != theirs).mean() < 2e-3  # pixels exactly on an edge are a matter of rounding


@pytest.mark.parametrize("width", [176, 256])
def test_fashion_is_scored_between_white_margins(width, judges):
    case = make_case((256, width), 12)
    x, y = (each.numpy()[:, :, (width - 176) // 2 :][:, :, :176] for each in case[:2])
    x, y = (np.pad(each, ((0, 0), (0, 0), (40, 40), (0, 0)), constant_values=255) for each in (x, y))
    np.testing.assert_array_equal(white_margins(case.images), x)
    metrics = {each.name: each for each in PROTOCOLS["patn"].metrics}
    found = {name: metrics[name].compute(case, judges) for name in ("SSIM", "IS")}
    assert found["SSIM"].of(torch.arange(12)) == pytest.approx(
        np.mean([old_ssim(*each) for each in zip(x, y, strict=True)]), abs=1e-5
    )
    assert found["IS"].of(torch.arange(12)) == pytest.approx(score_of(x, 10), rel=1e-5)
    (plain,) = [each for each in PROTOCOLS["defgan"].metrics if each.name == "SSIM"]
    assert plain.compute(case, judges).of(torch.arange(12)) < found["SSIM"].of(torch.arange(12))  # white agrees


def test_pictures_of_other_sizes_keep_their_margins(case):
    assert white_margins(case.images) is case.images


@pytest.mark.parametrize(("ours", "theirs"), [(cut_to_fashion, pil_fashion), (round_to_fashion, pil_true)])
def test_pictures_are_brought_to_fashions_size(case, ours, theirs):
    apart = np.abs(ours(case.images[:3]).numpy().astype(int) - [theirs(x) for x in case.images[:3].numpy()])
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.01
    rounded = [np.array(Image.fromarray(x).resize((176, 256), Image.BICUBIC)) for x in case.images[:3].numpy()]
    bias = (ours(case.images[:3]).numpy().astype(int) - rounded).mean()
    assert bias == pytest.approx(-0.5 if ours is cut_to_fashion else 0, abs=0.02)
