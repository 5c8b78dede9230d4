"""The messages are made from `oip.proto` by the compiler that constraints.txt names."""

import importlib.util
from pathlib import Path

import pytest

import prism_oip

RPC = Path(prism_oip.__file__).parent / "rpc"
TOOL = Path(__file__).parents[2] / "tools" / "make_stubs.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the directory with modules that have just been made."""
    spec = importlib.util.spec_from_file_location("make_stubs", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    out = tmp_path_factory.mktemp("stubs")
    tool.make_stubs(out)
    return out / "prism_oip" / "rpc"


@pytest.mark.parametrize("name", ["oip_pb2.py", "oip_pb2.pyi"])
def test_making_the_messages_anew_changes_nothing(made, name):
    assert (made / name).read_text() == (RPC / name).read_text(), "run plugins/prism_oip/tools/make_stubs.py"


def test_the_service_has_the_methods_that_clients_call():
    from prism_oip.rpc import oip_pb2

    service = oip_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]

    assert service.full_name == "inference.GRPCInferenceService"
    assert {method.name for method in service.methods} == {
        *("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"),
        *("ModelStatistics", "ModelInfer", "ModelStreamInfer"),
        *("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
    }
