"""Rules of a route, in two gateways that are asked over HTTP."""

from __future__ import annotations

import json

import httpx
import joblib
import pandas as pd
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from sklearn.linear_model import LinearRegression

from tests.integration.gateways.conftest import to_each

CONFIG = """
geo_database: {path}
trusted_proxies: [127.0.0.1]
"""

ROUTE = {
    "rules": [
        {"when": 'header["x-user"] == "ann"', "version": 2},
        {"when": 'country == "DE" && features.age > 60', "version": 3},
    ],
    "split": [{"version": 1}],
}


@pytest.fixture
def server(make_server, tmp_path):
    writer = MMDBWriter(6, "Test-Country", ipv4_compatible=True)
    writer.insert_network(IPSet(["192.0.2.0/24"]), {"country": {"iso_code": "DE"}})
    writer.to_db_file(str(tmp_path / "countries.mmdb"))
    server = make_server(config=CONFIG.format(path=tmp_path / "countries.mmdb"))
    table = pd.DataFrame({"age": [20.0, 40.0, 60.0]})
    for factor in (1, 2, 3):
        joblib.dump(LinearRegression().fit(table, table["age"] * factor), tmp_path / "m.pkl")
        server.upload(tmp_path / "m.pkl", "--name", "m")
    return server


def set_route(server, tmp_path, route, **kwargs):
    (tmp_path / "route.json").write_text(json.dumps(route))
    return server.run("route", "m", "--file", str(tmp_path / "route.json"), **kwargs)


def version(client: httpx.Client, age: int, **headers: str) -> int:
    """Return which version answers, and see that it computes as that one does."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.post("/model/m/predict", json={"input": [{"age": age}]}, headers=headers)
    assert response.status_code == 200, response.text
    number = int(response.headers["x-prism-model-version"])
    assert response.json()["predictions"] == pytest.approx([age * number])
    return number


def test_rules_lead_requests_in_all_gateways(server, tmp_path):
    german = {"x_forwarded_for": "192.0.2.7"}
    set_route(server, tmp_path, ROUTE)

    with to_each(server) as clients:
        for client in clients.values():
            assert version(client, 61, x_user="ann") == 2
            assert version(client, 61, **german) == 3
            assert version(client, 60, **german) == 1
            assert version(client, 61, x_forwarded_for="198.51.100.7") == 1

    assert 'There is no "x-user".' in server.run("route", "m").stdout
    counted = 'prism_route_rule_unclear_total{model="m",reason="missing",rule="1"} 6.0'
    assert counted in server.metrics()

    refused = set_route(server, tmp_path, {"rules": [{"when": "features.age >", "version": 2}]}, check=False)
    assert refused.returncode == 1
    assert "rules[0].when: At character 15: it ends too early." in refused.stderr
    assert server.json("route", "m")["route"]["rules"][0]["when"] == ROUTE["rules"][0]["when"]
