"""What the flags of ``prism serve`` make of the settings."""

import pytest

from prism_core.cli.commands import serve


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        ([], ""),
        (["--access-log"], "access.log"),
        (["--access-log", "/var/log/prism.log"], "/var/log/prism.log"),
        (["--access-log", "--json"], "access.log"),
    ],
)
def test_the_access_log(prism, monkeypatch, flags, path):
    served = []
    monkeypatch.setattr(serve, "run", lambda settings, *_: served.append(settings))
    result = prism("serve", *flags)

    assert result.exit_code == 0, result.output
    assert [settings.access_log for settings in served] == [path]


def test_a_file_that_is_named_is_where_whoever_types_it(prism, monkeypatch, tmp_path):
    served = []
    monkeypatch.setattr(serve, "run", lambda settings, *_: served.append(settings))
    monkeypatch.chdir(tmp_path)
    prism("serve", "--access-log", "here.log")

    assert [settings.access_log for settings in served] == [str(tmp_path / "here.log")]
