"""The protocols: each lineage's metrics, word by word, and ours.

What is said of a lineage was read in its published evaluation code, which nothing here is copied from; `doubt` says
what could not be confirmed. `clean` is what we recommend, with the reason in each definition.
"""

from collections.abc import Mapping

from spt_dist.protocols.builders import fid_by, is_by, lpips_by, mask_ssim, pckh_by, plain_ssim, ssim_by
from spt_dist.protocols.definition import Definition, Protocol
from spt_dist.protocols.joints import near_by_box, near_by_segment
from spt_dist.protocols.pixels import AT_FASHION_SIZE, FLAT_51, GAUSSIAN_11, GAUSSIAN_13, WIDENED_FRAMES
from spt_dist.scripted import INCEPTION, LPIPS, POSE, TORCHVISION

HIGHER, LOWER = "higher", "lower"
SSIM, MASK_SSIM, IS, MASK_IS = "SSIM", "mask-SSIM", "IS", "mask-IS"
SSIM_256, FID, LPIPS_NAME, MASK_LPIPS, PCKH = "SSIM 256", "FID", "LPIPS", "mask-LPIPS", "PCKh"
WHOLE = 64  # pictures: the batches of one lineage, whose last incomplete one is left out

GAUSSIAN = (
    "RGB uint8 taken as 0..255, channel by channel; Gaussian window sigma 1.5, {taps}, population covariance; "
    "range: the generated picture's own max - min; 5 px at each border do not count"
)
ON_UINT8 = GAUSSIAN.format(taps="13 taps (scikit-image until 2019)")
ON_FLOATS = GAUSSIAN.format(taps="11 taps (scikit-image since 2019)")
WIDE = (
    "RGB on [0, 1], range 1, channel by channel; flat window of 51 px, sample covariance; 25 px at each border do not "
    "count"
)
WIDENED = "DeepFashion's 256x176 widened to 256x256 by 40 px of white at either side, other sizes as they are; "
RESIZED = "pictures at 256x176 (bicubic, antialiased; of 256 levels, drawn ones cut down to them, true ones rounded); "
MASK = (
    "pictures black outside the pose mask of the target's joints (23 limbs 4 px to either side, discs of radius 4 px, "
    "closed by 5x5); "
)
TEN = (
    "Inception of 2015 (TensorFlow graph inception-2015-12-05), 1,008 logits without bias; RGB 0..255, resized by the "
    "network; exp of the mean KL divergence, mean over 10 splits in the pictures' order"
)
AGAINST_TRAINING = (
    "pooled 2,048 features of torchvision's Inception-v3; [0, 1], bilinear to 299x299 without antialiasing, "
    "normalised as if it were standardised; against the training pictures, covariances by n - 1"
)
ALEX = "LPIPS 0.1, AlexNet with its linear layers, RGB in [-1, 1]"
FULL_BATCHES = f"; the last batch of fewer than {WHOLE} pictures is left out"
BOX = (
    "joints whose distance is under half the width in x and half the height in y of the target's box round nose, "
    "neck, eyes and ears, over all joints that the target shows; one that is not found (peak under 0.1) is wrong; "
    "people with fewer than two of the box's joints are left out"
)

DEFGAN_METRICS = (
    Definition(SSIM, ON_UINT8, HIGHER, ssim_by(GAUSSIAN_13)),
    Definition(MASK_SSIM, MASK + ON_UINT8, HIGHER, ssim_by(GAUSSIAN_13, inside=True)),
    Definition(IS, TEN, HIGHER, is_by(10), INCEPTION, by_pair=False),
    Definition(MASK_IS, MASK + TEN, HIGHER, is_by(10, inside=True), INCEPTION, by_pair=False),
)

_ALL = (
    Protocol(
        "spt",
        "SPT, Song et al. 2019",
        "the paper names the metrics (DeepFashion: IS, SSIM; Market-1501: also mask-IS, mask-SSIM), no code was "
        "released",
        "all particulars are assumed to be Def-GAN's; the "
        "splits of IS and the framing of DeepFashion are from recollection, unconfirmed",
        DEFGAN_METRICS,
    ),
    Protocol(
        "defgan",
        "Def-GAN, Siarohin et al. 2018",
        "published test script and pinned scikit-image 0.13.1 (repository AliaksandrSiarohin/pose-gan)",
        "the module that computes IS is not part of that repository: taken to be the one that PATN took over; DS, a "
        "detector's score, needs SSD 300 and is not offered",
        DEFGAN_METRICS,
    ),
    Protocol(
        "patn",
        "PATN / Pose-Transfer, Zhu et al. 2019",
        "published tools for metrics, IS and PCKh, pinned scikit-image 0.14.2 (repository tengteng95/Pose-Transfer)",
        "PCKh's detector there is OpenPose; here it is the one that you name. DS needs SSD 300 and is not offered",
        (
            Definition(SSIM, WIDENED + ON_UINT8, HIGHER, ssim_by(GAUSSIAN_13, WIDENED_FRAMES)),
            Definition(MASK_SSIM, MASK + ON_UINT8, HIGHER, ssim_by(GAUSSIAN_13, inside=True)),
            Definition(IS, WIDENED + TEN, HIGHER, is_by(10, WIDENED_FRAMES), INCEPTION, by_pair=False),
            Definition(MASK_IS, MASK + TEN, HIGHER, is_by(10, inside=True), INCEPTION, by_pair=False),
            Definition(PCKH, BOX, HIGHER, pckh_by(near_by_box), POSE, by_pair=False),
        ),
    ),
    Protocol(
        "gfla",
        "GFLA, Ren et al. 2020",
        "published metrics script (repository RenYurui/Global-Flow-Local-Attention); SSIM is printed by it, not in "
        "the paper",
        "its Inception module could not be read: weights and normalisation are those of a follower's copy; "
        "scikit-image is not pinned (11 taps assumed); how its 256x256 JPEGs of the training pictures were resized "
        "moves FID by up to 0.7 (issue 70)",
        (
            Definition(SSIM, WIDE, HIGHER, ssim_by(FLAT_51)),
            Definition(SSIM_256, ON_FLOATS, HIGHER, ssim_by(GAUSSIAN_11)),
            Definition(
                FID,
                AGAINST_TRAINING + FULL_BATCHES,
                LOWER,
                fid_by(TORCHVISION, whole=WHOLE),
                TORCHVISION,
                by_pair=False,
            ),
            Definition(LPIPS_NAME, ALEX + FULL_BATCHES, LOWER, lpips_by(whole=WHOLE), LPIPS),
            Definition(
                MASK_LPIPS,
                f"{ALEX}, times the pose mask of the target's joints (4 px, as mask-SSIM's), grey "
                f"outside{FULL_BATCHES}",
                LOWER,
                lpips_by(inside=True, whole=WHOLE),
                LPIPS,
            ),
        ),
    ),
    Protocol(
        "cfld",
        "CFLD, Lu et al. 2024",
        "published metrics and test scripts, pinned scikit-image 0.20.0 and lpips 0.1.4 (repository YanzuoLu/CFLD)",
        "there 256x176 comes straight from the large photos; here from pictures of the run's size",
        (
            Definition(SSIM, RESIZED + WIDE, HIGHER, ssim_by(FLAT_51, AT_FASHION_SIZE)),
            Definition(SSIM_256, RESIZED + ON_FLOATS, HIGHER, ssim_by(GAUSSIAN_11, AT_FASHION_SIZE)),
            Definition(
                FID, RESIZED + AGAINST_TRAINING, LOWER, fid_by(TORCHVISION, AT_FASHION_SIZE), TORCHVISION, by_pair=False
            ),
            Definition(LPIPS_NAME, RESIZED + ALEX, LOWER, lpips_by(AT_FASHION_SIZE), LPIPS),
        ),
    ),
    Protocol(
        "clean",
        "our recommendation",
        "this package",
        "",
        (
            Definition(
                SSIM,
                "RGB 0..255, Gaussian window sigma 1.5, 11 px, mirrored borders, all pixels count; range 255 for every "
                "picture, so that a dull picture is not judged by a scale of its own",
                HIGHER,
                plain_ssim,
            ),
            Definition(
                "SSIM in the mask",
                "the map of that SSIM, its mean over the pose mask of the target's joints (half-width 4 px, below 128 "
                "px h / 32): what lies outside is not there, instead of black that agrees",
                HIGHER,
                mask_ssim,
            ),
            Definition(
                FID,
                "pooled features of the Inception of 2015, by which FID is defined; RGB 0..255 resized by the network; "
                "against the training pictures, covariances by n - 1; the real test pictures' own value beside it, "
                "which is what the number of pictures alone costs",
                LOWER,
                fid_by(INCEPTION),
                INCEPTION,
                by_pair=False,
            ),
            Definition(
                IS,
                "logits of the Inception of 2015 without bias, one split, since ten of a few pictures each lower it; "
                "only beside the real pictures' own value, which generated ones can exceed",
                HIGHER,
                is_by(1),
                INCEPTION,
                by_pair=False,
            ),
            Definition(LPIPS_NAME, ALEX + ", pictures as they are", LOWER, lpips_by(), LPIPS),
            Definition(
                PCKH,
                "joints nearer than half the way from the target's neck to the middle of its nose, eyes and ears, "
                "over all joints that the target shows, the same in every direction: seen from the side a box round "
                "the head has no width; one that is not found (peak under 0.1) is wrong",
                HIGHER,
                pckh_by(near_by_segment),
                POSE,
                by_pair=False,
            ),
        ),
    ),
)
PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
