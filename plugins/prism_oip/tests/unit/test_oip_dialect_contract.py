"""What the core asks of every dialect."""

from prism_core.testing import DialectContract
from prism_oip import prism_normalizers
from prism_oip.media import PREFIX
from prism_oip.rest.dialect import DIALECT, HEADER


class TestOip(DialectContract):
    dialect = DIALECT
    normalizers = tuple(prism_normalizers())
    paths = {
        "/v2/models/churn/infer": ("churn", ""),
        "/v2/models/churn@champion/infer": ("churn@champion", ""),
        "/v2/models/churn/versions/3/infer": ("churn", "3"),
        "/v2/models/churn/versions/champion/infer": ("churn", "champion"),
    }
    others = (
        "/v2",
        "/v2/models/churn",
        "/v2/models/churn/ready",
        "/v2/models/churn@champion/versions/3/infer",
        "/v2/models//infer",
        "/v2/models/churn/infer/",
    )
    heads = (
        {},
        {"content-type": "application/json", "content-length": "12"},
        {HEADER: "10", "content-length": "12"},
        {HEADER: "0", "content-encoding": "gzip", "accept-encoding": "deflate"},
    )
    refused = ({HEADER: "many"}, {HEADER: "13", "content-length": "12"}, {"content-encoding": "br"})
    answers = (
        (PREFIX.pack(0, 0) + b"{}", b"{}"),
        (PREFIX.pack(2, 0) + b"{}" + bytes(1000), b"{}" + bytes(1000)),
        (PREFIX.pack(0, 1) + b"packed", b"packed"),
    )
