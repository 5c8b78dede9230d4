"""Routes in prism.yaml: what is wrong is told with its line."""

from __future__ import annotations

import pytest

from prism_core.errors import ConfigError
from prism_core.settings_file import load_settings
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Share

FILE = """\
port: 9000
routes:
  churn:
    split: [{version: 3, weight: 90}, {version: 4, weight: 10}]
    sticky: key
"""


def load(tmp_path, text, env=None):
    (tmp_path / "prism.yaml").write_text(text)
    return load_settings(tmp_path / "prism.yaml", env)


def test_a_route_is_read(tmp_path):
    expected = Route((Share(3, weight=90), Share(4, weight=10)), "key")

    assert load(tmp_path, FILE).routes == {"churn": expected}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            FILE.replace("sticky: key", "sticky: kex"),
            "prism.yaml, line 5: routes.churn.sticky: 'kex' is no sticky key: header:NAME",
        ),
        (
            FILE.replace("version: 4", "version: 3"),
            "prism.yaml, line 4: routes.churn.split[1]: 3 is there already",
        ),
        (
            FILE.replace("version: 4", "versio: 4"),
            "prism.yaml, line 4: routes.churn.split[1].versio: there is no",
        ),
        (
            FILE.replace("churn:", "churn/3:"),
            "prism.yaml, line 3: routes.churn/3: no model can have this name.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text)

    assert refused.value.message.startswith(told)


def test_a_variable_can_set_a_key(tmp_path):
    assert load(tmp_path, FILE, {"PRISM__ROUTES__CHURN__TIMEOUT_MS": "200"}).routes["churn"].timeout_ms == 200
