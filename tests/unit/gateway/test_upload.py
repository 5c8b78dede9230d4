"""Uploads, rollbacks, stops and removals, with a supervisor that starts nothing."""

from __future__ import annotations

import asyncio
import base64

import pytest

from prism_core.errors import (
    ArtifactTooLarge,
    ConfigError,
    DeployError,
    IllegalTransition,
    InvalidInput,
    InvalidParameter,
    ModelLoadFailed,
    UnknownFormat,
    UnsafeArtifact,
)
from prism_core.gateway.lifecycle import State
from prism_core.gateway.store import Store
from prism_core.hookspecs import hookimpl
from prism_core.specs import Finding, Severity
from tests.unit.gateway.conftest import open_desk, plugin_set


class Gate:
    """A lock-step checkpoint: raises at one step."""

    def __init__(self):
        self.at = ""

    def __call__(self, step):
        if step == self.at:
            raise RuntimeError(f"broken at {step}")


async def digest_of(desk, data):
    version, _ = await desk.upload(data, name="other")
    digest = version.manifest.digest
    await desk.operator.remove(desk.registry.model("other"), [version])
    return digest


async def test_an_upload_is_served_under_its_names(desk):
    version, duplicate = await desk.upload(b"one", alias="champion")

    assert (version.state, duplicate) == (State.READY, False)
    assert desk.serves("churn") == desk.serves("churn/1") == desk.serves("churn@champion") == 1
    assert version.manifest.warnings == ("an old version",)


async def test_the_steps_are_told_in_order(desk):
    told = []
    await desk.upload(b"one", progress=lambda step, facts: told.append(step))

    assert told == ["store", "inspect", "environment", "start", "warm", "publish"]
    assert [e.name for e in desk.events] == ["model.stored", "model.starting", "model.ready", "alias.moved"]


async def test_the_previous_version_serves_until_the_new_one_is_ready(desk):
    await desk.upload(b"one")
    desk.supervisor.gate.clear()
    uploading = asyncio.create_task(desk.upload(b"two"))
    while len(desk.supervisor.started) < 2:
        await asyncio.sleep(0)

    assert desk.serves("churn") == 1
    assert desk.registry.version("churn", 2).state is State.STARTING
    desk.supervisor.gate.set()
    await uploading
    assert (desk.serves("churn"), desk.serves("churn/1")) == (2, 1)


async def test_equal_bytes_and_options_are_the_same_version(desk):
    first, _ = await desk.upload(b"one", options={"depth": "3"})
    again, duplicate = await desk.upload(b"one", options={"depth": 3}, filename="churn_model.toy")

    assert (again, duplicate) == (first, True)
    assert first.manifest.options == {"depth": 3}


@pytest.mark.parametrize("other", [{"options": {"depth": 4}}, {"threads": 2}, {"replicas": 2}])
async def test_other_options_make_another_version(desk, other):
    await desk.upload(b"one")
    version, duplicate = await desk.upload(b"one", **other)

    assert (version.manifest.version, duplicate) == (2, False)
    assert len(desk.files) == 1


async def test_a_stopped_version_that_is_uploaded_again_is_started(desk):
    version, _ = await desk.upload(b"one")
    await desk.operator.stop(version)

    again, duplicate = await desk.upload(b"one")

    assert (again, duplicate, again.state) == (version, True, State.READY)
    assert desk.serves("churn") == 1


async def test_an_older_version_that_is_uploaded_again_is_what_the_name_serves(desk):
    for data in (b"one", b"two", b"one"):
        await desk.upload(data)

    assert desk.serves("churn") == 1


async def test_settings_do_not_undo_what_a_user_did(desk):
    version, _ = await desk.upload(b"one")
    await desk.upload(b"two", alias="champion")
    await desk.operator.stop(version)

    again, duplicate = await desk.upload(b"one", anew=False, alias="champion")

    assert (again.state, duplicate) == (State.STOPPED, True)
    assert desk.serves("churn") == desk.serves("churn@champion") == 2


async def test_a_model_that_does_not_load_leaves_the_old_one_and_no_trace(desk):
    await desk.upload(b"one")
    files = desk.files
    desk.supervisor.broken.add(await digest_of(desk, b"two"))

    with pytest.raises(ModelLoadFailed) as caught:
        await desk.upload(b"two")

    assert caught.value.details["step"] == "start"
    assert (desk.serves("churn"), list(desk.registry.models["churn"].versions)) == (1, [1])
    assert desk.files == files
    assert desk.events[-1].name == "model.failed"


async def test_a_failed_upload_gives_its_number_back(desk):
    desk.supervisor.broken.add(await digest_of(desk, b"bad"))
    with pytest.raises(ModelLoadFailed):
        await desk.upload(b"bad")

    version, _ = await desk.upload(b"good")

    assert version.manifest.version == 1


@pytest.mark.parametrize("step", ["store", "inspect", "environment", "start", "warm", "publish"])
async def test_whatever_breaks_is_undone_and_named(tmp_path, step):
    gate = Gate()
    async with open_desk(tmp_path, checkpoint=gate) as desk:
        await desk.upload(b"one")
        before = (desk.files, dict(desk.registry.lanes), set(desk.supervisor.crews))
        gate.at = step

        with pytest.raises(DeployError) as caught:
            await desk.upload(b"two")

        assert caught.value.details["step"] == step
        assert caught.value.details["error_id"]
        assert (desk.files, dict(desk.registry.lanes), set(desk.supervisor.crews)) == before


async def test_a_cancelled_upload_is_undone(desk):
    desk.supervisor.gate.clear()
    uploading = asyncio.create_task(desk.upload(b"one"))
    while not desk.supervisor.started:
        await asyncio.sleep(0)

    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading

    assert (desk.files, desk.registry.models) == ([], {})


async def test_two_uploads_at_once_get_two_numbers(desk):
    outcomes = await asyncio.gather(*(desk.upload(bytes([n])) for n in range(4)))

    assert sorted(version.manifest.version for version, _ in outcomes) == [1, 2, 3, 4]
    assert desk.serves("churn") == 4


async def test_two_uploads_of_the_same_bytes_at_once_are_one_version(desk):
    outcomes = await asyncio.gather(*(desk.upload(b"one") for _ in range(3)))

    assert sorted(duplicate for _, duplicate in outcomes) == [False, True, True]
    assert desk.supervisor.started == [("churn", 1)]


async def test_an_example_is_answered_before_the_swap(desk):
    await desk.upload(b"one")
    example = base64.b64encode(b"bad").decode()

    with pytest.raises(InvalidInput) as caught:
        await desk.upload(b"two", example=example)

    assert caught.value.details["step"] == "warm"
    assert (desk.serves("churn"), desk.serves("churn/2")) == (1, None)


async def test_a_good_example_lets_it_pass(desk):
    version, _ = await desk.upload(b"one", example=base64.b64encode(b"good").decode())

    assert version.state is State.READY


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"example": "???"}, InvalidParameter),
        ({"filename": "churn.what"}, UnknownFormat),
        ({"name": "No Good"}, InvalidParameter),
        ({"alias": "No Good"}, InvalidParameter),
        ({"options": {"dept": 1}}, ConfigError),
        ({"options": {"depth": "deep"}}, ConfigError),
    ],
)
async def test_what_is_asked_for_is_checked(desk, request_, error):
    with pytest.raises(error):
        await desk.upload(b"one", **request_)

    assert desk.files == []


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("dept", "Did you mean 'depth'?"),
        ("thraeds", "'threads' is no option of a loader: give it as --threads, or beside `options`."),
        ("colour", "It has: depth, trust."),
    ],
)
async def test_an_option_that_nobody_knows_is_refused(desk, option, hint):
    with pytest.raises(ConfigError, match="Loader 'toy' has no option") as caught:
        await desk.upload(b"one", options={option: 1})

    assert caught.value.hint == hint


async def test_trusted_names_become_an_option_of_the_loader(desk):
    version, _ = await desk.upload(b"one", trust=("a.b",), options={"image": {"mean": [1]}})

    assert version.manifest.options == {"trust": ["a.b"], "image": {"mean": [1]}}


async def test_all_trusted_names_are_told_to_inspectors_and_kept_for_the_audit_log(tmp_path):
    """Those of `--trust` and those of the option alike."""
    heard = []

    class Listener:
        @hookimpl
        def prism_inspect_artifact(self, trust):
            heard.append(trust)

    async with open_desk(tmp_path, plugin_set(Listener())) as desk:
        version, _ = await desk.upload(b"one", trust=("a:b",), options={"trust": ["c:d"]})

    assert version.manifest.trust == ("a:b", "c:d") == heard[0]
    assert version.manifest.options["trust"] == ["a:b", "c:d"]


class Inspector:
    """Finds what it was made with; an exception is raised."""

    def __init__(self, *found):
        self.found = found

    @hookimpl
    def prism_inspect_artifact(self, artifact):
        for finding in self.found:
            if isinstance(finding, Exception):
                raise finding
            yield finding


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([Finding(Severity.BLOCK, "It is evil.")], "It is evil"),
        ([RuntimeError("oops")], "RuntimeError: oops"),
    ],
)
async def test_an_inspector_blocks_by_finding_or_by_failing(tmp_path, found, message):
    async with open_desk(tmp_path, plugin_set(Inspector(*found))) as desk:
        with pytest.raises(UnsafeArtifact, match=message) as caught:
            await desk.upload(b"one")

        assert caught.value.details["step"] == "inspect"
        assert (desk.files, desk.supervisor.started) == ([], [])


async def test_an_artifact_that_an_inspector_finds_too_large_is_said_to_be(tmp_path):
    async with open_desk(
        tmp_path, plugin_set(Inspector(ArtifactTooLarge("It unpacks to too much.")))
    ) as desk:
        with pytest.raises(ArtifactTooLarge, match="too much"):
            await desk.upload(b"one")


async def test_an_inspectors_warning_is_kept(tmp_path):
    found = [Finding(Severity.WARNING, "Careful."), Finding(Severity.INFO, "By the way.")]
    async with open_desk(tmp_path, plugin_set(Inspector(*found))) as desk:
        version, _ = await desk.upload(b"one")

    assert version.manifest.warnings == ("Careful.", "an old version")


async def test_rollback_holds_until_the_next_upload(desk):
    for data in (b"one", b"two"):
        await desk.upload(data)
    model = desk.registry.model("churn")

    await desk.operator.point(model, "latest", model.previous)
    assert desk.serves("churn") == 1
    await desk.upload(b"three")
    assert desk.serves("churn") == 3


async def test_forgetting_latest_lets_it_follow_again(desk):
    for data in (b"one", b"two"):
        await desk.upload(data)
    model = desk.registry.model("churn")
    await desk.operator.point(model, "latest", model.previous)

    await desk.operator.unpoint(model, "latest")

    assert desk.serves("churn") == 2


async def test_an_alias_needs_a_version_that_is_ready(desk):
    version, _ = await desk.upload(b"one")
    await desk.operator.stop(version)

    with pytest.raises(IllegalTransition, match="STOPPED"):
        await desk.operator.point(desk.registry.model("churn"), "champion", version)


async def test_a_version_with_an_alias_is_not_removed_but_the_model_is(desk):
    first, _ = await desk.upload(b"one", alias="champion")
    second, _ = await desk.upload(b"two")
    model = desk.registry.model("churn")

    with pytest.raises(IllegalTransition, match="@champion"):
        await desk.operator.remove(model, [first])
    assert desk.serves("churn/1") == 1
    await desk.operator.remove(model, [first, second])
    assert (desk.files, desk.registry.models) == ([], {})


async def test_an_artifact_stays_while_another_model_needs_it(desk):
    version, _ = await desk.upload(b"one")
    await desk.upload(b"one", name="twin")
    assert len(desk.files) == 1

    await desk.operator.remove(desk.registry.model("churn"), [version])
    assert len(desk.files) == 1
    await desk.operator.remove(desk.registry.model("twin"), [desk.registry.version("twin")])
    assert desk.files == []


async def test_what_was_stored_is_found_again(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.upload(b"one", alias="champion")
        second, _ = await desk.upload(b"two")
        await desk.operator.stop(second)

    async with open_desk(tmp_path) as desk:
        versions = desk.registry.models["churn"].versions
        assert [(n, v.state, v.wanted) for n, v in versions.items()] == [
            (1, State.STORED, True),
            (2, State.STOPPED, False),
        ]
        assert desk.registry.models["churn"].named == {"champion": 1}
        await desk.operator.bring_up(versions[1])
        assert desk.serves("churn@champion") == 1


async def test_a_version_that_cannot_be_brought_up_is_failed_and_says_why(desk):
    version, _ = await desk.upload(b"one")
    await desk.operator.stop(version)
    desk.supervisor.broken.add(version.manifest.digest)

    with pytest.raises(ModelLoadFailed):
        await desk.operator.start(version)

    assert (version.state, version.error, version.lane) == (State.FAILED, "The model does not load.", None)
    desk.supervisor.broken.clear()
    await desk.operator.start(version)
    assert (version.state, version.error) == (State.READY, "")


async def test_a_failed_write_of_an_artifact_leaves_nothing(tmp_path):
    def break_it(step):
        if step == "store.written":
            raise OSError("disk full")

    store = Store(tmp_path, 100, break_it)
    async with store.stage() as staged:
        await staged.write(b"x")
        with pytest.raises(OSError, match="disk full"):
            await store.keep(staged)

    assert list(tmp_path.iterdir()) == []
