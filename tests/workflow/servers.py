"""Servers on loopback that a DVC remote can live on: one that speaks S3, and one that speaks SFTP over SSH."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncssh
import boto3
from moto.server import ThreadedMotoServer

HOST = "127.0.0.1"
SERVED = "served"
"""The folder that the SSH server shows as its root."""


class Bucket(NamedTuple):
    """A bucket of a server that speaks S3."""

    endpoint: str
    name: str
    keys: list[str]
    """Paths of what it holds; filled when the server ends."""


@contextmanager
def s3(name: str = "bucket") -> Iterator[Bucket]:
    """A server with an empty bucket."""
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret")
    bucket = Bucket(endpoint, name, [])
    try:
        client.create_bucket(Bucket=name)
        yield bucket
        bucket.keys.extend(item["Key"] for item in client.list_objects_v2(Bucket=name).get("Contents", []))
    finally:
        server.stop()


class SshHost(NamedTuple):
    """An SSH server that lets one key in."""

    port: int
    keyfile: Path
    """The private key of the one who is let in."""


@contextmanager
def ssh(folder: Path) -> Iterator[SshHost]:
    """A server whose root folder is ``folder / SERVED``; keys are made for it."""
    (folder / SERVED).mkdir(parents=True)
    host_key, client_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    client_key.write_private_key(folder / "key")
    (folder / "key").chmod(0o600)
    authorized = asyncssh.import_authorized_keys(client_key.export_public_key().decode())

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            0,
            server_host_keys=[host_key],
            authorized_client_keys=authorized,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder / SERVED).encode()),
            allow_scp=False,
        )

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    try:
        yield SshHost(acceptor.get_port(), folder / "key")
    finally:
        loop.call_soon_threadsafe(acceptor.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
