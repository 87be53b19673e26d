"""A server on loopback that speaks S3."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs


@contextmanager
def s3_bucket(patch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """An empty bucket; gives `address(folder)`, a folder's URI in it."""
    patch.setenv("AWS_ACCESS_KEY_ID", "key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    bucket, at = f"bucket-{port}", {"scheme": "http", "endpoint_override": f"{host}:{port}", "region": "us-east-1"}
    fs.S3FileSystem(allow_bucket_creation=True, **at).create_dir(bucket)
    yield lambda folder: f"s3://{bucket}/{folder}?" + "&".join(f"{key}={value}" for key, value in at.items())
    server.stop()
