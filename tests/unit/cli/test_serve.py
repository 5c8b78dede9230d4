"""What `prism serve` says when it is ready."""

import typing

import pytest

from prism_core.cli.commands.serve import CALLERS, banner, serve
from prism_core.settings import Settings

MODES = typing.get_args(typing.get_type_hints(Settings)["auth"])


@pytest.mark.parametrize("mode", MODES)
def test_the_banner_says_who_may_predict(mode, capsys, tmp_path):
    banner({"public": "http://a", "admin": "http://b", "data_dir": str(tmp_path), "auth": mode})

    assert f"callers {CALLERS[mode]}" in capsys.readouterr().out


def test_every_mode_can_be_chosen():
    (option,) = (option for option in serve.params if option.name == "auth")

    assert tuple(option.type.choices) == MODES


@pytest.mark.parametrize("told", [{}, {"grpc": "grpc://192.0.2.7:8081"}])
def test_the_banner_says_where_grpc_is_where_there_is_one(capsys, tmp_path, told):
    banner({"public": "http://a", "admin": "http://b", "data_dir": str(tmp_path), "auth": "none", **told})

    assert ("grpc://192.0.2.7:8081" in capsys.readouterr().out) is bool(told)
