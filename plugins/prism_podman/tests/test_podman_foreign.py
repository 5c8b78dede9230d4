"""Packages for another machine than this one: which platform, and that they are really fetched for it."""

import platform
import sys
from importlib.metadata import version

import attrs
import pytest

from prism_core.plugin import Environment, EnvironmentFailed, Pin
from prism_podman.images import foreign
from prism_podman.images.bases import Base
from prism_podman.images.oci import Beneath
from prism_podman.images.selection import selected

ARM = Base("base:1", "id", "python3", "3.11.7", "glibc-2.36", Beneath((), {}, "arm64"))


@pytest.mark.parametrize(
    ("processor", "libc", "target"),
    [
        ("arm64", "glibc-2.36", "aarch64-manylinux_2_36"),
        ("amd64", "glibc-2.30", "x86_64-manylinux_2_28"),
        ("amd64", "glibc-2.99", "x86_64-manylinux_2_40"),
    ],
)
def test_a_platform_is_what_a_base_can_run(processor, libc, target):
    assert foreign.target_of(attrs.evolve(ARM, libc=libc, beneath=Beneath((), {}, processor))) == target


@pytest.mark.parametrize(
    ("processor", "libc"), [("amd64", "-"), ("amd64", "glibc-2.12"), ("s390x", "glibc-2.36")]
)
def test_a_base_for_which_no_wheels_are_made_is_said(processor, libc):
    with pytest.raises(EnvironmentFailed, match="No wheels are made for"):
        foreign.target_of(attrs.evolve(ARM, libc=libc, beneath=Beneath((), {}, processor)))


def test_a_base_is_foreign_where_this_machines_packages_cannot_run():
    own = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "none")

    assert foreign.is_foreign(attrs.evolve(ARM, beneath=Beneath((), {}, own))) is (sys.platform != "linux")
    assert foreign.is_foreign(attrs.evolve(ARM, beneath=Beneath((), {}, "s390x")))


@pytest.mark.sweep
def test_the_same_versions_are_fetched_for_it(tmp_path):
    pins = (Pin("orjson", version("orjson")), Pin("attrs", version("attrs")))
    environment = Environment("k", sys.executable, platform.python_version(), pins)

    site = foreign.installed(environment, ARM, tmp_path)
    compiled, pure = selected(environment, [str(site)])

    assert all("aarch64" in one for one in compiled.platforms)
    assert compiled.platforms
    assert not pure.platforms


@pytest.mark.sweep
def test_what_cannot_be_had_for_it_is_said(tmp_path):
    environment = Environment("k", sys.executable, platform.python_version(), (Pin("orjson", "0.0.0"),))

    with pytest.raises(EnvironmentFailed, match=r"cannot be had for aarch64-manylinux_2_36: .*orjson"):
        foreign.installed(environment, ARM, tmp_path)
