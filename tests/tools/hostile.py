"""Requests that nobody honest sends, as many as wanted, the same for the same seed."""

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
from PIL import Image

WORDS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "null",
    "{}",
    "[]",
    '"x"',
    "true",
    "",
    " ",
    "\x00",
    "[" * 5000,
    "9" * 5000,
]
NAMES = ["../../etc/passwd", "a\x00b.png", "x" * 3000, "\u202egnp.exe", "C:\\con", "a\r\nX-Evil: 1", "", "é.png"]
PATHS = ["/assets/../api.py", "/assets/%2e%2e%2fapi.py", "/v1/gallery/..%2f..%2fconfig.json", "/v1/gallery/%00",
         "//etc/passwd", "/v1/gallery/" + "x" * 3000, "/v1/edit/../../metrics", "/assets/page.html%00.css"]  # fmt: skip
OPERATIONS = ("generate", "poses", "transfer", "edit", "annotate")


def png_header(width: int, height: int, kind: int = 2) -> bytes:
    """A PNG that claims a size and has nothing in it."""
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    )


def picture(random: Random, format: str, mode: str, size: tuple[int, int] = (7, 12), **options: Any) -> bytes:
    """Noise as a file."""
    buffer = io.BytesIO()
    noise = Image.fromarray(np.frombuffer(random.randbytes(size[0] * size[1] * 3), np.uint8).reshape(*size[::-1], 3))
    noise.convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def turned(random: Random) -> bytes:
    """A JPEG that its EXIF data turns."""
    exif = Image.Exif()
    exif[0x0112] = random.randrange(20)
    return picture(random, "JPEG", "RGB", exif=exif)


def moving(random: Random, good: bytes) -> bytes:
    """A file of two pictures."""
    options = {"save_all": True, "append_images": [Image.new("RGB", (7, 12))]}
    return picture(random, random.choice(["PNG", "WEBP", "GIF"]), "RGB", **options)


FILES: list[Callable[[Random, bytes], bytes]] = [
    lambda random, good: good[: random.randrange(len(good))],
    lambda random, good: bytes(len(good)),
    lambda random, good: b"",
    lambda random, good: random.randbytes(random.randrange(1, 2000)),
    lambda random, good: png_header(random.choice([1, 30_000, 2**31 - 1]), random.choice([1, 30_000, 2**31 - 1])),
    lambda random, good: picture(random, "JPEG", "CMYK"),
    lambda random, good: picture(random, "PNG", "I;16"),
    lambda random, good: picture(random, "PNG", random.choice(["1", "P", "LA", "RGBA"])),
    lambda random, good: picture(random, random.choice(["GIF", "BMP", "TIFF", "ICO", "PPM"]), "RGB"),
    lambda random, good: picture(random, "PNG", "RGB", random.choice([(1, 1), (1, 900), (900, 1)])),
    lambda random, good: turned(random),
    lambda random, good: mangled(random, good),
]  # fmt: skip


def mangled(random: Random, good: bytes) -> bytes:
    """A few bytes are others."""
    found = bytearray(good)
    for _ in range(random.randrange(1, 8)):
        found[random.randrange(len(found))] = random.randrange(256)
    return bytes(found)


def joints(random: Random, good: str) -> str:
    """Joints that are none, or lie anywhere."""
    tree = json.loads(good)
    tree = tree["joints"] if isinstance(tree, dict) else tree
    match random.randrange(6):
        case 0:
            return random.choice(WORDS)
        case 1:
            tree[random.randrange(18)] = random.choice(
                [[float("nan"), 1], [1e308, -1e308], [True, "1"], [1], {}, "x", [[1]]]
            )
        case 2:
            tree = tree * random.choice([0, 2, 5000])
        case 3:
            return json.dumps({"joints": tree, "size": random.choice([[0, 1], [1e9, 1e9], "x", [1], [-5, 5], None])})
        case 4:
            return json.dumps([None] * 18)
        case 5:
            tree = [[random.uniform(-1e4, 1e4), random.uniform(-1e4, 1e4), random.choice([0, 1, 2, -1])] for _ in tree]
    return json.dumps(tree)


def requests(seed: int, count: int, good: dict[str, bytes | str]) -> Iterator[dict[str, Any]]:
    """Arguments of httpx's `request`, each made of a good request's parts with some of them bad."""
    for index in range(count):
        random = Random(seed * 1_000_003 + index)
        make = random.choices([form, body, headed, path], [8, 3, 1, 1])[0]
        yield make(random, good)


def fitting(operation: str, good: dict[str, bytes | str]) -> dict[str, bytes | str]:
    """What an operation takes, made of the parts of a pose's request."""
    person = {name: good[name] for name in ("image", "parsing", "source_joints")}
    match operation:
        case "poses":
            return person | {"poses": f"[{good['target_joints']}]"}
        case "transfer":
            giver = {"giver_image": good["image"], "giver_parsing": good["parsing"]}
            return person | giver | {"giver_joints": good["source_joints"]}
        case "edit":
            return person | {"new_parsing": good["parsing"]}
        case "annotate":
            return {"image": good["image"]}
    return good


def form(random: Random, good: dict[str, bytes | str]) -> dict[str, Any]:
    """A form with bad files, joints, names or fields."""
    operation, files, data = random.choice(OPERATIONS), [], {}
    for name, part in fitting(operation, good).items():
        if random.random() < 0.03:
            continue
        bad = random.random() < 0.3
        if isinstance(part, bytes):
            content = random.choice(FILES)(random, part) if bad else part
            files.append(
                (name, (random.choice(NAMES) if bad else "a.png", content, random.choice(["image/png", "x", ""])))
            )
        else:
            data[name] = joints(random, part) if bad and name != "poses" else part
    if random.random() < 0.2:
        data[random.choice(["model", "format", "labels", "edit", "__proto__", "x" * 999])] = random.choice(
            WORDS + NAMES
        )
    if random.random() < 0.1 and files:
        files.append(files[0])
    return {"method": "POST", "url": f"/v1/{operation}", "files": files or {"": b""}, "data": data}


def body(random: Random, good: dict[str, bytes | str]) -> dict[str, Any]:
    """JSON, or something that says so."""
    tree: Any = {name: part if isinstance(part, str) else "AAAA" for name, part in good.items()}
    for name in list(tree):
        if random.random() < 0.5:
            tree[name] = random.choice([None, 1e308, True, [], {}, "=", "\ud800", [[[]]], -1, "A" * 10_000])
    content = json.dumps(random.choice([tree, [tree], None, 3])).encode()
    if random.random() < 0.4:
        content = random.choice([b"\xff\xfe", b"{", b"[" * 100_000, b'{"image": ' * 500, mangled(random, content)])
    return {
        "method": "POST",
        "url": f"/v1/{random.choice(OPERATIONS)}",
        "content": content,
        "headers": {
            "Content-Type": random.choice(["application/json", "application/json; charset=utf-16", "text/json"])
        },
    }


def headed(random: Random, good: dict[str, bytes | str]) -> dict[str, Any]:
    """Good or empty content under bad headers."""
    bad = random.choice(["x", "-1", "nan", "inf", "1e999", "\x7f", "é", "x" * 5000, "0", "a, b"]).encode("utf-8")
    name = random.choice(
        ["Request-Timeout", "Idempotency-Key", "X-Request-Id", "traceparent", "Accept", "Authorization"]
    )
    kind = random.choice(
        [b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=\xff"]
    )
    sent = {name.encode(): bad, b"Content-Type": kind}
    content = random.choice([b"", b"--x\r\n\r\n", random.randbytes(200)])
    return {"method": "POST", "url": f"/v1/{random.choice(OPERATIONS)}", "content": content, "headers": sent}


def path(random: Random, good: dict[str, bytes | str]) -> dict[str, Any]:
    """Paths that lead out."""
    return {"method": random.choice(["GET", "POST", "PUT", "HEAD", "BREW"]), "url": random.choice(PATHS)}
