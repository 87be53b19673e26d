import torch
from torch.testing import assert_close

from spt_dist.body import Label
from spt_dist.regions import fill_background, flat_fill, paint, region_colours, region_means


def parsing_of(labels: list[list[int]]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), len(Label)).permute(2, 0, 1)[None].float()


LABELS = [[0, 0, 3, 3], [6, 6, 3, 3]]
PARSING = parsing_of(LABELS)
IMAGE = torch.stack([torch.arange(8.0).reshape(2, 4), torch.ones(2, 4), torch.zeros(2, 4)])[None]


def test_means_are_over_each_label() -> None:
    means, areas = region_means(IMAGE, PARSING)
    assert areas[0].tolist() == [2, 0, 0, 4, 0, 0, 2, 0, 0, 0]
    assert_close(means[0, Label.UPPER], torch.tensor([(2 + 3 + 6 + 7) / 4, 1.0, 0.0]))
    assert_close(means[0, Label.SKIRT], torch.zeros(3))


def test_a_missing_label_takes_its_mirror_and_else_the_foreground() -> None:
    colours = region_colours(IMAGE, PARSING)[0]
    assert_close(colours[Label.L_ARM], torch.tensor([4.5, 1.0, 0.0]))
    assert_close(colours[Label.R_ARM], colours[Label.L_ARM])
    assert_close(colours[Label.HAIR], torch.tensor([(4 + 5 + 2 + 3 + 6 + 7) / 6, 1.0, 0.0]))
    assert_close(colours[Label.BACKGROUND], torch.tensor([0.5, 1.0, 0.0]))


def test_without_any_foreground_every_label_takes_the_pictures_mean() -> None:
    colours = region_colours(IMAGE, parsing_of([[0] * 4] * 2))[0]
    assert_close(colours, torch.tensor([3.5, 1.0, 0.0]).expand(10, 3))


def test_paint_mixes_colours_by_a_soft_parsing() -> None:
    colours = torch.zeros(1, 10, 3)
    colours[0, Label.FACE], colours[0, Label.HAIR] = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([-1.0, 0.0, 0.5])
    soft = torch.zeros(1, 10, 1, 1)
    soft[0, Label.FACE], soft[0, Label.HAIR] = 0.75, 0.25
    assert_close(paint(colours, soft)[0, :, 0, 0], torch.tensor([0.5, 0.0, 0.5]))


def test_the_flat_fill_of_a_flat_picture_is_the_picture() -> None:
    flat = paint(torch.rand(1, 10, 3, generator=torch.Generator().manual_seed(0)), PARSING)
    assert_close(flat_fill(flat, PARSING, PARSING), flat)
    mirrored = flat_fill(flat, PARSING, PARSING.flip(3))
    assert_close(mirrored, flat.flip(3))


def test_the_background_is_kept_and_the_person_filled_from_around() -> None:
    image = torch.zeros(1, 3, 16, 12)
    image[..., :6], image[..., 6:] = -0.5, 0.5
    image[..., 4:12, 4:8] = 1.0  # the person
    parsing = torch.zeros(1, 10, 16, 12)
    parsing[:, Label.BACKGROUND] = 1
    parsing[:, :, 4:12, 4:8] = 0
    parsing[:, Label.UPPER, 4:12, 4:8] = 1
    filled = fill_background(image, parsing)
    outside = torch.ones(16, 12, dtype=torch.bool)
    outside[3:13, 3:9] = False  # the person with its rim
    assert_close(filled[..., outside], image[..., outside])
    behind = filled[0, 0, 4:12, 4:8]
    assert behind.max() < 0.55
    assert behind.min() > -0.55
    assert behind[:, 0].mean() < 0 < behind[:, 3].mean()


def test_a_picture_without_background_is_filled_with_zeros() -> None:
    parsing = torch.zeros(1, 10, 7, 5)
    parsing[:, Label.UPPER] = 1
    assert_close(fill_background(torch.rand(1, 3, 7, 5), parsing), torch.zeros(1, 3, 7, 5))
