"""Folders that lie on this machine's disk or in object storage: `shards`, `s3://bucket/shards?region=eu-central-1`.

Storage is what pyarrow knows by URI; keys are the environment's (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, on every
node). What is written has its name when it is whole, in both: object storage shows an object when it is closed, and on
disk a file is synced and renamed.
"""

import os
import re
import shutil
from pathlib import Path

from pyarrow import fs

from spt_dist.data.schema import DataError

ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/")
SCHEMES = re.compile(r"^(s3|gs|gcs|abfss?|hdfs|file):/+")
FOLDER = re.compile(r"^\w+://[^/?]+/+[^/?]")
PIECE_BYTES = 8 << 20


class Storage:
    """A folder by path or URI, whose files go by their names.

    Raises:
        DataError: the URI names no storage that pyarrow knows, or holds keys.
    """

    def __init__(self, place: Path | str) -> None:
        self.place = str(place)
        if not is_remote(place) and ADDRESS.match(self.place):
            raise DataError(f"`{place}` is no storage that is known: write s3://bucket/folder, gs://..., or a path")
        if not is_remote(place):
            self.local, self.files, self.root = True, fs.LocalFileSystem(), self.place
            return
        if "@" in self.place:
            raise DataError("the address holds keys, and would be written down: set AWS_ACCESS_KEY_ID and co.")
        self.place = SCHEMES.sub(r"\1://", self.place)  # a `Path` keeps one stroke of the two
        if self.place.startswith("file:"):
            self.place = self.place.replace("file://", "file:///", 1)
        elif not FOLDER.match(self.place):
            raise DataError(f"`{place}` names no folder of a bucket; write s3://bucket/folder")
        try:
            self.files, self.root = fs.FileSystem.from_uri(self.place)
        except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise DataError(f"`{place}` is no storage: {error}; write s3://bucket/folder, or a path") from None
        self.local = isinstance(self.files, fs.LocalFileSystem)

    def beside(self, suffix: str) -> "Storage":
        """The folder of the same name with `suffix` behind it."""
        folder, query, options = self.place.partition("?")
        return Storage(folder.rstrip("/") + suffix + query + options)

    def hidden(self, suffix: str) -> "Storage":
        """The folder beside it whose name begins with a dot and ends with `suffix`."""
        folder, query, options = self.place.partition("?")
        parent, slash, name = folder.rstrip("/").rpartition("/")
        return Storage(f"{parent}{slash}.{name}{suffix}{query}{options}")

    def read(self, name: str) -> bytes:
        """A file's bytes; OSError when there is none."""
        with self.files.open_input_stream(f"{self.root}/{name}") as file:
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a file; it has its name when it is whole and durable."""
        if not self.local:
            with self.files.open_output_stream(f"{self.root}/{name}") as file:
                file.write(content)
            return
        path = Path(self.root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to this machine's disk."""
        with self.files.open_input_stream(f"{self.root}/{name}") as file, open(path, "wb") as out:
            shutil.copyfileobj(file, out, PIECE_BYTES)

    def has(self, name: str) -> bool:
        """Is there such a file?"""
        return self.files.get_file_info(f"{self.root}/{name}").type == fs.FileType.File

    def names(self, folder: str) -> set[str]:
        """The files in a folder of it, as FOLDER/NAME."""
        found = self.files.get_file_info(fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True))
        return {f"{folder}/{info.base_name}" for info in found if info.type == fs.FileType.File}

    def here(self, scratch: Path) -> Path:
        """The folder on this machine's disk: itself, or a copy in `scratch`."""
        if self.local:
            return Path(self.root)
        fs.copy_files(self.root, str(scratch), self.files, fs.LocalFileSystem())
        return scratch

    def exists(self) -> bool:
        """Is anything there?"""
        if self.local:
            return Path(self.root).exists()
        return bool(self.files.get_file_info(fs.FileSelector(self.root, allow_not_found=True)))

    def remove(self) -> None:
        """Remove the folder with all that is in it, if it is there."""
        if self.local:
            shutil.rmtree(self.root, ignore_errors=True)
        elif self.exists():
            self.files.delete_dir(self.root)


def is_remote(place: Path | str) -> bool:
    """Is it the address of a storage, and no path?"""
    return SCHEMES.match(str(place)) is not None
