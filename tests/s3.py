"""An S3 service on loopback, moto's, for tests and benchmarks."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import fsspec
import httpx

BUCKET = "foreframe"


def environment(address: str) -> dict[str, str]:
    """The variables by which clients find the service at `address`."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }


def use(address: str) -> None:
    """Let this process's clients ask `address`, those that were made before as well."""
    os.environ.update(environment(address))
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@contextmanager
def service(*, checks_credentials: bool = False) -> Iterator[str]:
    """The address of a service of its own, which has an empty bucket called BUCKET; this process's clients find it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    use(address)
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "0" if checks_credentials else "inf"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                httpx.get(address, timeout=1)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        if checks_credentials:
            httpx.post(f"{address}/moto-api/reset-auth", content=b"1")  # of so many actions no credentials are checked
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
        yield address
    finally:
        server.terminate()
        server.wait()
