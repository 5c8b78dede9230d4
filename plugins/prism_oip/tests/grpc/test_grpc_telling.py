"""What is told without a prediction, by a real server."""

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from prism_oip.rpc import oip_pb2 as pb

CODE = grpc.StatusCode


@pytest.fixture(scope="module")
def token(server):
    return (server.data_dir / "admin-token").read_text()


def failure(call, *args, **options):
    """Return the code and the details with which a call fails."""
    with pytest.raises(grpc.RpcError) as raised:
        call(*args, timeout=20, **options)
    return raised.value.code(), raised.value.details()


def test_the_server(client, server):
    assert client.ServerReady(pb.ServerReadyRequest(), timeout=20).ready
    metadata = client.ServerMetadata(pb.ServerMetadataRequest(), timeout=20)

    assert (metadata.name, metadata.version) == ("prism", server.facts["version"])
    assert "statistics" in metadata.extensions


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("line", "", True),
        ("line", "1", True),
        ("line", "latest", True),
        ("line", "9", False),
        ("no", "", False),
    ],
)
def test_whether_a_model_is_ready(client, name, version, ready):
    assert client.ModelReady(pb.ModelReadyRequest(name=name, version=version), timeout=20).ready is ready


def test_the_metadata_of_a_model(client):
    told = client.ModelMetadata(pb.ModelMetadataRequest(name="line"), timeout=20)

    assert (told.name, list(told.versions), told.platform) == ("line", ["1"], "sklearn")
    assert [(one.datatype, list(one.shape)) for one in told.inputs] == [("FP64", [-1, 2])]


def test_the_configuration_of_a_model(client):
    config = client.ModelConfig(pb.ModelConfigRequest(name="line", version="1"), timeout=20).config

    assert MessageToDict(config, preserving_proto_field_name=True)["input"][0]["data_type"] == "TYPE_FP64"
    assert list(config.input[0].dims) == [2]
    assert config.max_batch_size > 0


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
def test_a_model_that_is_not_there(client, method):
    request = getattr(pb, f"{method}Request")(name="lime")

    code, details = failure(getattr(client, method), request)

    assert code is CODE.NOT_FOUND
    assert "'lime'" in details


def test_the_index(client):
    told = client.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=20).models

    assert [(one.name, one.version, one.state) for one in told if one.name == "line"] == [
        ("line", "1", "READY")
    ]


def test_bytes_that_are_no_message(client):
    call = client.channel.unary_unary("/inference.GRPCInferenceService/ModelReady")

    assert failure(call, b"\xff\xff")[0] is CODE.INVALID_ARGUMENT


# --- loading and unloading ------------------------------------------------------------------------


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("x-api-key", "wrong"),)])
def test_only_the_owner_unloads(client, metadata):
    request = pb.RepositoryModelUnloadRequest(model_name="line")

    code, details = failure(client.RepositoryModelUnload, request, metadata=metadata)

    assert code is CODE.PERMISSION_DENIED
    assert "admin-token" in details
    assert client.ModelReady(pb.ModelReadyRequest(name="line"), timeout=20).ready


def test_the_owner_unloads_and_loads(client, token):
    owner = (("authorization", f"Bearer {token}"),)
    unload = pb.RepositoryModelUnloadRequest(model_name="other")
    client.RepositoryModelUnload(unload, metadata=owner, timeout=20)
    assert not client.ModelReady(pb.ModelReadyRequest(name="other"), timeout=20).ready

    client.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="other"), metadata=owner, timeout=20)
    assert client.ModelReady(pb.ModelReadyRequest(name="other"), timeout=20).ready


def test_a_load_that_would_change_the_model_is_refused(client, token):
    request = pb.RepositoryModelLoadRequest(model_name="line")
    request.parameters["config"].string_param = "{}"

    owner = (("authorization", f"Bearer {token}"),)
    code, details = failure(client.RepositoryModelLoad, request, metadata=owner)

    assert code is CODE.INVALID_ARGUMENT
    assert "'config'" in details


# --- health and reflection ------------------------------------------------------------------------


@pytest.fixture
def check(client):
    return client.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService", "line", "line@latest"])
def test_health(check, service):
    told = check(health_pb2.HealthCheckRequest(service=service), timeout=20)

    assert told.status == health_pb2.HealthCheckResponse.SERVING


def test_the_health_of_nothing(check):
    assert failure(check, health_pb2.HealthCheckRequest(service="lime"))[0] is CODE.NOT_FOUND


@pytest.mark.parametrize(("service", "state"), [("line", "SERVING"), ("lime", "SERVICE_UNKNOWN")])
def test_health_is_watched(client, service, state):
    watch = client.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )(health_pb2.HealthCheckRequest(service=service), timeout=20)

    assert next(watch).status == health_pb2.HealthCheckResponse.ServingStatus.Value(state)
    watch.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_services_and_messages(client, version):
    asking = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
    ]
    listed, described = client.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(iter(asking), timeout=20)

    names = {one.name for one in listed.list_services_response.service}
    assert names >= {"inference.GRPCInferenceService", "grpc.health.v1.Health"}
    file = FileDescriptorProto.FromString(described.file_descriptor_response.file_descriptor_proto[0])
    assert "ModelInfer" in {method.name for service in file.service for method in service.method}
