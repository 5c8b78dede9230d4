"""Bundles from strangers: what is taken of them, what is not, and what is refused before it is acted on."""

import io
import tarfile
from types import SimpleNamespace

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core import bundle as bundles
from prism_core import tars
from prism_core.bundle import Bundle, Config, FrozenArtifact, FrozenEnvironment, Locked
from prism_core.environment import Environment, Pin, Requirement
from prism_core.environments.needs import OWNER
from prism_core.errors import ArtifactError, ArtifactTooLarge, UnknownPlugin, UnsafeArtifact
from prism_core.gateway.bundling import CHANGED, Delivery, delivered, frozen, read
from prism_core.gateway.digests import digest_of
from prism_core.gateway.merging import Machine, merge, stated
from prism_core.gateway.views import UploadRequest
from prism_core.manifest import Batching
from prism_core.plugin import hookimpl
from tests.unit.gateway.conftest import SIGNATURE, manifest_of, open_desk, plugin_set

PLAIN = Config()
LARGE = Machine(processors=8, memory_bytes=1 << 40)
TOLD = msgspec.json.decode(msgspec.json.encode(SIGNATURE))
LOCK = (Locked("scikit-learn", "1.5.2"), Locked("numpy", "2.1.0"))


def bundle_of(artifact=None, config=PLAIN, **facts) -> Bundle:
    digest, size = digest_of(artifact) if artifact else ("sha256:00", 4)
    said = FrozenArtifact("churn.toy", digest, size, bool(artifact and artifact.is_dir()))
    values = dict(
        artifact=said,
        loader="toy",
        plugin="toy 1",
        environment=FrozenEnvironment("3.11.7", LOCK),
        config=config,
    )
    return Bundle("churn", 3, 1.0, **(values | facts))


def packed(bundle, artifact) -> bytes:
    return b"".join(tars.stream(bundles.entries(bundle, artifact)))


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "churn.toy"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def directory(tmp_path):
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "graph").write_bytes(b"graph")
    (root / "sub" / f"{'long' * 40}").write_bytes(b"w" * 900)
    return root


@pytest.fixture
def take(desk):
    return taking(desk)


def taking(desk):
    """Return what uploads bytes as ``prism upload`` sends them, and returns the version."""
    desk.operator.store.max_bytes = 1 << 20

    async def take(data, said=("filename",), **request):
        store = desk.operator.store
        asked = UploadRequest(**({"filename": "bundle.prism"} | request))
        async with store.stage() as staged:
            await staged.write(data)
            delivery = await delivered(store, desk.operator.plugins, asked, {*said, *request}, staged)
            version, _ = await desk.uploads.upload(delivery.request, delivery.keep, lambda *_: None)
            return version

    return take


# --- there and back ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["artifact", "directory"])
async def test_what_is_frozen_comes_back(take, desk, kind, request):
    source = request.getfixturevalue(kind)
    options, batching = {"depth": 7}, Batching(max_batch_rows=5, max_delay_ms=2)
    digest, size = digest_of(source)
    before = manifest_of(
        version=8,
        artifact="m.toy",
        digest=digest,
        size_bytes=size,
        options=options,
        batching=batching,
        timeout_s=9,
    )
    told = frozen(before, SIGNATURE, source, desk.operator.plugins, Environment("server", "python", "3.11.7"))
    after = (await take(packed(told, source))).manifest

    same = ("model", "loader", "artifact", "digest", "size_bytes", "options", "batching", "timeout_s")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert (after.version, digest_of(desk.operator.store.path(digest))) == (1, (digest, size))


async def test_an_artifact_alone_is_no_bundle(take):
    version = await take(b"weights", filename="churn.toy")

    assert (version.manifest.model, version.manifest.artifact) == ("churn", "churn.toy")


def test_prisms_own_packages_are_in_no_lock(artifact):
    pins = (Pin("numpy", "2.1.0"), Pin("prism-core", "0.1.0"), Pin("toy", "0"))
    told = frozen(
        manifest_of(), None, artifact, plugin_set(), Environment("server", "python", "3.11.7", pins)
    )

    assert told.environment.lock == (Locked("numpy", "2.1.0"),)


# --- who has the say ----------------------------------------------------------------------


def merged(config=PLAIN, said=(), request=None, **facts):
    asked = UploadRequest(filename="bundle.prism", **(request or {}))
    return merge(asked, {*said, *(request or {})}, bundle_of(config=config, **facts), LARGE)[0]


def test_a_bundle_speaks_where_nobody_does():
    found = merged(Config({"depth": 2}, threads=3, timeout_s=5, memory_limit_bytes=9, optimize="auto"))

    assert (found.name, found.filename, found.loader) == ("churn", "churn.toy", "toy")
    assert (found.options, found.threads, found.timeout_s) == ({"depth": 2}, 3, 5)
    assert (found.memory_limit_bytes, found.optimize) == (9, "auto")
    assert (found.python, found.constraints) == ("3.11", ("scikit-learn==1.5.2", "numpy==2.1.0"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"name": "risk"}, {"name": "risk"}),
        ({"loader": "other"}, {"loader": "other"}),
        ({"threads": 1}, {"threads": 1}),
        ({"options": {"depth": 9}}, {"options": {"depth": 9, "width": 1}}),
        ({"batching": Batching()}, {"batching": Batching()}),
        ({"optimize": "off"}, {"optimize": "off"}),
        ({"python": "3.12"}, {"python": "3.12"}),
        ({"memory_limit_bytes": 0}, {"memory_limit_bytes": 0}),
        ({"replicas": 1}, {"replicas": 1, "min_replicas": None, "max_replicas": None}),
        ({"max_replicas": 2}, {"replicas": 1, "min_replicas": None, "max_replicas": 2}),
        ({"environment": "server"}, {"python": "", "constraints": ()}),
        ({"environment": "auto"}, {"python": "", "constraints": ()}),
        ({"constraints": ("numpy==1",)}, {"constraints": ("numpy==1",)}),
        ({"requirements": ("Scikit_Learn>=1.6",)}, {"constraints": ("numpy==2.1.0",)}),
    ],
)
def test_what_the_uploader_says_wins(said, expected):
    """Also where it says what is the default anyway."""
    config = Config(
        {"depth": 2, "width": 1},
        replicas=3,
        min_replicas=2,
        max_replicas=4,
        threads=4,
        memory_limit_bytes=77,
        batching=Batching(max_batch_rows=1),
        optimize="auto",
    )
    found = merged(config, request=said)

    assert {name: getattr(found, name) for name in expected} == expected


def test_settings_say_what_differs_from_a_plain_upload():
    asked = UploadRequest(name="churn", threads=2, filename="m.prism", batching=Batching(max_delay_ms=1))

    assert stated(asked) == {"name", "threads", "filename", "batching"}


@given(
    config=st.builds(
        Config,
        replicas=st.integers(1, 1000),
        min_replicas=st.none() | st.integers(0, 1000),
        max_replicas=st.none() | st.integers(1, 1000),
        threads=st.integers(1, 1000),
        memory_limit_bytes=st.integers(0, 1 << 50),
    ),
    machine=st.builds(Machine, st.integers(1, 64), st.integers(1 << 30, 1 << 40)),
)
def test_no_bundle_takes_more_than_its_share_of_the_machine(config, machine):
    found, notes = merge(UploadRequest(filename="b"), (), bundle_of(config=config), machine)
    counts = [found.replicas, found.min_replicas, found.max_replicas, found.threads]

    assert all(count is None or count <= machine.processors for count in counts)
    assert found.memory_limit_bytes == min(config.memory_limit_bytes, machine.memory_bytes)
    asked = [*asked_of(config), config.memory_limit_bytes]
    given = [*counts, found.memory_limit_bytes]
    assert len(notes) == sum(one != other for one, other in zip(asked, given, strict=True))


def asked_of(config):
    return [config.replicas, config.min_replicas, config.max_replicas, config.threads]


def test_what_is_for_the_owner_to_say_is_not_taken():
    found = merged(Config({"depth": 1, "trust": ["os:system"]}), trust=("os:system",))

    assert found.trust == ()
    assert "trust" not in found.options
    untouched = {
        "isolation",
        "pin",
        "preload",
        "alias",
        "memory_estimate_bytes",
        "environment",
        "requirements",
    }
    assert untouched.isdisjoint(bundles.Config.__annotations__)
    plain = UploadRequest()
    assert all(getattr(found, name) == getattr(plain, name) for name in untouched)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("numpy", "2.1.0 --index-url http://evil"),
        ("numpy", "2.1.0\nevil"),
        ("numpy @ http://evil", "1"),
        ("-r evil", "1"),
        ("", ""),
        ("numpy", "x" * 1000),
    ],
)
def test_a_lock_holds_names_and_versions_only(name, version):
    environment = FrozenEnvironment("3.11", (Locked(name, version), Locked("scipy", "1.14.1")))

    assert merged(environment=environment).constraints == ("scipy==1.14.1",)
    assert merged(environment=environment).python == ""


def test_what_was_asked_for_there_is_told_and_not_installed():
    asked = (
        Requirement("pandas", "==2.2", OWNER),
        Requirement("numpy", ">=1", "the file"),
        Requirement("; x", "", OWNER),
    )
    bundle = bundle_of(environment=FrozenEnvironment("3.11.7", LOCK, asked))
    found, notes = merge(UploadRequest(filename="b"), (), bundle, LARGE)

    assert found.requirements == ()
    assert [note.split(". ")[0] for note in notes] == ["Where it was frozen its owner asked for pandas"]
    assert merge(UploadRequest(filename="b", requirements=("Pandas",)), (), bundle, LARGE)[1] == ()


@pytest.mark.parametrize(
    ("there", "notes"),
    [
        (None, []),
        (TOLD, []),
        (TOLD | {"later": 1, "classes": ["a"]}, []),
        (TOLD | {"inputs": []}, [CHANGED]),
        ({"inputs": 3, "outputs": [4]}, [CHANGED]),
    ],
)
def test_another_signature_than_there_is_told(there, notes):
    assert Delivery(UploadRequest(), None, bundle_of(signature=there)).told(SIGNATURE) == notes


def test_trusted_names_are_told_and_not_believed():
    told = Delivery(UploadRequest(), None, bundle_of(trust=("mine:Scaler", "\x1b[31m:x", "a b:c")))
    error = told.explained(UnsafeArtifact("It uses mine:Scaler.", hint="--trust mine:Scaler"))

    assert error.details["trusted_where_frozen"] == ["mine:Scaler"]
    assert error.hint.startswith("--trust mine:Scaler Where it was frozen its owner trusted mine:Scaler;")


async def test_an_inspector_is_asked_as_always(tmp_path, artifact):
    asked = []

    @hookimpl
    def prism_inspect_artifact(artifact, loader, trust):
        asked.append((artifact.path.read_bytes(), loader.name, trust))
        return ()

    module = SimpleNamespace(prism_inspect_artifact=prism_inspect_artifact)
    async with open_desk(tmp_path, plugin_set(module)) as desk:
        await taking(desk)(packed(bundle_of(artifact, trust=("os:system",)), artifact), environment="server")

    assert asked == [(b"weights", "toy", ())]


# --- refused -------------------------------------------------------------------------------


def entry(name, data=b"", kind=tarfile.REGTYPE, size=None, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data) if size is None else size, link
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


def head_of(bundle):
    return entry(bundles.HEAD, bundles.encode(bundle))


A, END = bundles.ARTIFACT, bytes(1024)
GOOD = entry(A, b"weights")


@pytest.mark.parametrize(
    ("after", "error", "why"),
    [
        (b"", ArtifactError, "more than one artifact, or none"),
        (entry("other", b"weights"), ArtifactError, "more than one artifact, or none"),
        (GOOD + entry("other"), ArtifactError, "more than one artifact, or none"),
        (GOOD + GOOD, UnsafeArtifact, "same name twice"),
        (GOOD + entry(f"{A}/below"), UnsafeArtifact, "same name twice"),
        (entry(f"{A}/x", b"weights"), ArtifactError, "not of the kind that it names"),
        (entry("../artifact", b"weights"), UnsafeArtifact, "leads out"),
        (entry("/etc/artifact", b"weights"), UnsafeArtifact, "leads out"),
        (
            entry(A, kind=tarfile.SYMTYPE, link="/etc/passwd"),
            UnsafeArtifact,
            "neither a file nor a directory",
        ),
        (entry(A, kind=tarfile.LNKTYPE, link=bundles.HEAD), UnsafeArtifact, "neither a file nor a directory"),
        (entry(A, kind=tarfile.CHRTYPE), UnsafeArtifact, "neither a file nor a directory"),
        (entry(A, b"weighty"), ArtifactError, "has the digest"),
        (entry(A, b"weights", size=6), ArtifactError, "has the digest"),
        (entry(A, b"weights", size=1 << 40), ArtifactTooLarge, "this server takes"),
        (GOOD[:515], ArtifactError, "whole"),
        (GOOD[:300], ArtifactError, "more than one artifact, or none"),
    ],
)
async def test_a_bad_bundle_is_refused_and_leaves_nothing(take, desk, artifact, after, error, why):
    with pytest.raises(error, match=why) as caught:
        await take(head_of(bundle_of(artifact)) + after + (END if len(after) % 512 == 0 else b""))

    assert "reeze" in caught.value.hint or "made anew" in caught.value.hint
    assert caught.value.details.get("step") == "store"
    assert desk.files == []


@pytest.mark.parametrize("digest", ["sha256:00", "../../etc/passwd", "x" * 1000])
async def test_a_digest_is_compared_and_never_a_path(take, desk, artifact, digest):
    wrong = attrs.evolve(bundle_of(artifact), artifact=FrozenArtifact("a.toy", digest, 7, False))
    with pytest.raises(ArtifactError, match="has the digest"):
        await take(packed(wrong, artifact))

    assert desk.files == []


async def test_a_size_beyond_the_servers_is_refused_before_it_is_unpacked(take, artifact):
    large = attrs.evolve(bundle_of(artifact), artifact=FrozenArtifact("a.toy", "sha256:00", 1 << 30, False))
    with pytest.raises(ArtifactTooLarge, match=str(1 << 30)):
        await take(packed(large, artifact))


async def test_a_loader_that_is_not_here(take, artifact):
    data = packed(bundle_of(artifact, loader="catboost", plugin="prism-catboost 2.0"), artifact)
    with pytest.raises(UnknownPlugin, match=r"'catboost' of 'prism-catboost 2\.0'"):
        await take(data)

    assert (await take(data, loader="toy", environment="server")).manifest.loader == "toy"


@pytest.mark.parametrize("name", ["a\x1b[2Jb.toy", "n" * 300, "a\nb"])
def test_the_name_of_an_artifact_is_a_name(tmp_path, artifact, name):
    said = attrs.evolve(bundle_of(artifact), artifact=FrozenArtifact(name, "sha256:00", 7, False))
    (tmp_path / "bundle").write_bytes(packed(said, artifact))
    with pytest.raises(ArtifactError, match="the name of its artifact"):
        read(tmp_path / "bundle")


def test_what_a_bundle_says_is_not_read_beyond_its_bound(tmp_path):
    (tmp_path / "bundle").write_bytes(entry(bundles.HEAD, b"", size=bundles.MAX_HEAD_BYTES + 1) + END)
    with pytest.raises(ArtifactError, match="too long"):
        read(tmp_path / "bundle")


def test_every_cut_is_noticed(tmp_path, artifact):
    """Of what a bundle says of itself; of its artifact the digest is compared."""
    data = packed(bundle_of(artifact), artifact)
    for length in range(512, 512 + len(bundles.encode(bundle_of(artifact))), 97):
        (tmp_path / "bundle").write_bytes(data[:length])
        with pytest.raises(ArtifactError):
            read(tmp_path / "bundle")


def test_the_tar_can_be_looked_into(artifact):
    data = packed(bundle_of(artifact), artifact)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == [bundles.HEAD, bundles.ARTIFACT]
