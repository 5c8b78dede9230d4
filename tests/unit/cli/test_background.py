"""The options that a server in the background is started with."""

import pytest
import rich_click as click

from prism_core.cli.background import arguments
from prism_core.cli.commands.serve import serve
from prism_core.cli.commands.share import SERVER_FLAGS


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"port": 0, "host": "127.0.0.1"}, ["--port=0", "--host=127.0.0.1"]),
        ({"no_plugins": True, "plugins": None}, ["--no-plugins"]),
        ({"no_plugins": False, "gateways": None}, []),
        (
            {"tls_mode": "self-signed", "tls_client_ca": "ca.pem"},
            ["--tls=self-signed", "--tls-client-ca=ca.pem"],
        ),
        ({"access_log": "access.log"}, ["--access-log=access.log"]),
    ],
)
def test_what_was_said_to_share_is_said_to_serve(flags, words):
    assert arguments(flags) == words


def test_every_option_of_the_server_has_the_name_that_it_is_passed_on_by():
    known = {name for param in serve.params if isinstance(param, click.Option) for name in param.opts}

    assert {word.partition("=")[0] for word in arguments(dict.fromkeys(SERVER_FLAGS, "x"))} <= known
