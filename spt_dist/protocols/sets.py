"""Scores of whole sets of pictures: FID and IS, from features and logits.

Both are functions of a set, so that a resample must be computed anew. For FID the costly part is turned once: with the
reference's covariance C and its root R, tr((A C)^1/2) is the sum of the singular values of the centred features times
R, over (n - 1)^1/2, whatever rows the resample takes.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from spt_dist.protocols.definition import Statistic, UndefinedError
from spt_dist.types import ImageBytes

Features = Float[Tensor, "n d"]
Reference = Float[Tensor, "m d"]

# torchvision's own change of scale, from channels standardised by ImageNet's mean and deviation to [-1, 1].
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INCEPTION_PX = 299


def frechet(features: Features, reference: Reference, against: str, origin: str) -> Statistic:
    """FID: the Frechet distance between Gaussians fitted to features of pictures and of a reference, double precision.

    Covariances divide by n - 1. Resamples are of the pictures; the reference stays.

    Raises:
        UndefinedError: one of the two sets has fewer than two pictures.
    """
    if min(len(features), len(reference)) < 2:
        raise UndefinedError(f"{len(features)} pictures and {len(reference)} of reference have no covariance")
    features, reference = features.double(), reference.double()
    mean, covariance = reference.mean(0), reference.T.cov().reshape(reference.shape[1], -1)
    values, vectors = torch.linalg.eigh(covariance)
    turned = features @ (vectors * values.clamp(min=0).sqrt())
    if turned.shape[1] > len(turned):  # no more directions than pictures: the singular values do not change
        left, scale, _ = torch.linalg.svd(turned, full_matrices=False)
        turned = left * scale
    spread = covariance.trace()

    def distance(chosen: Tensor) -> float:
        own, freedom = features[chosen], len(chosen) - 1
        centred = turned[chosen] - turned[chosen].mean(0)
        root = torch.linalg.svdvals(centred).sum() / freedom**0.5
        own_spread = (own - own.mean(0)).square().sum() / freedom
        return ((own.mean(0) - mean).square().sum() + own_spread + spread - 2 * root).item()

    return Statistic(len(features), distance, against, origin, repeats_matter=True)


def inception_score(logits: Features, splits: int, origin: str) -> Statistic:
    """IS: exp of the mean KL divergence of a picture's labels from those of its split, the mean over splits.

    Raises:
        UndefinedError: there are fewer pictures than splits.
    """
    if len(logits) < splits:
        raise UndefinedError(f"{len(logits)} pictures cannot be split into {splits} parts")
    logs = logits.double().log_softmax(1)

    def score(chosen: Tensor) -> float:
        drawn, n = logs[chosen], len(chosen)
        parts = [drawn[part * n // splits : (part + 1) * n // splits] for part in range(splits)]
        return torch.stack([_divergence(part).exp() for part in parts]).mean().item()

    return Statistic(len(logits), score, "-", origin, repeats_matter=True)


def for_torchvision(images: ImageBytes) -> Float[Tensor, "b 3 299 299"]:
    """Pictures as two lineages give them to torchvision's Inception.

    They take [0, 1] for standardised channels, which it is not: the network sees dim pictures, about -0.1 to 0.4.
    """
    pixels = images.permute(0, 3, 1, 2).float() / 255
    resized = interpolate(pixels, (INCEPTION_PX, INCEPTION_PX), mode="bilinear", align_corners=False)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return resized * (deviation / 0.5) + (mean - 0.5) / 0.5


def _divergence(logs: Features) -> Tensor:
    mean = logs.logsumexp(0) - torch.tensor(float(len(logs)), dtype=logs.dtype).log()
    return (logs.exp() * (logs - mean)).sum(1).mean()
