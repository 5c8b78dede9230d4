"""What the options of `prism route` make of a route, and how routes are told."""

from __future__ import annotations

import json
from contextlib import nullcontext

import httpx
import msgspec
import pytest

from prism_core.cli.routing import telling
from prism_core.cli.routing.editing import edited
from prism_core.converters import structure
from prism_core.traffic.route import Route

NOW = {
    "split": [{"version": 3, "weight": 90.0}, {"version": 4, "weight": 10.0}],
    "sticky": "key",
    "guard": {},
}


def edit(route, *, settings=(), unset=(), **said):
    return edited(route, said, settings, unset)


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ({"split": ("3=80,4=20%",)}, {"split": [{"version": 3, "weight": 80}, {"version": 4, "weight": 20}]}),
        ({"split": ("3", "@champion")}, {"split": [{"version": 3}, {"version": "champion"}]}),
        ({"shadow": ("rf/2=20,5",)}, {"shadow": [{"model": "rf/2", "percent": 20}, {"version": 5}]}),
        (
            {"fallback": ("2,rf@best", 'value:{"p": [1, 2]}')},
            {"fallback": [{"version": 2}, {"model": "rf@best"}, {"value": {"p": [1, 2]}}]},
        ),
        ({"rules": ('country == "DE"=4',)}, {"rules": [{"when": 'country == "DE"', "version": 4}]}),
        ({"sticky": "", "timeout_ms": 0.0}, {"sticky": "", "timeout_ms": 0.0}),
        ({"bandit": "exp3", "record": 10.0}, {"bandit": {"algorithm": "exp3"}, "record": {"percent": 10.0}}),
        (
            {"ensemble": ("1,rf/1=2",), "combine": "vote", "need": 2, "deadline_ms": 50.0},
            {
                "ensemble": {
                    "members": [{"version": 1}, {"model": "rf/1", "weight": 2.0}],
                    "combine": "vote",
                    "need": 2,
                    "deadline_ms": 50.0,
                },
                "split": [],
            },
        ),
        (
            {"ensemble": ("1,2",), "combine": "stacking", "stack": "meta"},
            {
                "ensemble": {
                    "members": [{"version": 1}, {"version": 2}],
                    "combine": "stacking",
                    "stack": {"model": "meta"},
                },
                "split": [],
            },
        ),
        ({"ensemble": ("1,2",), "combine": "vote"}, {
            "ensemble": {"members": [{"version": 1}, {"version": 2}], "combine": "vote"}, "split": []
        }),
        ({"hedge": True, "guard": True}, {"hedge": {}, "guard": {}}),
        ({"settings": ("guard.alpha=0.5", "record.redact=[name]")}, {
            "guard": {"alpha": 0.5}, "record": {"redact": ["name"]}
        }),
        ({"unset": ("guard", "sticky")}, {"guard": ..., "sticky": ...}),
    ],
)  # fmt: skip
def test_what_is_said_changes_its_keys_and_no_others(said, changed):
    before = msgspec.json.encode(NOW)
    made = edit(NOW, **said)

    expected = {key: value for key, value in {**NOW, **changed}.items() if value is not ...}
    assert made | {"ensemble": made.get("ensemble")} == expected | {"ensemble": expected.get("ensemble")}
    assert msgspec.json.encode(NOW) == before


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"split": ("3=x",)}, "--split: '3=x' is not VERSION=NUMBER"),
        ({"split": ("3,",)}, "--split: a version is missing"),
        ({"rules": ("true",)}, "--rule: 'true' is no rule"),
        ({"fallback": ("value:{",)}, "--fallback: '{' is no JSON"),
        ({"combine": "vote"}, "--combine: there is no ensemble"),
        ({"deadline_ms": 5.0}, "--deadline-ms: there is no ensemble"),
        ({"settings": ("guard",)}, "--set: 'guard' is not KEY=VALUE"),
        ({"unset": ("shadows",)}, "--unset: there is no key 'shadows'; known are split"),
        ({"settings": ("split.weight=1",)}, "--set split.weight=1: split is a list"),
    ],
)
def test_an_option_that_is_written_wrong_is_named(said, told):
    with pytest.raises(ValueError, match=told):
        edit(NOW, **said)


FULL = {
    "rules": [{"version": 4, "when": "true"}],
    "split": NOW["split"],
    "sticky": "key",
    "shadow": [{"model": "rf", "percent": 20}],
    "fallback": [{"version": 2}, {"value": 0}],
    "timeout_ms": 200,
    "guard": {"alpha": 0.5},
    "experiment": {},
}


def shown(data, **more):
    return json.loads(msgspec.json.encode(structure(data, Route))) | more


def info(data, *live):
    return {"model": "churn", "route": shown(data), "live": list(live), "aliases": {"best": 4}}


def test_a_route_is_told_line_by_line_with_what_it_does_now():
    live = [
        {"key": "split", "target": "churn/4", "text": "circuit open"},
        {"key": "split", "target": "", "text": "learned"},
        {"key": "guard", "target": "churn/4", "text": "fine"},
    ]
    rows = [tuple(map(str.strip, row)) for row in telling.rows(info(FULL, *live))]

    assert rows[:3] == [
        ("rule", "4                where true", ""),
        ("split", "3                90 %", ""),
        ("", "4                10 %", "circuit open"),
    ]
    assert rows[3] == ("", "", "learned")
    assert (
        "guard",
        "alpha=0.5 max_error_percent=0 max_latency_percent=10 metrics=errors,latency",
        "churn/4: fine",
    ) in rows
    assert ("timeout", "200 ms", "") in rows
    assert ("", "value:0", "") in rows
    assert [row[0] for row in rows if row[0] == "circuit"] == []


def test_a_line_about_a_version_stands_beside_the_alias_that_means_it():
    line = {"key": "split", "target": "churn/4", "text": "circuit open"}
    rows = list(telling.rows(info({"split": [{"version": 3}, {"version": "best"}]}, line)))

    assert [(row[1].split()[0], row[2]) for row in rows] == [("3", ""), ("@best", "circuit open")]


def ways(data=None, latest=3, ceiling=None, **aliases):
    return {
        "route": shown(data) if data is not None else None,
        "aliases": aliases,
        "latest": latest,
        "ceiling": ceiling,
    }


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (ways(), ways(latest=4), ["@latest 3 → 4"]),
        (ways(champion=3), ways(best=3), ["@best none → 3", "@champion 3 → none"]),
        (ways(ceiling=3), ways(), ["@latest follows the newest"]),
        (
            ways({"split": NOW["split"]}),
            ways({"split": NOW["split"], "guard": {"alpha": 0.5}, "timeout_ms": 5}),
            ["timeout none → 5 ms", "guard none → alpha=0.5"],
        ),
        (ways(), ways({}), ["no route → an empty one"]),
        (
            ways({"ensemble": {"members": [{"version": 1}, {"version": 2}]}}),
            ways({"split": NOW["split"], "shadow": [{"version": 5, "percent": 20}]}),
            [
                "split none → 3=90,4=10",
                "shadow none → 5=20",
                "ensemble 1=1,2=1 combine=mean deadline_ms=0 need=1 → none",
            ],
        ),
    ],
)
def test_a_change_is_told_by_what_it_changed(before, after, told):
    assert telling.differences(before, after) == told


@pytest.fixture
def server(answering, monkeypatch):
    """Answer ``prism route`` from a function of the request; its requests are kept."""
    seen = []

    def serve(answer):
        def handle(request):
            seen.append((request.method, request.url.raw_path.decode(), request.content))
            return httpx.Response(200, json=answer(request))

        client = answering(handle)
        for module in ("route", "undo"):
            monkeypatch.setattr(f"prism_core.cli.commands.{module}.admin", lambda: nullcontext(client))
        return seen

    return serve


def told_info(**more):
    facts = dict(revision=7, aliases={"latest": 4}, at=1.0, actor="guard", why="4 fails", waiting="", live=[])
    return {"model": "churn", "route": shown(FULL), "moves": [], "warnings": []} | facts | more


def test_a_route_is_shown(prism, server):
    server(lambda request: told_info())
    run = prism("route", "churn")

    assert run.exit_code == 0
    assert "churn goes by route 7, set" in run.output
    assert "by guard: 4 fails." in run.output


def test_a_dry_run_changes_nothing_and_says_so(prism, server):
    moves = [{"source": "churn/3", "target": "churn/4", "percent": 10.0}]
    seen = server(lambda request: told_info(moves=moves, warnings=["4 is STOPPED."]))
    run = prism("route", "churn", "--split", "3=80,4=20", "--dry-run")

    assert "10 % of the traffic would move from 3 to 4.\nNothing was changed." in run.output
    assert "4 is STOPPED." in run.output
    assert [(method, path) for method, path, _ in seen] == [
        ("GET", "/admin/v1/models/churn/route"),
        ("PUT", "/admin/v1/models/churn/route?dry_run=true&revision=7"),
    ]


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (None, "No traffic would move."),
        ({"split": NOW["split"]}, "No traffic would move."),
        ({"ensemble": {"members": [{"version": 1}, {"version": 2}]}}, "2 versions would answer together."),
    ],
)
def test_where_nobody_moves_that_is_told(route, told):
    assert telling.still_text(route and shown(route)) == told


def test_only_one_way_to_change_at_a_time(prism):
    run = prism("route", "churn", "--clear", "--split", "3")

    assert run.exit_code == 2
    assert "one of them" in run.output


@pytest.mark.parametrize("command", ["route", "undo", "experiment", "shadow", "recordings", "rollback"])
def test_a_route_is_that_of_a_whole_model(prism, command):
    run = prism(command, "churn/3")

    assert run.exit_code == 2
    assert "give the model, churn." in run.output


def test_taking_a_key_away_makes_none():
    assert edit({}, unset=("guard.alpha", "shadow")) | {"ensemble": None} == {"ensemble": None}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[1, 2]", "route.yaml holds no route"),
        (b"", "route.yaml holds no route"),
        (b"split:\n  - {version: 1\nsticky: key\n", "route.yaml, line 3: expected"),
        (b"\x80\x04", "route.yaml is no text in UTF-8."),
        (None, "route.yaml cannot be read: No such file or directory."),
    ],
)
def test_a_file_that_holds_no_route(prism, server, tmp_path, monkeypatch, text, told):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "route.yaml").write_bytes(text)
    run = prism("route", "churn", "--file", "route.yaml")

    assert run.exit_code == 1
    assert told in run.output


@pytest.mark.parametrize("options", [("--dry-run",), ("--why", "later")])
def test_options_of_a_change_want_one(prism, options):
    run = prism("route", "churn", *options)

    assert run.exit_code == 2
    assert "Nothing is to be changed" in run.output


def test_a_route_that_says_nothing_is_told_in_words(prism, server):
    server(lambda request: told_info(route={"split": []}, why="is it better?"))
    run = prism("route", "churn")

    assert "is it better?\nThe route says nothing: all goes to latest.\n" in run.output


def test_an_undo_says_what_it_did(prism, server):
    server(lambda request: {"model": "churn", "before": ways(champion=4), "after": ways(champion=3)})
    run = prism("undo", "churn")

    assert "churn: @champion 4 → 3." in run.output
    assert "prism undo churn --redo" in run.output
