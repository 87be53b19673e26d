"""Articulated people drawn from a seed: picture, exact parsing, exact joints, and the same person in any other pose.

They stand in for photos where none can be had, and give what unpaired photos never show: the true picture of a person
in the target pose, for evaluation. `sample_person` fixes body, clothes and scene, `sample_pose` a posture and a view,
and `draw` brings the two together; the same arguments always give the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from spt_dist.body import MISSING, Joint
from spt_dist.data.importers import TWINS, annotation
from spt_dist.data.synthetic_figure import Figure
from spt_dist.data.synthetic_head import Head
from spt_dist.data.synthetic_look import Look, Scene, sample_look, sample_scene
from spt_dist.data.synthetic_paint import SUPERSAMPLING, Canvas, Piece
from spt_dist.data.synthetic_poses import sample_pose
from spt_dist.data.synthetic_skeleton import (
    Build,
    Pose,
    Skeleton,
    pose_body,
    sample_build,
    seen_head_joints,
)
from spt_dist.pictures import JPEG_QUALITY

__all__ = ["Drawing", "Person", "Pose", "draw", "draw_folder", "sample_person", "sample_pose"]

SMALLEST_SIZE = (32, 16)  # height, width in px
FRAME_SHARE = 0.95  # of the picture's height and width that a body may fill
RIM = 0.011  # of the standing height

# The pieces under which a limb's joint still counts as seen: its own, and cloth that hangs around it.
_ARM_PIECES = ({Piece.R_ARM, Piece.R_SLEEVE}, {Piece.L_ARM, Piece.L_SLEEVE})
_LEG_PIECES = (
    {Piece.R_LEG, Piece.R_SHOE, Piece.R_PANTS, Piece.SKIRT, Piece.TORSO},
    {Piece.L_LEG, Piece.L_SHOE, Piece.L_PANTS, Piece.SKIRT, Piece.TORSO},
)
HIDEABLE = {
    Joint.R_ELBOW: _ARM_PIECES[0], Joint.R_WRIST: _ARM_PIECES[0],
    Joint.L_ELBOW: _ARM_PIECES[1], Joint.L_WRIST: _ARM_PIECES[1],
    Joint.R_KNEE: _LEG_PIECES[0], Joint.R_ANKLE: _LEG_PIECES[0],
    Joint.L_KNEE: _LEG_PIECES[1], Joint.L_ANKLE: _LEG_PIECES[1],
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A body with its clothes, in the scene where all its pictures are taken."""

    build: Build
    look: Look
    scene: Scene


class Drawing(NamedTuple):
    """A picture with its truth."""

    image: np.ndarray  # uint8 [h, w, 3] RGB
    labels: np.ndarray  # uint8 [h, w], values of body.Label
    joints: np.ndarray  # float32 [18, 3]: x_px, y_px, visible; missing is (-1, -1, 0)


def sample_person(rng: np.random.Generator) -> Person:
    """Draw a person at random."""
    return Person(sample_build(rng), sample_look(rng), sample_scene(rng))


def draw(person: Person, pose: Pose, size: tuple[int, int]) -> Drawing:
    """Draw `person` in `pose` in a picture of `size` (height, width in px); deterministic.

    A standing person fills 86 to 91 % of the height; a pose that would leave the frame is drawn smaller. A joint is
    missing where the body hides it: the face's from behind, the far eye and ear from the side, elbows, wrists, knees
    and ankles behind another part. Shoulders, hips and neck are always given, as pose estimators give them.

    Raises `ValueError` for a size under 32 x 16 px.
    """
    height, width = size
    if height < SMALLEST_SIZE[0] or width < SMALLEST_SIZE[1]:
        raise ValueError(f"`size` is {size} (height, width) but people need at least {SMALLEST_SIZE} px: draw larger")
    canvas = Canvas(size, person.scene)
    skeleton = _place(person.build, pose, canvas)
    _paint_person(canvas, person, skeleton)
    image, labels = canvas.finish(RIM * skeleton.scale)
    return Drawing(image, labels, _joints(canvas, skeleton))


def _place(build: Build, pose: Pose, canvas: Canvas) -> Skeleton:
    """The posed skeleton in canvas px: at its stature if that fits, else as large as the frame allows."""
    skeleton = pose_body(build, pose)
    low, high = skeleton.bounds(build)
    frame = np.array([canvas.width, canvas.height], float)
    extent = high - low
    scale = min(build.stature * canvas.height, *(FRAME_SHARE * frame / extent))
    room = FRAME_SHARE * frame - scale * extent
    centre = frame / 2 + 0.3 * np.array(pose.shift) * np.minimum(room, 0.1 * frame)
    return skeleton.placed(scale, centre - scale * (low + high) / 2)


def _paint_person(canvas: Canvas, person: Person, skeleton: Skeleton) -> None:
    """Everything from far to near."""
    figure = Figure(canvas, person.build, person.look, skeleton)
    head = Head(canvas, person.build, person.look, skeleton)
    feet = np.concatenate([skeleton.toes, skeleton.joints[[Joint.R_ANKLE, Joint.L_ANKLE]]])[:, :2]
    floor = feet[:, 1].max() + 0.015 * skeleton.scale
    canvas.shadow(np.array([feet[:, 0].mean(), floor]), 0.15 * skeleton.scale, 0.025 * skeleton.scale)
    behind = [figure.arm_is_behind(side) for side in (0, 1)]
    for side in (0, 1):
        if behind[side]:
            figure.paint_arm(side)
    if not head.hair_is_in_front:
        head.paint_falling_hair()
    figure.paint_lower_body()
    if figure.facing < 0:
        figure.paint_neck()
    figure.paint_trunk()
    if figure.facing >= 0:
        figure.paint_neck()
    if head.hair_is_in_front:
        head.paint_falling_hair()
    head.paint()
    for side in (0, 1):
        if not behind[side]:
            figure.paint_arm(side)


def _joints(canvas: Canvas, skeleton: Skeleton) -> np.ndarray:
    """The joints [18, 3] in px of the picture, hidden ones missing."""
    places = np.clip(np.rint(skeleton.joints[:, :2]).astype(int), 0, (canvas.width - 1, canvas.height - 1))
    on_top = canvas.pieces[places[:, 1], places[:, 0]]
    hidden = {joint for joint, own in HIDEABLE.items() if on_top[joint] not in own}
    hidden |= {joint for joint, seen in seen_head_joints(skeleton).items() if not seen}
    joints = np.full((len(Joint), 3), MISSING, np.float32)
    for joint in set(Joint) - hidden:
        joints[joint, :2] = (skeleton.joints[joint, :2] + 0.5) / SUPERSAMPLING - 0.5
        joints[joint, 2] = 1
    return joints


def draw_folder(
    out: Path | str,
    people: int,
    size: tuple[int, int],
    seed: int,
    val_people: int = 0,
    test_people: int = 0,
    poses_per_test_person: int = 2,
    twins: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> None:
    """Draw a data set into the folder `out`, in the layout of a folder of photos.

    Training has one picture of each of `people` persons; validation and test have `poses_per_test_person` pictures
    of each of theirs; with `twins` a second picture of each training person makes the split `twin`. Written are
    `img/NAME.jpg`, `parsing/NAME.png`, `keypoints.csv`, a `SPLIT.txt` per split and `identities.csv` (`name,identity`:
    pictures that share an identity show one person). Each person has a random stream of their own, so that more people
    leave the others as they were. `size` is (height, width) in px. Raises `ValueError` when `out` is not empty.
    """
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"`{folder}` is not empty; name a new folder, so that nothing in it is overwritten")
    for name in ("img", "parsing"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    plan = (
        ("train", people, ("train", TWINS) if twins else ("train",)),
        ("val", val_people, ("val",) * poses_per_test_person),
        ("test", test_people, ("test",) * poses_per_test_person),
    )
    total, done = sum(count * len(views) for _, count, views in plan), 0
    keypoints, identities = ["name:keypoints_y:keypoints_x"], ["name,identity"]
    lists: dict[str, list[str]] = {split: [] for _, _, views in plan for split in views}
    for number, (group, count, views) in enumerate(plan):
        for index in range(count):
            rng = np.random.default_rng((seed, number, index))
            person, identity = sample_person(rng), f"{group}_{index:05d}"
            for view, split in enumerate(views):
                stem = f"{identity}_{view}" if view or split != "train" else identity
                drawing = draw(person, sample_pose(rng), size)
                _write(folder, stem, drawing)
                lists[split].append(f"{stem}.jpg")
                keypoints.append(annotation(f"{stem}.jpg", drawing.joints))
                identities.append(f"{stem}.jpg,{identity}")
                done += 1
                if progress is not None:
                    progress(done, total)
    for split, names in lists.items():
        _write_lines(folder / f"{split}.txt", names)
    _write_lines(folder / "keypoints.csv", keypoints)
    _write_lines(folder / "identities.csv", identities)


def _write(folder: Path, stem: str, drawing: Drawing) -> None:
    picture = cv2.cvtColor(drawing.image, cv2.COLOR_RGB2BGR)
    for path, pixels, options in (
        (folder / "img" / f"{stem}.jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]),
        (folder / "parsing" / f"{stem}.png", drawing.labels, []),
    ):
        if not cv2.imwrite(str(path), pixels, options):
            raise OSError(f"`{path}` could not be written: check the folder's permissions and free space")


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
