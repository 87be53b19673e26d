"""The fits without a singular value decomposition equal those with one."""

import pytest
import torch

from spt_dist.affine import bound_stretch, bound_stretch_directly, fit_affine, fit_affine_directly


def points(seed: int, n: int = 200, m: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Targets, sources a noisy affine map away, and which of them are used: at least three, most of the time."""
    generator = torch.Generator().manual_seed(seed)
    target = 256 * torch.rand(n, m, 2, generator=generator, dtype=torch.float64)
    linear = torch.randn(n, 2, 2, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, m, 2, generator=generator, dtype=torch.float64)
    scale = torch.logspace(-6, 1.5, n, dtype=torch.float64)[:, None, None]
    return target, target @ linear + 30 + scale * noise, torch.rand(n, m, generator=generator) < 0.7


def test_a_fit_equals_that_by_singular_values():
    target, source, used = points(0)
    (expected, there), (found, exists) = fit_affine(target, source, used), fit_affine_directly(target, source, used)
    assert there.sum() > 150
    assert torch.equal(there, exists)
    size = expected[there].abs().amax(dim=(1, 2), keepdim=True)
    assert ((expected - found)[there].abs() / size).max() < 1e-7


def test_an_exact_fit_is_exact():
    target, _, used = points(1)
    used[:, :4] = True
    source = target.roll(1, dims=2) * 1.7 + 3
    found, exists = fit_affine_directly(target, source, used)
    assert exists.all()
    expected = torch.tensor([[0, 1.7, 3], [1.7, 0, 3]], dtype=torch.float64)
    torch.testing.assert_close(found, expected.expand_as(found), atol=1e-9, rtol=0)


@pytest.mark.parametrize("case", ["two points", "one place", "on a line", "none"])
def test_what_cannot_be_fitted_does_not_exist(case):
    target, source, used = points(2)
    if case == "one place":
        target = target[:, :1].expand_as(target)
    elif case == "on a line":
        target = target[..., :1].expand_as(target).contiguous()
    else:
        used[:] = False
        used[:, : 2 if case == "two points" else 0] = True
    found, exists = fit_affine_directly(target, source, used)
    assert not exists.any()
    assert found.isfinite().all()
    assert not fit_affine(target, source, used)[1].any()


def test_bounded_maps_equal_those_by_singular_values():
    generator = torch.Generator().manual_seed(0)
    affine = torch.randn(500, 2, 3, generator=generator, dtype=torch.float64)
    affine[0, :, :2] = torch.eye(2)
    affine[1, :, :2] = torch.tensor([[0.0, 3.0], [3.0, 0.0]])
    affine[2, :, :2] *= 100
    centre = 64 * torch.rand(500, 2, generator=generator, dtype=torch.float64)
    expected, found = (bound(affine, centre, 1.5) for bound in (bound_stretch, bound_stretch_directly))
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
