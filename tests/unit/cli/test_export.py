"""What is exported of a version: names, manifests, build contexts; pure, and without an engine."""

import json
import re
from types import SimpleNamespace

import attrs
import pytest
import yaml

from prism_core.appliances import ImageBuilder
from prism_core.bundle import Bundle, Config, FrozenArtifact, FrozenEnvironment, Locked
from prism_core.cli.exporting.alone import Alone, tag_of
from prism_core.cli.exporting.containerfile import lock_of, text_of, write_files
from prism_core.cli.exporting.exporting import builder_of
from prism_core.cli.exporting.kserve import manifest_of, name_of, resources_of
from prism_core.errors import PluginError, UnknownPlugin
from prism_core.manifest import Batching, Manifest
from prism_core.protocols import ReplicaSpec

LOCK = (Locked("scikit-learn", "1.5.2"), Locked("attrs", "25.1"))
CHURN = Bundle(
    model="churn",
    version=3,
    created=1.0,
    artifact=FrozenArtifact("churn_model.pkl", "sha256:ab", 7, False),
    loader="sklearn",
    plugin="prism-sklearn 0.1.0",
    config=Config({"outputs": "predictions"}, threads=2, timeout_s=2.5, batching=Batching(max_batch_rows=9)),
    environment=FrozenEnvironment("3.11.7", LOCK),
    trust=("mine:Scaler",),
)
ALONE = Alone(CHURN, ("sklearn=prism_sklearn",), ("prism-core", "prism-sklearn"))


def configured(**facts):
    return attrs.evolve(CHURN, config=attrs.evolve(CHURN.config, **facts))


def test_the_runtime_reads_what_is_written(tmp_path):
    (tmp_path / "fetched").write_bytes(b"weights")
    write_files(ALONE, tmp_path / "fetched", tmp_path / "prism")
    spec = ReplicaSpec.from_json((tmp_path / "prism/spec.json").read_bytes())
    manifest = Manifest.read(tmp_path / "prism/manifest.json")

    assert (tmp_path / "prism/artifact").read_bytes() == b"weights"
    assert (str(spec.manifest), str(spec.artifact)) == ("/prism/manifest.json", "/prism/artifact")
    assert (manifest.model, manifest.version, manifest.timeout_s) == ("churn", 3, 2.5)
    assert (manifest.options, manifest.batching) == (
        {"outputs": "predictions", "trust": ["mine:Scaler"]},
        Batching(max_batch_rows=9),
    )


def test_whoever_runs_in_the_image_can_read_it(tmp_path):
    (tmp_path / "fetched" / "sub").mkdir(parents=True)
    (tmp_path / "fetched" / "sub" / "w").write_bytes(b"w")
    (tmp_path / "fetched" / "sub").chmod(0o700)
    write_files(ALONE, tmp_path / "fetched", tmp_path / "prism")

    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "prism").rglob("*")}
    assert modes == {
        "artifact": 0o755,
        "sub": 0o755,
        "w": 0o644,
        "spec.json": 0o644,
        "manifest.json": 0o644,
    }


def test_a_containerfile():
    lines = text_of(ALONE).splitlines()
    words = [line.split()[0] for line in lines if not line.startswith(("#", " "))]

    assert "FROM docker.io/library/python:3.11-slim" in lines
    assert words.index("USER") > words.index("RUN")
    assert {"USER 10001:10001", "EXPOSE 8080", "ENV OMP_NUM_THREADS=2", "ENV PORT=8080"} <= set(lines)
    entry = json.loads(lines[-1].removeprefix("ENTRYPOINT "))
    assert entry == ["python", "-P", "-m", "prism_core.runtime", "/prism/spec.json", "--http"]
    probe = next(line for line in lines if line.startswith("HEALTHCHECK"))
    assert "/v2/health/ready" in json.loads(probe.partition(" CMD ")[2])[-1]
    assert 'LABEL prism.model="churn/3"' in lines


def test_a_lock_is_sorted_and_exact():
    assert lock_of(ALONE).splitlines()[1:] == ["attrs==25.1", "scikit-learn==1.5.2"]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("churn", "localhost/prism/churn:3"),
        ("a._b", "localhost/prism/a_b:3"),
        ("a..b--c__", "localhost/prism/a.b-c:3"),
    ],
)
def test_a_name_that_registries_take(model, name):
    found = tag_of(attrs.evolve(CHURN, model=model))

    assert found == name
    # As the distribution specification has it.
    assert re.fullmatch(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", found.rpartition("/")[2].partition(":")[0])


def test_what_an_engine_is_to_build(tmp_path):
    appliance = ALONE.appliance(tmp_path, "churn:3", None)

    assert (appliance.model, appliance.python_version) == ("churn/3", "3.11.7")
    assert appliance.lock == (("scikit-learn", "1.5.2"), ("attrs", "25.1"))
    assert appliance.distributions == ("prism-core", "prism-sklearn")


# --- KServe ----------------------------------------------------------------------------------


def test_an_inference_service():
    manifest = manifest_of(CHURN, "registry.example/churn:3")
    (container,) = manifest["spec"]["predictor"]["containers"]

    assert (manifest["apiVersion"], manifest["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert manifest["metadata"]["name"] == "churn"
    assert (container["name"], container["image"]) == ("kserve-container", "registry.example/churn:3")
    assert container["ports"] == [{"name": "http1", "containerPort": 8080, "protocol": "TCP"}]
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8080}
    assert container["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": 8080}
    assert container["securityContext"]["runAsNonRoot"] is True
    assert manifest["spec"]["predictor"]["timeout"] == 3
    assert yaml.safe_load(yaml.safe_dump(manifest)) == manifest


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        ({}, (1, 1)),
        ({"replicas": 3}, (3, 3)),
        ({"min_replicas": 0, "max_replicas": 4}, (0, 4)),
        ({"min_replicas": 0}, (0, 1)),
        ({"min_replicas": 2}, (2, 2)),
    ],
)
def test_how_many_replicas_there_are(facts, counts):
    predictor = manifest_of(configured(**facts), "x")["spec"]["predictor"]

    assert (predictor["minReplicas"], predictor["maxReplicas"]) == counts


def test_what_the_container_may_use():
    assert resources_of(CHURN) == {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}
    limited = resources_of(configured(memory_limit_bytes=(512 << 20) + 1))
    assert limited["limits"] == {"cpu": "2", "memory": "513Mi"}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("churn", "churn"),
        ("Churn_v.2", "churn-v-2"),
        ("9lives", "m-9lives"),
        ("a" * 70, "a" * 63),
        ("x.", "x"),
    ],
)
def test_a_name_that_kubernetes_takes(model, name):
    assert name_of(model) == name
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)  # KServe's own check


# --- who builds --------------------------------------------------------------------------------


def engines(**reasons):
    def builder(name, reason):
        return ImageBuilder(name, build=lambda cli, appliance: None, available=lambda: reason)

    return SimpleNamespace(image_builders={name: builder(name, reason) for name, reason in reasons.items()})


def test_the_first_engine_that_works_builds():
    assert builder_of(engines(a="a is missing.", b="", c=""), "").name == "b"
    assert builder_of(engines(a="", b=""), "b").name == "b"


@pytest.mark.parametrize(
    ("reasons", "asked", "error", "why"),
    [
        ({}, "", UnknownPlugin, "no plugin offers to"),
        ({"a": "a is missing."}, "", UnknownPlugin, "a: a is missing"),
        ({"a": "a is missing."}, "a", PluginError, "a is missing"),
        ({"a": ""}, "b", UnknownPlugin, "'b'"),
    ],
)
def test_no_engine_is_told_with_what_to_do_instead(reasons, asked, error, why):
    with pytest.raises(error, match=why) as caught:
        builder_of(engines(**reasons), asked)
    if error is not UnknownPlugin or not asked:
        assert "--containerfile" in caught.value.hint


@pytest.mark.parametrize("flags", [(), ("--image", "--kserve"), ("--kserve", "--containerfile", "x")])
def test_one_way_out_is_said(prism, flags):
    done = prism("export", "churn", *flags)

    assert done.exit_code == 2
    assert "Say one of --image, --kserve and --containerfile DIR." in done.stderr
