"""The door into `semantic_style_loss`: three Gram matrices, compared in one op."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spt_kernels.semantic_gram.op import check_labels, form, gram_backward, precision


def semantic_style_loss(
    fake_b: Float[Tensor, "b c h w"],
    real_a: Float[Tensor, "b c h w"],
    fake_a: Float[Tensor, "b c h w"],
    labels_a: UInt8[Tensor, "b H W"],
    labels_b: UInt8[Tensor, "b H W"],
    regions: Sequence[int],
    by_area: bool = False,
) -> Float[Tensor, ""]:
    """Semantic-aware style loss (SPT, section 3.3): Gram matrices in each region, B^ against A and B^ against A^.

    `mean((v G(B^) - v G(A))^2) + mean((v G(A^) - v G(B^))^2)` over [b r c c], where `G` is `semantic_gram` and the
    visibility `v` [b r] is the product of the region's largest mask values in A and in B. Gradients: of the features
    that need one.

    Args:
        fake_b: features of the generated B^.
        real_a: features of the source A.
        fake_a: features of the cycle's A^.
        labels_a: the label map of A and A^ at image size, 1, 2 or 4 times the features'.
        labels_b: the label map of B^.
        regions: the label of each of the `r` regions.
        by_area: divide a Gram matrix by its region's area (the sum of the squared mask, at least 1) in place of h w.

    Returns:
        float32, or float64 when the features are float64.

    Raises:
        ValueError: features differ in shape or type, a label map does not fit them, or a region is no label.
    """
    for name, features in (("real_a", real_a), ("fake_a", fake_a)):
        if features.shape != fake_b.shape or features.dtype != fake_b.dtype:
            raise ValueError(
                f"`{name}` is {tuple(features.shape)} {features.dtype} but `fake_b` is {tuple(fake_b.shape)} "
                f"{fake_b.dtype}; take all three from the same layer"
            )
    check_labels("labels_a", labels_a, "fake_a", fake_a, regions)
    check_labels("labels_b", labels_b, "fake_b", fake_b, regions)
    labels_a, labels_b = labels_a.contiguous(), labels_b.contiguous()
    return _style(fake_b, real_a, fake_a, labels_a, labels_b, list(regions), by_area)[0]


@torch.library.custom_op("spt_kernels::semantic_style_loss", mutates_args=())
def _style(
    fake_b: Tensor,
    real_a: Tensor,
    fake_a: Tensor,
    labels_a: Tensor,
    labels_b: Tensor,
    regions: Sequence[int],
    by_area: bool,
) -> tuple[Tensor, Tensor]:
    """The loss, and the pulls [3 b r c c]: `D + D^T`, where `D` is the loss's gradient by each Gram matrix."""
    b, c, h, w = fake_b.shape
    grams = fake_b.new_empty(3, b, len(regions), c, c, dtype=precision(fake_b))
    spelling = form(fake_b)
    found_a, found_b = (spelling.find(labels, regions, (h, w)) for labels in (labels_a, labels_b))
    spelling.forward(fake_b, labels_b, regions, found_b, grams[0])
    spelling.forward(real_a, labels_a, regions, found_a, grams[1])
    spelling.forward(fake_a, labels_a, regions, found_a, grams[2])
    return spelling.compare(grams, found_a, found_b, h * w, by_area), grams


@_style.register_fake
def _(
    fake_b: Tensor,
    real_a: Tensor,
    fake_a: Tensor,
    labels_a: Tensor,
    labels_b: Tensor,
    regions: Sequence[int],
    by_area: bool,
) -> tuple[Tensor, Tensor]:
    b, c = fake_b.shape[:2]
    pulls = fake_b.new_empty(3, b, len(regions), c, c, dtype=precision(fake_b))
    return pulls.new_empty(()), pulls


def _setup(ctx, inputs, output) -> None:
    *tensors, ctx.regions, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, output[1])


def _backward(ctx, grad, _pulls):
    fake_b, real_a, fake_a, labels_a, labels_b, pulls = ctx.saved_tensors
    of_features = tuple(
        gram_backward(pull * grad, features, labels, ctx.regions) if needed else None
        for features, labels, pull, needed in zip(
            (fake_b, real_a, fake_a), (labels_b, labels_a, labels_a), pulls, ctx.needs_input_grad[:3], strict=True
        )
    )
    return *of_features, None, None, None, None


_style.register_autograd(_backward, setup_context=_setup)
