"""Addresses in object storage, and what is refused before anything connects."""

import importlib.util

import pytest

from core.net.object_store import ObjectStore, StoreError, is_address
from core.net.online import OnlineError
from tests.s3_server import BUCKET, s3_server


@pytest.mark.parametrize(
    "address",
    ["s3://", "s3://Bucket/x", "s3://bucket", "s3://bucket/", "s3://bucket/../x", "s3://bucket/a//b"],
)
def test_what_is_not_an_address(address, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_ONLINE", "1")
    assert is_address(address)
    with pytest.raises(OnlineError, match=r"not an address in object storage: give s3://BUCKET/FOLDER"):
        ObjectStore(address)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OnlineError, match=r"needs the package obstore: pip install"):
        ObjectStore("s3://bucket/out", asked=True)


@pytest.mark.parametrize(
    "endpoint", ["http://store.example.org", "https://127.0.0.1:9000", "https://key@host.org"]
)
def test_servers_that_are_not_allowed(endpoint, monkeypatch):
    monkeypatch.delenv("EARTH_MAE_ONLINE_LOCAL", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(OnlineError):
        ObjectStore("s3://bucket/out", asked=True)


def test_a_server_that_ends(monkeypatch):
    monkeypatch.setattr("core.net.object_store.RETRIES", 1)
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        store = ObjectStore(f"s3://{BUCKET}/out")
        store.put("a", b"1")
        assert store.get("a").data == b"1" and store.names() == ["a"]
    for request in (
        store.names,
        lambda: store.get("a"),
        lambda: store.put("a", b"2"),
        lambda: store.exists("a"),
    ):
        with pytest.raises(
            StoreError, match=r"s3://bucket/out cannot be reached: check the network and AWS_END"
        ):
            request()
