"""What the field's evaluations compute, in scikit-image, scipy, Pillow and loops: nothing of it is shared with ours."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import draw, measure, morphology
from skimage.metrics import structural_similarity

from spt_dist.body import MASK_LIMBS


def old_ssim(x, y):
    """scikit-image before the correction of 2019, for one picture: scipy's Gaussian up to 4 sigma, 5 px cut off."""
    reach = float(x.max()) - float(x.min())
    c1, c2, values = (0.01 * reach) ** 2, (0.03 * reach) ** 2, []
    for channel in range(3):
        a, b = x[..., channel].astype(float), y[..., channel].astype(float)
        ma, mb, aa, bb, ab = (gaussian_filter(m, 1.5, truncate=4.0) for m in (a, b, a * a, b * b, a * b))
        top = (2 * ma * mb + c1) * (2 * (ab - ma * mb) + c2)
        bottom = (ma**2 + mb**2 + c1) * (aa - ma**2 + bb - mb**2 + c2)
        values.append((top / bottom)[5:-5, 5:-5].mean())
    return np.mean(values)


def new_ssim(x, y):
    return structural_similarity(
        y, x, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=float(x.max()) - float(x.min()),
    )  # fmt: skip


def wide_ssim(x, y):
    return structural_similarity(y / 255.0, x / 255.0, channel_axis=2, data_range=1, win_size=51)


def ours_map(x, y):
    """Mirrored margins as wide as the window leave no border rule of scikit-image's own."""
    x, y = (np.pad(each.astype(float), ((10, 10), (10, 10), (0, 0)), mode="reflect") for each in (x, y))
    full = structural_similarity(
        x, y, channel_axis=2, data_range=255.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]
    return full[10:-10, 10:-10].mean(2)


def drawn_mask(joints, size, half=4.0):
    """The field's mask as scikit-image draws it."""
    mask = np.zeros(size, bool)
    for start, end in MASK_LIMBS:
        (ax, ay, sa), (bx, by, sb) = joints[start], joints[end]
        if sa and sb and (ax, ay) != (bx, by):
            a, b = np.array([ay, ax]), np.array([by, bx])
            aside = half * np.array([a[1] - b[1], b[0] - a[0]]) / np.linalg.norm(a - b)
            mask |= measure.grid_points_in_poly(size, [a + aside, a - aside, b - aside, b + aside])
    for x, y, seen in joints:
        if seen:
            mask[draw.disk((y, x), half, shape=size)] = True
    return morphology.closing(mask, np.ones((5, 5)))


def fid(a, b):
    ca, cb = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(ca @ cb).real, 0)).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * roots


def pil_fashion(image, cut=True):
    """Pillow's bicubic with antialiasing on floats, cut down or rounded."""
    planes = [
        Image.fromarray(image[..., c].astype(np.float32), "F").resize((176, 256), Image.BICUBIC) for c in range(3)
    ]
    values = np.stack([np.array(plane) for plane in planes], -1)
    return np.clip(values if cut else np.round(values), 0, 255).astype(np.uint8)


def pil_true(image):
    return pil_fashion(image, cut=False)


def box_share(case):
    right = wanted = 0
    for image, joints in zip(*(case[i].numpy() for i in (0, 2)), strict=True):
        head = [joints[j] for j in (0, 1, 14, 15, 16, 17) if joints[j][2]]
        if len(head) < 2:
            continue
        xs, ys = [h[0] for h in head], [h[1] for h in head]
        for (x, y), (tx, ty, seen) in zip(found_in(image), joints, strict=True):
            wanted += bool(seen)
            near = abs(x - tx) < 0.5 * (max(xs) - min(xs)) and abs(y - ty) < 0.5 * (max(ys) - min(ys))
            right += bool(seen and x >= 0 and near)
    return right / wanted


def segment_share(case):
    right = wanted = 0
    for image, joints in zip(*(case[i].numpy() for i in (0, 2)), strict=True):
        head = [joints[j][:2] for j in (0, 14, 15, 16, 17) if joints[j][2]]
        if not head or not joints[1][2]:
            continue
        length = np.linalg.norm(np.mean(head, 0) - joints[1][:2])
        for (x, y), (tx, ty, seen) in zip(found_in(image), joints, strict=True):
            wanted += bool(seen)
            right += bool(seen and x >= 0 and np.hypot(x - tx, y - ty) < 0.5 * length)
    return right / wanted


def found_in(image):
    grey = (image.astype(np.float32) / np.float32(127.5) - 1).mean(2)
    for brightness in np.linspace(-0.9, 0.9, 18, dtype=np.float32):
        heat = 1 - 8 * np.abs(grey - brightness)
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        yield (x, y) if heat[y, x] >= 0.1 else (-1, -1)
