"""Who may ask for pictures, and for how many: API keys, a rate and a quota for each.

A key file is JSON, written by `spt keys`. It holds of every key a name, the limits, and SHA-256 of the key, which is
256 random bits: nothing else can be tried out. The endpoint looks at the file with each request, so a revoked key ends
at once.
"""

import hashlib
import json
import logging
import math
import os
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spt_dist.serve.orders import LimitError, RequestError

HEADER, SCHEME = "Authorization", "Bearer"
PREFIX = "spt_"  # so that a key is known for one where it leaks
logger = logging.getLogger(__name__)


class Key(BaseModel):
    """A key, without the key itself; limits are in pictures, 0 is no limit."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    per_minute: int = Field(default=0, ge=0)
    per_day: int = Field(default=0, ge=0)
    created: datetime


class KeyFile(BaseModel):
    """What a key file holds."""

    model_config = ConfigDict(extra="forbid")
    keys: list[Key] = []

    @classmethod
    def read(cls, path: Path) -> "KeyFile":
        """The file; `ValueError` when it is missing or no key file."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            why = error.strerror
        except ValidationError as error:
            why = f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
        raise ValueError(f"`{path}` is no key file ({why}); `spt keys add {path} NAME` writes one")

    def write(self, path: Path) -> None:
        """Replace the file, readable by its owner only."""
        new = path.with_name(f".{path.name}.{os.getpid()}")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(self.model_dump(mode="json"), indent=2) + "\n")
        new.replace(path)


def add_key(path: Path, name: str, *, per_minute: int = 0, per_day: int = 0) -> str:
    """Add a key to the file, which is made where there is none, and return it: it is written nowhere.

    Raises:
        ValueError: the name is taken or no name, or the file is no key file.
    """
    file = KeyFile.read(path) if path.exists() else KeyFile()
    if any(key.name == name for key in file.keys):
        raise ValueError(f"`{path}` has a key `{name}`; take another name, or revoke it: spt keys revoke {path} {name}")
    secret = PREFIX + secrets.token_urlsafe(32)
    created = datetime.now(UTC).replace(microsecond=0)
    try:
        key = Key(name=name, sha256=_hash(secret), per_minute=per_minute, per_day=per_day, created=created)
    except ValidationError as error:
        raise ValueError(f"`{name}` is no name for a key; take up to 64 letters, digits, `.`, `_` or `-`") from error
    file.keys.append(key)
    file.write(path)
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of the file; `ValueError` when it is not there."""
    file = KeyFile.read(path)
    left = [key for key in file.keys if key.name != name]
    if len(left) == len(file.keys):
        raise ValueError(f"`{path}` has no key `{name}`; it has {', '.join(key.name for key in file.keys) or 'none'}")
    KeyFile(keys=left).write(path)


class Gate:
    """Lets in who has a key of the file, and counts the pictures of each; without a file everybody is let in.

    What was counted lives as long as the process.

    Raises:
        ValueError: there is no such key file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path) if path else None
        self._keys: dict[str, Key] = {}
        self._stamp: tuple[int, int] | None = None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        if self.path:
            self._read(self.path)

    def admit(self, header: str) -> Key | None:
        """The key that an `Authorization` header holds; `RequestError` when it is none of the file's."""
        if not self.path:
            return None
        self._refresh(self.path)
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != SCHEME.lower() or not secret:
            raise RequestError(HEADER, f"is missing; send `{HEADER}: {SCHEME} KEY` with a key of this endpoint", 401)
        key = self._keys.get(_hash(secret.strip()))
        if key is None:
            raise RequestError(HEADER, "holds no key of this endpoint; it may have been revoked", 401)
        return key

    def charge(self, key: Key | None, pictures: int) -> None:
        """Count pictures for a key; `LimitError` when they are more than it has left, and none is counted then."""
        if key is None:
            return
        windows = []
        if key.per_minute:
            windows.append((RateLimitItemPerMinute(key.per_minute), f"{key.per_minute} pictures a minute"))
        if key.per_day:
            windows.append((RateLimitItemPerDay(key.per_day), f"{key.per_day} pictures a day"))
        for window, words in windows:
            if not self._limiter.test(window, key.name, cost=pictures):
                if pictures > window.amount:
                    raise RequestError("poses", f"asks for {pictures}, but the key has {words}; ask for fewer")
                reset = self._limiter.get_window_stats(window, key.name).reset_time
                raise LimitError(f"the key has {words}, and they are used up", max(1, math.ceil(reset - time.time())))
        for window, _ in windows:
            self._limiter.hit(window, key.name, cost=pictures)

    def _refresh(self, path: Path) -> None:
        try:
            if _stamp(path) != self._stamp:
                self._read(path)
        except (OSError, ValueError) as error:  # those who had a key a moment ago have it still
            logger.warning("the keys stay as they were: %s", error)

    def _read(self, path: Path) -> None:
        self._keys = {key.sha256: key for key in KeyFile.read(path).keys}
        self._stamp = _stamp(path)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_ino


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
