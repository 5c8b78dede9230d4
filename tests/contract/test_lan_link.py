"""The built-in link, as every link."""

from prism_core.links.lan import LanConfig, open_lan
from prism_core.testing import LinkContract


class TestLan(LinkContract):
    def open(self):
        return open_lan(LanConfig())
