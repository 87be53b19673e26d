"""Folders of people with mutated photos, maps, lines and lists, and mutated shards: the same for the same seed."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from hostile import FILES, NAMES, WORDS, joints, mangled, moving, png_header

Lines = list[bytes]


def lists(random: Random, line: bytes) -> bytes:
    """A line of `keypoints.csv` whose lists hold something else."""
    name, ys, xs = line.split(b":")
    points = [list(pair) for pair in zip(json.loads(xs), json.loads(ys), strict=True)]
    changed = joints(random, json.dumps(points))
    try:
        columns = list(zip(*json.loads(changed), strict=True))
        ys, xs = (json.dumps(list(column)).encode() for column in (columns[1], columns[0]))
    except (ValueError, TypeError, IndexError, RecursionError):
        ys = changed.encode(errors="replace")
    return b":".join((name, ys, xs))


LINES: list[Callable[[Random, bytes], bytes]] = [
    mangled,
    lists,
    lists,
    lambda random, line: line[: random.randrange(len(line))],
    lambda random, line: line.replace(b":", random.choice([b";", b"::", b"", b"\n"]), 1),
    lambda random, line: line + b"\n" + mangled(random, line),
    lambda random, line: line.split(b":")[0] + b":" + random.choice(WORDS).encode() + b":" + line.split(b":")[-1],
    lambda random, line: random.randbytes(random.randrange(200)),
]
ENTRIES: list[Callable[[Random, bytes], bytes]] = [
    mangled,
    lambda random, name: name + b"\n" + name,
    lambda random, name: random.choice(NAMES).encode(errors="replace"),
]


def spoil_folder(folder: Path, random: Random, share: float = 0.6) -> None:
    """Change about `share` of the people of a folder, one part of each or more."""
    table, names = (Path(folder / name).read_bytes().splitlines() for name in ("keypoints.csv", "train.txt"))
    identities = [b"name,identity"]
    for index, name in enumerate(list(names)):
        photo = folder / "img" / name.decode()
        identities.append(name + b",someone")
        while random.random() < share:
            match random.randrange(6):
                case 0 | 1:
                    photo.write_bytes(spoilt(random, photo.read_bytes()))
                case 2 | 3:
                    file = folder / "parsing" / f"{photo.stem}.png"
                    file.write_bytes(spoilt(random, file.read_bytes()))
                case 4:
                    table[index + 1] = changed(random, LINES, table[index + 1])
                case 5:
                    names[index] = changed(random, ENTRIES, names[index])
            if random.random() < 0.05:
                identities[-1] = mangled(random, identities[-1])
    (folder / "keypoints.csv").write_bytes(b"\n".join(table))
    (folder / "train.txt").write_bytes(b"\n".join(names))
    (folder / "identities.csv").write_bytes(b"\n".join(identities))


def spoilt(random: Random, good: bytes) -> bytes:
    """Another file in the place of a picture."""
    more = [moving, lambda random, good: png_header(random.randrange(1, 99), random.randrange(1, 99))]
    return random.choice([*FILES, *more])(random, good or b"\0")


def changed(random: Random, ways: list[Callable[[Random, bytes], bytes]], line: bytes) -> bytes:
    """A line changed in one of the ways; one that was changed before may be none, and is left."""
    try:
        return random.choice(ways)(random, line)
    except (ValueError, TypeError, RecursionError):
        return line


def spoil_shards(folder: Path, random: Random) -> None:
    """Change some tars and indexes: bytes, length, place, or all of it."""
    files = sorted((*folder.glob("*.tar"), *folder.glob("*.idx")))
    for file in random.sample(files, random.randrange(1, 4)):
        content = file.read_bytes()
        match random.randrange(6):
            case 0:
                file.unlink()
            case 1:
                file.write_bytes(content[: random.randrange(len(content))])
            case 2:
                file.write_bytes(random.choice([path for path in files if path.exists()] or [file]).read_bytes())
            case 3:
                file.write_bytes(bytes(len(content)))
            case _:
                file.write_bytes(mangled(random, content))
