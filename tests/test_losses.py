import pytest
import torch
from torch.testing import assert_close

from spt_dist import losses
from spt_dist.body import STYLE_LABELS, Label


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_lsgan_is_the_squared_distance_to_the_verdict() -> None:
    scores = torch.tensor([0.0, 1.0, 3.0]).reshape(3, 1, 1, 1)
    assert losses.lsgan(scores, real=True).item() == pytest.approx((1 + 0 + 4) / 3)
    assert losses.lsgan(scores, real=False).item() == pytest.approx((0 + 1 + 9) / 3)


def test_pose_content_and_reconstruction_are_means() -> None:
    maps = random(2, 18, 4, 3)
    assert_close(losses.pose(maps + 0.5, maps), torch.tensor(0.25))
    assert_close(losses.content(maps + 2, maps), torch.tensor(4.0))
    image = random(2, 3, 4, 3)
    assert_close(losses.reconstruction(image - 0.5, image), torch.tensor(0.5))


def test_parsing_weighs_each_pixel_by_its_label() -> None:
    logits = random(2, 10, 3, 4)
    labels = torch.randint(0, 10, (2, 3, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    weights = torch.arange(10.0)
    by_hand = sum(
        -weights[labels[b, y, x].long()] * logits[b, :, y, x].log_softmax(0)[labels[b, y, x].long()]
        for b in range(2) for y in range(3) for x in range(4)
    )  # fmt: skip
    assert_close(losses.parsing(logits, labels, weights), by_hand / 24)


def test_label_weights_are_named() -> None:
    weights = losses.label_weights({"l_arm": 4.0, "background": 0.5})
    assert weights[Label.L_ARM] == 4
    assert weights[Label.BACKGROUND] == 0.5
    assert weights.sum() == 4 + 0.5 + 8
    with pytest.raises(ValueError, match=r"`label_weights` names \['arms'\]; labels are background, face"):
        losses.label_weights({"arms": 2.0})


def blocks(*columns: slice) -> torch.Tensor:
    """A label map for 6x8 features, twice their size; the first style labels cover the columns."""
    labels = torch.zeros(1, 6, 8, dtype=torch.uint8)
    for label, column in zip(STYLE_LABELS, columns, strict=False):
        labels[:, :, column] = label
    return labels.repeat_interleave(2, 1).repeat_interleave(2, 2)


def test_a_region_that_one_pose_hides_does_not_count() -> None:
    a, b, cycled = (random(1, 4, 6, 8, seed=seed) for seed in range(3))
    both = losses.semantic_style(b, a, cycled, blocks(slice(0, 4)), blocks(slice(2, 6)))
    hidden = losses.semantic_style(b, a, cycled, blocks(slice(0, 4), slice(4, 8)), blocks(slice(2, 6)))
    assert both > 0
    assert_close(hidden, both)


def test_by_area_does_not_depend_on_the_size_of_a_region() -> None:
    column = random(1, 4, 6, 1)
    a, b = column.expand(1, 4, 6, 8).contiguous(), (2 * column).expand(1, 4, 6, 8).contiguous()
    large = losses.semantic_style(b, a, a, blocks(slice(0, 8)), blocks(slice(0, 8)), by_area=True)
    small = losses.semantic_style(b, a, a, blocks(slice(0, 1)), blocks(slice(0, 3)), by_area=True)
    assert_close(small, large)
    gram = (column[0, :, :, 0] @ column[0, :, :, 0].T) / 6
    assert_close(large, 2 * (3 * gram).square().sum() / (8 * 16))


def test_by_area_is_guarded_where_there_is_no_region() -> None:
    features = random(1, 4, 6, 8).requires_grad_()
    loss = losses.semantic_style(features, features, features, blocks(), blocks(), by_area=True)
    loss.backward()
    assert loss == 0
    assert features.grad is not None
    assert features.grad.abs().max() == 0


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, 10).permute(0, 3, 1, 2).float()


def test_region_colour_is_the_l1_of_the_mean_colours_that_both_show() -> None:
    labels = torch.tensor([[[0, 3, 3, 4]]])
    other = torch.tensor([[[3, 3, 0, 5]]])
    image, reference = torch.zeros(1, 3, 1, 4), torch.zeros(1, 3, 1, 4)
    image[0, :, 0, 1:3] = torch.tensor([[0.2, 0.4], [0.0, 0.0], [-1.0, 1.0]])
    reference[0, :, 0, :2] = torch.tensor([[0.0, 0.0], [0.5, 0.7], [0.0, 0.0]])
    image[..., 3], image[..., 0] = 9.0, 9.0  # pants and background: not in both, not foreground
    loss = losses.region_colour(image, one_hot(labels), reference, one_hot(other))
    assert loss.item() == pytest.approx((0.3 + 0.6 + 0.0) / 3)


def test_region_colour_moves_the_image_and_not_the_parsing() -> None:
    image, soft = random(2, 3, 4, 5).requires_grad_(), random(2, 10, 4, 5).softmax(1).requires_grad_()
    losses.region_colour(image, soft, random(2, 3, 4, 5, seed=1), soft).backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0
    assert soft.grad is None


def test_region_colour_of_nobody_is_zero() -> None:
    nobody = one_hot(torch.zeros(1, 2, 2, dtype=torch.long))
    assert losses.region_colour(torch.ones(1, 3, 2, 2), nobody, torch.zeros(1, 3, 2, 2), nobody) == 0


def test_every_term_is_the_mean_over_shares_of_the_batch() -> None:
    features, maps = random(4, 4, 3, 4), random(4, 10, 6, 8).argmax(1).to(torch.uint8)
    image, reference, soft = random(4, 3, 6, 8), random(4, 3, 6, 8, seed=1), random(4, 10, 6, 8).softmax(1)
    labels, weights = soft.argmax(1).to(torch.uint8), torch.arange(10.0)
    terms = [
        lambda s: losses.semantic_style(features[s], features[s] + 1, features[s] * 2, maps[s], maps[s], by_area=True),
        lambda s: losses.region_colour(image[s], soft[s], reference[s], soft[s]),
        lambda s: losses.parsing(soft[s], labels[s], weights),
        lambda s: losses.lsgan(image[s, :1], real=True),
    ]
    for term in terms:
        assert_close((term(slice(0, 2)) + term(slice(2, 4))) / 2, term(slice(0, 4)))


def style_by_hand(fake_b, real_a, fake_a, masks_a, masks_b, by_area):
    """The style loss with explicit loops over samples and regions."""
    total, count = 0.0, 0
    for b in range(len(fake_b)):
        for r in range(masks_a.shape[1]):
            grams = {}
            for name, features, masks in (("b", fake_b, masks_b), ("a", real_a, masks_a), ("back", fake_a, masks_a)):
                inside = (features[b] * masks[b, r]).flatten(1)
                area = masks[b, r].square().sum().clamp(min=1) if by_area else masks[b, r].numel()
                grams[name] = inside @ inside.T / area
            seen = masks_a[b, r].max() * masks_b[b, r].max()
            total += ((grams["b"] - grams["a"]) * seen).square().sum()
            total += ((grams["back"] - grams["b"]) * seen).square().sum()
            count += grams["a"].numel()
    return total / count


@pytest.mark.parametrize("by_area", [False, True])
def test_the_styles_of_the_ablation_are_those_of_their_regions(by_area) -> None:
    features = [random(2, 5, 6, 4, seed=seed) for seed in range(3)]
    labels_a, labels_b = (
        torch.randint(0, 10, (2, 12, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 4)
    )

    def person(labels):
        return torch.nn.functional.avg_pool2d((labels > 0).float()[:, None], 2)

    masked = losses.masked_style(*features, labels_a, labels_b, by_area)
    assert_close(masked, style_by_hand(*features, person(labels_a), person(labels_b), by_area))
    whole = torch.ones(2, 1, 6, 4)
    assert_close(
        losses.global_style(*features, labels_a, labels_b, by_area), style_by_hand(*features, whole, whole, by_area)
    )


@pytest.mark.parametrize("by_area", [False, True])
def test_patch_style_compares_squares_round_the_joints_that_both_show(by_area) -> None:
    features = [
        random(1, 3, 16, 8, seed=seed) for seed in range(3)
    ]  # of a picture of 32x16 px: squares of 2 px each way
    joints_a, joints_b = torch.zeros(1, 18, 3), torch.zeros(1, 18, 3)
    joints_a[0, 0], joints_b[0, 0] = torch.tensor([5.0, 9.0, 1]), torch.tensor([10.0, 20.0, 1])
    joints_a[0, 1] = torch.tensor([8.0, 8.0, 1])  # hidden in B: does not count
    masks_a, masks_b = torch.zeros(1, 18, 16, 8), torch.zeros(1, 18, 16, 8)
    masks_a[0, 0, 4:6, 2:4] = 1  # centres 7..11 px down: 8.5, 10.5; 3..7 px across: 4.5, 6.5
    masks_b[0, 0, 9:11, 4:6] = 1
    masks_a[0, 1, 3:5, 3:5] = 1
    by_hand = style_by_hand(*features, masks_a, masks_b, by_area)
    assert by_hand > 0
    assert_close(losses.patch_style(*features, joints_a, joints_b, by_area), by_hand)
