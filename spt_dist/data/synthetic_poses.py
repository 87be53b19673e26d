"""Poses drawn at random: standing, walking, arms raised, hands on hips, hands in front, seen from every side."""

from collections.abc import Callable

import numpy as np

from spt_dist.data.synthetic_skeleton import Limb, Pose

Pair = tuple[Limb, Limb]
Bounds = tuple[float | int, float | int]

# Middle and half width of the yaw angle in degrees, and how often it is drawn.
VIEWS = ((0, 25, 0.46), (45, 20, 0.12), (-45, 20, 0.12), (90, 18, 0.07), (-90, 18, 0.07), (180, 35, 0.16))


def _draw(rng: np.random.Generator, *degrees: Bounds) -> Limb:
    """A limb with each of its four angles uniform between two bounds in degrees."""
    return Limb(*(float(np.radians(rng.uniform(*bounds))) for bounds in degrees))


def _hanging_arm(rng: np.random.Generator) -> Limb:
    return _draw(rng, (6, 20), (-8, 8), (-6, 14), (0, 25))


def _standing_leg(rng: np.random.Generator) -> Limb:
    return _draw(rng, (1, 7), (-2, 3), (0, 5), (-6, -1))


def _standing(rng: np.random.Generator) -> tuple[Pair, Pair]:
    relaxed = _draw(rng, (4, 16), (5, 18), (2, 10), (-15, -5))
    legs = [_standing_leg(rng), relaxed if rng.random() < 0.4 else _standing_leg(rng)]
    rng.shuffle(legs)
    return (_hanging_arm(rng), _hanging_arm(rng)), (legs[0], legs[1])


def _walking(rng: np.random.Generator) -> tuple[Pair, Pair]:
    side = 1 if rng.random() < 0.5 else -1
    stride = rng.uniform(14, 30)
    arms, legs = [], []
    for sign in (side, -side):
        swing = -sign * stride * rng.uniform(0.6, 1.0)
        bend = rng.uniform(12, 35)
        arms.append(_draw(rng, (5, 12), (swing, swing), (0, 8), (swing + bend, swing + bend)))
        knee = rng.uniform(2, 10) if sign > 0 else rng.uniform(12, 35)
        step = sign * stride
        legs.append(_draw(rng, (1, 4), (step, step), (0, 3), (step - knee, step - knee)))
    return (arms[0], arms[1]), (legs[0], legs[1])


def _raised(rng: np.random.Generator) -> tuple[Pair, Pair]:
    lift = rng.uniform(85, 140)
    high = (
        _draw(rng, (lift, lift), (-10, 20), (165, 215), (0, 20)),  # forearm up, or bent over the head
        _draw(rng, (28, 42), (-5, 10), (30, 48), (0, 20)),  # spread low
    )
    first = high[0] if rng.random() < 0.75 else high[1]
    second = first if rng.random() < 0.5 else _hanging_arm(rng)
    arms = [first, second]
    rng.shuffle(arms)
    return (arms[0], arms[1]), _standing(rng)[1]


def _hands_on_hips(rng: np.random.Generator) -> tuple[Pair, Pair]:
    on_hip = _draw(rng, (40, 52), (-18, 0), (-56, -44), (8, 25))
    arms = [on_hip, on_hip if rng.random() < 0.6 else _hanging_arm(rng)]
    rng.shuffle(arms)
    return (arms[0], arms[1]), _standing(rng)[1]


def _hands_in_front(rng: np.random.Generator) -> tuple[Pair, Pair]:
    arms = [_draw(rng, (8, 20), (0, 14), (-62, -35), (28, 50)) for _ in range(2)]
    if rng.random() < 0.4:
        arms[int(rng.integers(2))] = _hanging_arm(rng)
    return (arms[0], arms[1]), _standing(rng)[1]


KINDS: dict[str, tuple[float, Callable[[np.random.Generator], tuple[Pair, Pair]]]] = {
    "standing": (0.32, _standing),
    "walking": (0.27, _walking),
    "arms raised": (0.14, _raised),
    "hands on hips": (0.15, _hands_on_hips),
    "hands in front": (0.12, _hands_in_front),
}


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose at random: what the limbs do, and the side from which they are seen."""
    kinds = tuple(KINDS)
    kind = kinds[rng.choice(len(kinds), p=[KINDS[k][0] for k in kinds])]
    middle, spread, _ = VIEWS[rng.choice(len(VIEWS), p=[view[2] for view in VIEWS])]
    yaw = np.radians(middle + rng.uniform(-spread, spread))
    arms, legs = KINDS[kind][1](rng)
    tilt = lambda degrees: float(np.radians(np.clip(rng.normal(0, degrees), -2 * degrees, 2 * degrees)))  # noqa: E731
    return Pose(
        name=kind,
        yaw=float(yaw),
        arms=arms,
        legs=legs,
        lean=tilt(2) + 0.03,
        roll=tilt(2),
        twist=tilt(5),
        head_turn=tilt(14),
        camera_pitch=float(rng.uniform(0.03, 0.16)),
        shift=(float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))),
    )
