"""The published way of preparing a sample: what `spt bench data` compares ours with.

Spelled from the description of the published loader, not slowed down: one pair at a time, on a processor, everything
that the networks will read, as float tensors. Both photos are decoded by Pillow and halved by it; both label maps
become a channel per label; both poses become 18 Gaussians over the whole picture in NumPy, at both sizes, and ten
pictures of parts by scikit-image's polygons; ten maps there and ten back are fitted one by one. torch's DataLoader
joins pairs to batches in processes of its own.

What the published code does beside that and training does not need (masks of whole poses, which belong to evaluation)
is left out: the comparison is the harder for it.
"""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from spt_kernels.bench import published
from torch import Tensor
from torch.utils.data import Dataset

from spt_dist.body import FOREGROUND_LABELS, HEAD_JOINTS, TORSO_JOINTS, WARP_PARTS, WarpPart
from spt_dist.geometry import HEAD_RADIUS, LIMB_RADIUS, LIMB_START, NO_PART_PX, SHOULDERS, SIDES

PUBLISHED_BYTES = 25.2e6  # of a sample, as measured on the published loader
PUBLISHED_S = 0.096  # the same, on two cores of another machine


class Photo(NamedTuple):
    """Files of one person, and the joints that were read at the start: [18, 3] (x_px, y_px, visible)."""

    image: Path
    labels: Path
    joints: np.ndarray


class PublishedPairs(Dataset):
    """Photos in pairs: item i is the i-th photo in the pose of the next one."""

    def __init__(self, photos: Sequence[Photo], sigma_px: float) -> None:
        self.photos, self.sigma_px = photos, sigma_px

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Everything of a pair, by name: float32 but for the label maps."""
        source, target = self.photos[index], self.photos[(index + 1) % len(self.photos)]
        found: dict[str, Tensor] = {}
        for role, photo in (("source", source), ("target", target)):
            found |= {f"{role}_{name}": tensor for name, tensor in prepare(photo, self.sigma_px).items()}
        for way, to, start in (("there", target, source), ("back", source, target)):
            found[f"transforms_{way}"] = torch.from_numpy(transforms(to.joints, start.joints).astype(np.float32))
        return found


def prepare(photo: Photo, sigma_px: float) -> dict[str, Tensor]:
    """One person at the full size and at half of it, and the pictures of the parts."""
    picture, labels = Image.open(photo.image).convert("RGB"), np.asarray(Image.open(photo.labels))
    height, width = labels.shape
    half = (height // 2, width // 2)
    found = {
        "image": _scaled(picture),
        "half_image": _scaled(picture.resize(half[::-1], Image.Resampling.BICUBIC)),
        "parsing": one_hot(labels),
        "half_parsing": one_hot(labels[: 2 * half[0] : 2, : 2 * half[1] : 2]),
        "labels": torch.from_numpy(labels.copy()),
        "masks": masks(photo.joints, labels.shape),
    }
    joints = torch.from_numpy(photo.joints)[None]
    for name, size, scale in (("heatmaps", labels.shape, 1.0), ("half_heatmaps", half, 0.5)):
        found[name] = published.pose_heatmaps(joints[..., :2] * scale, joints[..., 2] > 0, size, sigma_px)[0]
    return found


def _scaled(picture: Image.Image) -> Tensor:
    """[3 h w] in [-1, 1]."""
    return torch.from_numpy(np.asarray(picture, np.float32).transpose(2, 0, 1) / 127.5 - 1)


def one_hot(labels: np.ndarray) -> Tensor:
    """[9 h w]: a channel per label but the background."""
    return torch.from_numpy(np.stack([labels == label for label in FOREGROUND_LABELS]).astype(np.float32))


def masks(joints: np.ndarray, size: tuple[int, ...]) -> Tensor:
    """Where each part lies, float32 [10 h w].

    Raises:
        ImportError: scikit-image, which the published code calls, is missing.
    """
    places, seen = joints[:, :2].astype(np.float64), joints[:, 2] > 0
    torso_px, corners = _torso_px(places, seen), np.full((len(WARP_PARTS), 4, 2), np.nan)
    for index, part in enumerate(WARP_PARTS):
        if part.upper is not None and part.lower is not None and seen[part.upper] and seen[part.lower]:
            corners[index] = _limb(places, part, torso_px, part.mask_extension)
    found = published.part_masks(torch.from_numpy(corners)[None], (size[0], size[1]))[0].float()
    found[0] = 1.0  # the body
    if (head := [joint for joint in HEAD_JOINTS if seen[joint]]) and (radius := int(HEAD_RADIUS * torso_px)):
        x, y = (int(number) for number in places[head].mean(0))
        found[1, max(0, y - radius) : max(0, y + radius), max(0, x - radius) : max(0, x + radius)] = 1.0
    return found


def transforms(target_joints: np.ndarray, source_joints: np.ndarray) -> np.ndarray:
    """The first eight numbers of each part's 3x3 map from target (x, y) to source (x, y): [10 8]."""
    (to, to_seen), (start, start_seen) = (
        (j[:, :2].astype(np.float64), j[:, 2] > 0) for j in (target_joints, source_joints)
    )
    to_px, start_px, both = _torso_px(to, to_seen), _torso_px(start, start_seen), to_seen & start_seen
    torso = [joint for joint in TORSO_JOINTS if both[joint]]
    head = [joint for joint in (*HEAD_JOINTS, *SHOULDERS) if both[joint]] if any(both[list(HEAD_JOINTS)]) else []
    body = fit(to[torso], start[torso])
    found = [np.eye(2, 3) if body is None else body, fit(to[head], start[head])]
    by_name = {part.name: part for part in WARP_PARTS}
    for part in WARP_PARTS[2:]:
        given = next((each for each in (part, by_name[part.mirror]) if _shown(each, start_seen)), None)
        if given is None or not _shown(part, to_seen):
            found.append(None)
            continue
        corners = _limb(to, part, to_px, part.fit_extension), _limb(start, given, start_px, given.fit_extension)
        found.append(fit(*corners))
    away = np.eye(2, 3) + np.array([[0, 0, NO_PART_PX]] * 2)
    affine = np.stack([away if each is None else each for each in found]).reshape(-1, 6)
    return np.concatenate([affine, np.zeros((len(affine), 2))], axis=1)


def fit(target: np.ndarray, source: np.ndarray) -> np.ndarray | None:
    """The affine map [2 3] by homogeneous least squares, or None where the points do not decide it."""
    if len(target) < 3:
        return None
    (to, to_centre, to_scale), (start, centre, scale) = _framed(target), _framed(source)
    rows = np.zeros((2, len(target), 7))
    for axis in range(2):
        rows[axis, :, 3 * axis : 3 * axis + 2], rows[axis, :, 3 * axis + 2] = to, 1
        rows[axis, :, 6] = -start[:, axis]
    _, singular, right = np.linalg.svd(rows.reshape(-1, 7))
    vector = right[-1]
    if abs(vector[6]) < 1e-8 or singular[5] <= 1e-8 * singular[0]:
        return None
    normal = (vector[:6] / vector[6]).reshape(2, 3)
    linear = normal[:, :2] * to_scale / scale
    return np.column_stack([linear, centre + normal[:, 2] / scale - linear @ to_centre])


def _framed(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Points round their centre, at a root mean square distance of sqrt(2), with that centre and scale."""
    centre = points.mean(0)
    scale = sqrt(2 / max(((points - centre) ** 2).sum(1).mean(), 1e-30))
    return (points - centre) * scale, centre, scale


def _torso_px(places: np.ndarray, seen: np.ndarray) -> float:
    """Root mean square over the complete sides; else half the longer side of the box round what is seen."""
    sides = [((places[hip] - places[shoulder]) ** 2).sum() for hip, shoulder in SIDES if seen[hip] and seen[shoulder]]
    if sides:
        return sqrt(sum(sides) / len(sides))
    return float(np.ptp(places[seen], axis=0).max() / 2) if seen.any() else 0.0


def _shown(part: WarpPart, seen: np.ndarray) -> bool:
    return bool(seen[part.upper] and seen[part.lower])


def _limb(places: np.ndarray, part: WarpPart, torso_px: float, extension: float) -> np.ndarray:
    """Corners [4 2] of a limb's quadrilateral."""
    upper, lower = places[part.upper], places[part.lower]
    start = upper + LIMB_START * (upper - lower)
    end = lower + extension * (lower - start)
    along = start - end
    length = sqrt((along**2).sum())
    half = LIMB_RADIUS * torso_px / length * np.array([-along[1], along[0]]) if length else np.ones(2)
    return np.stack([start + half, start - half, end - half, end + half])
