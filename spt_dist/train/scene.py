"""A scene: one micro-batch as the phases see it, computed on the device from bytes and joints."""

from typing import NamedTuple

from spt_dist import config
from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.schema import Batch, Pairs
from spt_dist.geometry import PartWarps, part_warps
from spt_dist.models.inputs import View, view


class Pseudo(NamedTuple):
    """The pseudo label of H_S: the map and pose of another person in the same kind of clothes."""

    view: View
    warps: PartWarps  # from the source to this pose


class Scene(NamedTuple):
    """A source, the pose that is wanted of it, and the warps there and back.

    `target` is another picture: it gives the pose, and stands among the real examples of the discriminators. Mostly it
    shows somebody else, and nothing says how the source would look there: `truth` is None. While `own_pose` it is the
    source itself, and with `data.true_targets` the same person's other picture: then it is the truth as well.
    """

    source: View
    target: View
    there: PartWarps
    back: PartWarps
    own_pose: bool
    pseudo: Pseudo | None
    truth: View | None = None


class Scenes:
    """Builds the scenes of a run one after the other, and draws nobody twice.

    The reader's targets are mostly the sources of the batch behind it, and then the same tensors: so are their views.
    """

    def __init__(self, run: config.Config) -> None:
        self._run = run
        self._last: tuple[Batch, View] | None = None

    def build(self, pairs: Pairs, pseudo_pairs: PseudoPairs | None, own_pose: bool) -> Scene:
        """See `build_scene`; the numbers are the same."""
        known = self._last[1] if self._last and self._last[0] is pairs.source else None
        scene = build_scene(pairs, self._run, pseudo_pairs, own_pose, known)
        self._last = None if own_pose else (pairs.target, scene.target)
        return scene


def build_scene(
    pairs: Pairs, run: config.Config, pseudo_pairs: PseudoPairs | None, own_pose: bool, source: View | None = None
) -> Scene:
    """Rasterise poses, cut part masks and fit part transforms for one micro-batch.

    With `data.true_targets` the pairs are two pictures of one person (`data.twins`), and the true map is the pseudo
    label. `source` is the sources' view where it is known.
    """
    sigma_px, stretch = run.data.heatmap_sigma_px, run.networks.appearance.max_stretch
    size = (pairs.source.labels.shape[1], pairs.source.labels.shape[2])
    source_batch, target_batch = pairs.source, pairs.source if own_pose else pairs.target
    if source is None:
        source = view(source_batch.images, source_batch.labels, source_batch.joints, sigma_px)
    target = source if own_pose else view(target_batch.images, target_batch.labels, target_batch.joints, sigma_px)
    there = part_warps(target.joints, source.joints, size, stretch)
    back = there if own_pose else part_warps(source.joints, target.joints, size, stretch)
    truth = target if own_pose or run.data.true_targets else None
    pseudo = Pseudo(target, there) if run.data.true_targets else None
    if pseudo_pairs is not None:
        labels, joints = pseudo_pairs.match(source_batch, target_batch.joints)
        pseudo_view = view(source_batch.images, labels, joints, sigma_px)
        pseudo = Pseudo(pseudo_view, part_warps(joints, source.joints, size, stretch))
    return Scene(source, target, there, back, own_pose, pseudo, truth)
