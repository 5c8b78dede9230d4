"""A server that asks callers for keys, is encrypted, and has two gateways: keys come by metadata."""

import json
import subprocess

import grpc
import pytest

from prism_core.testing.server import ServerProcess
from prism_oip.rpc import oip_pb2 as pb


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, models, configured):
    config, settle = configured
    directory = tmp_path_factory.mktemp("guarded") / "data"
    flags = ("--grpc-port", "0", "--auth", "keys", "--tls", "self-signed", "--gateways", "2", "--access-log")
    text = config(line=models / "line.pkl", other=models / "other.pkl")
    with ServerProcess(directory, *flags, config=text) as server:
        settle(server)
        yield server


@pytest.fixture(scope="module")
def key(guarded):
    """Return a key for the model ``line`` alone."""
    return guarded.json("keys", "create", "--model", "line")["key"]


@pytest.fixture(scope="module")
def encrypted(guarded, new_client, target):
    # Not ca.pem: what its clients check certificates with knows no authority that is bound to addresses.
    own = guarded.data_dir / "tls" / "server.pem"
    trusted = subprocess.check_output(["openssl", "x509", "-in", own])
    with grpc.secure_channel(target(guarded), grpc.ssl_channel_credentials(trusted)) as channel:
        yield new_client(channel)


def code_of(call, *args, **options):
    with pytest.raises(grpc.RpcError) as raised:
        call(*args, timeout=20, **options)
    return raised.value.code()


def test_it_says_that_it_is_encrypted(guarded):
    assert guarded.facts["grpc"].startswith("grpcs://127.0.0.1:")


def test_monitors_need_no_key(encrypted):
    assert encrypted.ServerLive(pb.ServerLiveRequest(), timeout=20).live
    assert encrypted.ServerReady(pb.ServerReadyRequest(), timeout=20).ready


@pytest.mark.parametrize("method", ["ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer"])
def test_without_a_key_nothing_is_told(encrypted, method):
    request = getattr(pb, f"{method}Request")()
    for field in ("name", "model_name"):
        if field in request.DESCRIPTOR.fields_by_name:
            setattr(request, field, "line")

    assert code_of(getattr(encrypted, method), request) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_key_comes_by_metadata(encrypted, key, header):
    value = f"Bearer {key}" if header == "authorization" else key
    told = encrypted.ModelMetadata(
        pb.ModelMetadataRequest(name="line"), metadata=((header, value),), timeout=20
    )

    assert told.name == "line"


def test_a_key_is_for_its_model_alone(encrypted, key):
    metadata = (("x-api-key", key),)
    call, request = encrypted.ModelMetadata, pb.ModelMetadataRequest(name="other")

    assert code_of(call, request, metadata=metadata) is grpc.StatusCode.PERMISSION_DENIED
    index = encrypted.RepositoryIndex(pb.RepositoryIndexRequest(), metadata=metadata, timeout=20)
    assert {one.name for one in index.models} == {"line"}
    counted = encrypted.ModelStatistics(pb.ModelStatisticsRequest(), metadata=metadata, timeout=20)
    assert {one.name for one in counted.model_stats} == {"line"}


def test_a_key_is_not_the_owners_token(encrypted, key):
    request = pb.RepositoryModelUnloadRequest(model_name="line")
    metadata = (("authorization", f"Bearer {key}"),)

    assert (
        code_of(encrypted.RepositoryModelUnload, request, metadata=metadata)
        is grpc.StatusCode.PERMISSION_DENIED
    )


def test_the_access_log_has_a_line_for_each(guarded, encrypted, key, until):
    metadata = (("x-api-key", key), ("x-request-id", "one-of-mine"))
    encrypted.ModelMetadata(pb.ModelMetadataRequest(name="line"), metadata=metadata, timeout=20)

    def line():
        lines = map(json.loads, (guarded.data_dir / "access.log").read_text().splitlines())
        return next((one for one in lines if one["request"] == "one-of-mine"), None)

    found = until(line)
    assert found["path"] == "/inference.GRPCInferenceService/ModelMetadata"
    assert (found["status"], found["address"], found["method"]) == (200, "127.0.0.1", "POST")
    assert found["caller"].startswith("key:")
    assert key not in (guarded.data_dir / "access.log").read_text()
