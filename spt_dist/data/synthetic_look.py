"""What tells one synthetic person from another: skin, hair, clothes and their fabrics, and the scene they stand in.

Everything is a frozen value drawn once per person, so that each picture of that person shows the same things.
Colours are RGB, 0 to 255. Lengths are fractions: of the limb for sleeves and legs, of the body's height for patterns.
"""

import colorsys
from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = (
    (248, 214, 188),
    (236, 190, 158),
    (220, 168, 130),
    (190, 134, 98),
    (146, 98, 68),
    (98, 64, 46),
)
HAIRS: tuple[Colour, ...] = (
    (26, 22, 20), (44, 32, 26), (78, 50, 32), (120, 78, 44), (176, 128, 72), (222, 188, 122), (152, 66, 34),
    (140, 136, 132), (188, 70, 110), (70, 96, 150),
)  # fmt: skip
HAIR_CHANCES = (0.2, 0.16, 0.16, 0.12, 0.1, 0.1, 0.07, 0.05, 0.02, 0.02)
HAIR_STYLES = {
    "short": 0.28,
    "long": 0.25,
    "bob": 0.15,
    "bun": 0.09,
    "ponytail": 0.08,
    "afro": 0.05,
    "bald": 0.04,
    "cap": 0.06,
}
NEUTRALS: tuple[Colour, ...] = (
    (30, 30, 34), (52, 54, 60), (104, 106, 110), (170, 170, 168), (236, 234, 228), (206, 186, 150), (134, 104, 74),
    (36, 46, 80),
)  # fmt: skip
DENIMS: tuple[Colour, ...] = ((52, 74, 118), (84, 112, 158), (128, 156, 192), (34, 42, 64))
HUES = (0.0, 0.03, 0.08, 0.13, 0.3, 0.4, 0.5, 0.56, 0.61, 0.66, 0.76, 0.86, 0.94)  # fewer greens than a full circle
PATTERNS = ("stripes", "bars", "checks", "dots", "print")


@dataclass(frozen=True)
class Fabric:
    """A colour, or two in a pattern whose narrowest band is `band` body heights wide."""

    ground: Colour
    ink: Colour = (0, 0, 0)
    pattern: str = "plain"  # or one of PATTERNS
    band: float = 0.04
    seed: int = 0  # of a print's blobs


@dataclass(frozen=True)
class Look:
    """A person's skin, hair and clothes."""

    skin: Colour
    hair: Colour
    hair_style: str
    cap: Colour
    hair_length: float  # how far long hair falls below the chin, in head heights
    fringe: float  # how far hair covers the forehead, 0 to 1
    glasses: bool
    upper: Fabric
    sleeve: float  # 0 bare arms, 1 to the wrist
    hem: float  # how far the upper garment falls below the hips, 0 to 1 at the ankles: 0.4 is a dress or a coat
    neckline: float  # its depth, in body heights
    opening: Colour | None  # what an open coat shows
    motif: tuple[str, Colour] | None  # a shape on the chest
    lower: str  # "pants", "skirt" or "none" (under a dress)
    lower_fabric: Fabric
    lower_length: float  # of the leg, 0 to 1
    flare: float  # how wide pants' cuffs and skirts' hems are, 0 to 1
    tucked: bool  # the upper garment into the lower
    shoes: Colour


@dataclass(frozen=True)
class Scene:
    """The background: a wall (or sky) over a floor, each from one colour to another, with blocks on the wall."""

    wall: tuple[Colour, Colour]
    floor: tuple[Colour, Colour]
    horizon: float  # the wall's share of the picture's height
    blocks: tuple[tuple[float, float, float, float, Colour], ...] = ()  # x0, y0, x1, y1 as shares of the picture


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(np.clip(round(c * factor), 0, 255)) for c in colour)
    return red, green, blue


def _colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    hue = HUES[rng.integers(len(HUES))] + rng.uniform(-0.03, 0.03)
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(*saturation), rng.uniform(*value))
    return round(red * 255), round(green * 255), round(blue * 255)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[rng.integers(len(colours))]


def _cloth_colour(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.38:
        return _shade(_pick(rng, NEUTRALS), rng.uniform(0.9, 1.08))
    return _colour(rng, (0.4, 0.9), (0.38, 0.92))


def _brightness(colour: Colour) -> float:
    return float(np.dot(colour, (0.299, 0.587, 0.114)))


def _fabric(rng: np.random.Generator, plain: float) -> Fabric:
    """A random fabric; `plain` is the chance that it has no pattern."""
    ground = _cloth_colour(rng)
    if rng.random() < plain:
        return Fabric(ground)
    candidates = sorted((_cloth_colour(rng) for _ in range(4)), key=lambda c: abs(_brightness(c) - _brightness(ground)))
    ink = candidates[-1]
    if abs(_brightness(ink) - _brightness(ground)) < 60:
        ink = (240, 238, 230) if _brightness(ground) < 128 else (30, 30, 40)
    return Fabric(ground, ink, _pick_name(rng, PATTERNS), float(rng.uniform(0.022, 0.05)), int(rng.integers(1 << 30)))


def _pick_name(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[rng.integers(len(names))]


def _lower(rng: np.random.Generator, dress: bool) -> tuple[str, Fabric, float]:
    """The lower garment: what it is, its fabric, its length."""
    if dress:
        return "none", Fabric((0, 0, 0)), 0.0
    if rng.random() < 0.68:
        plain = Fabric(_shade(_pick(rng, DENIMS), rng.uniform(0.9, 1.1))) if rng.random() < 0.4 else _fabric(rng, 0.8)
        short = rng.random() < 0.3
        return "pants", plain, float(rng.uniform(0.25, 0.7) if short else rng.uniform(0.88, 1.0))
    return "skirt", _fabric(rng, 0.5), float(rng.uniform(0.28, 0.85))


def sample_look(rng: np.random.Generator) -> Look:
    """Draw skin, hair and clothes of a new person."""
    tone = rng.uniform(0, len(SKINS) - 1)
    low = min(int(tone), len(SKINS) - 2)
    mix = (1 - (tone - low)) * np.array(SKINS[low]) + (tone - low) * np.array(SKINS[low + 1])
    style = _pick_by_chance(rng, HAIR_STYLES)
    dress, coat = rng.random() < 0.14, rng.random() < 0.13
    lower, lower_fabric, length = _lower(rng, dress)
    hem = (
        rng.uniform(0.3, 0.85)
        if dress
        else rng.uniform(0.22, 0.5)
        if coat and lower == "pants"
        else rng.uniform(0, 0.1)
    )
    sleeve = rng.uniform(0.85, 1.0) if rng.random() < 0.45 else rng.uniform(0.2, 0.8) if rng.random() < 0.8 else 0.0
    upper = _fabric(rng, 0.48)
    has_motif = upper.pattern == "plain" and rng.random() < 0.35
    return Look(
        skin=_shade((round(mix[0]), round(mix[1]), round(mix[2])), rng.uniform(0.95, 1.03)),
        hair=HAIRS[rng.choice(len(HAIRS), p=HAIR_CHANCES)],
        hair_style=style,
        cap=_cloth_colour(rng),
        hair_length=float(rng.uniform(0.5, 1.6)),
        fringe=float(rng.uniform(0, 0.8)),
        glasses=bool(rng.random() < 0.1),
        upper=upper,
        sleeve=float(sleeve),
        hem=float(hem),
        neckline=float(rng.uniform(-0.01, 0.04)),
        opening=_cloth_colour(rng) if coat and not dress else None,
        motif=(_pick_name(rng, ("disc", "box", "star")), _fabric(rng, 0.0).ink) if has_motif and not coat else None,
        lower=lower,
        lower_fabric=lower_fabric,
        lower_length=length,
        flare=float(rng.uniform(0, 1)),
        tucked=bool(rng.random() < (0.6 if lower == "skirt" else 0.3)) and hem < 0.2,
        shoes=_cloth_colour(rng),
    )


def _pick_by_chance(rng: np.random.Generator, chances: dict[str, float]) -> str:
    names = tuple(chances)
    return names[rng.choice(len(names), p=[chances[name] for name in names])]


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a background: a studio gradient, a panelled or brick wall with its floor, or a street."""
    kind = _pick_by_chance(rng, {"studio": 0.3, "panels": 0.2, "bricks": 0.15, "street": 0.35})
    wall = _colour(rng, (0.02, 0.22), (0.55, 0.95))
    floor = _colour(rng, (0.02, 0.18), (0.4, 0.8))
    horizon = float(rng.uniform(0.68, 0.88))
    if kind == "studio":
        return Scene((wall, _shade(wall, rng.uniform(0.75, 1.15))), (_shade(wall, 0.9), _shade(wall, 0.8)), 0.9)
    walls, floors = (wall, _shade(wall, rng.uniform(0.85, 1.05))), (_shade(floor, 0.9), _shade(floor, 1.1))
    if kind == "panels":
        width, tint = rng.uniform(0.18, 0.4), _shade(wall, rng.uniform(0.84, 0.94))
        starts = np.arange(rng.uniform(-width, 0), 1, 2 * width)
        return Scene(walls, floors, horizon, tuple((float(x), 0.0, float(x + width), horizon, tint) for x in starts))
    if kind == "bricks":
        return Scene(walls, floors, horizon, tuple(_bricks(rng, wall, horizon)))
    sky = _colour(rng, (0.05, 0.35), (0.8, 1.0))
    return Scene((sky, _shade(sky, 1.05)), floors, horizon, tuple(_houses(rng, horizon)))


def _bricks(rng: np.random.Generator, wall: Colour, horizon: float) -> list[tuple[float, float, float, float, Colour]]:
    rows, across = int(rng.integers(6, 10)), int(rng.integers(2, 4))
    height, width, tint = horizon / rows, 1 / across, rng.uniform(0.86, 0.94)
    bricks = []
    for row in range(rows):
        for column in range(across + 1):
            if (row + column) % 2:
                x, y = (column - 0.5 * (row % 2)) * width, row * height
                bricks.append((x, y, x + width, y + height, _shade(wall, tint)))
    return bricks


def _houses(rng: np.random.Generator, horizon: float) -> list[tuple[float, float, float, float, Colour]]:
    """House fronts side by side, with two columns of windows each."""
    blocks, x = [], float(rng.uniform(-0.3, 0))
    while x < 1:
        width, top = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.02, 0.35))
        front = _colour(rng, (0.04, 0.3), (0.45, 0.85))
        glass = _shade(front, rng.uniform(0.6, 0.8))
        blocks.append((x, top, x + width, horizon, front))
        step = float(rng.uniform(0.12, 0.2))
        for y in np.arange(top + 0.05, horizon - 0.08, step):
            for column in (0.18, 0.6):
                left = x + column * width
                blocks.append((left, float(y), left + 0.24 * width, float(y) + 0.55 * step, glass))
        x += width
    return blocks
