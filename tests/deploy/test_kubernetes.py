"""The manifests: valid by the schemas of Kubernetes, and true to the image and the service."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.inference.scheduler import PATIENCE
from service.settings import ENV_PREFIX, Settings
from tests.docker.test_compose import in_image

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu")
VERSIONS = ("1.31.0", "1.37.0")
WHOLE = [
    *FOLDER.glob("base/*.yaml"),
    FOLDER / "autoscaling" / "autoscaler.yaml",
    FOLDER / "jobs" / "claim.yaml",
]
QUEUE_METRIC = "encodec_queue_audio_seconds"

Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def built(path: Path) -> list[Manifest]:
    """What `kubectl apply -k` would apply."""
    for command in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, path], check=True, capture_output=True, text=True)
            return documents(done.stdout)
    pytest.skip("neither kustomize nor kubectl is here")


def one(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> list[Manifest]:
    return built(FOLDER / "overlays" / request.param)


@pytest.fixture
def pod(overlay: list[Manifest]) -> Manifest:
    found: Manifest = one(overlay, "Deployment")["spec"]["template"]["spec"]
    return found


@pytest.fixture
def container(pod: Manifest) -> Manifest:
    (found,) = pod["containers"]
    return dict(found)


@pytest.fixture
def settings(overlay: list[Manifest], container: Manifest) -> Settings:
    """Those of the service in a pod."""
    given = {**one(overlay, "ConfigMap")["data"]}
    given |= {variable["name"]: variable["value"] for variable in container["env"]}
    names = {name.removeprefix(ENV_PREFIX).lower(): value for name, value in given.items()}
    assert set(names) <= set(Settings.model_fields)
    return Settings(**names)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_files_follow_the_schemas(path: Path, version: str) -> None:
    for document in documents(path.read_text()):
        if document["kind"] != "Kustomization":
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_applied_follows_the_schemas(overlay: list[Manifest], version: str) -> None:
    assert len(overlay) == 7
    for document in overlay:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_wrong_field_would_be_found(overlay: list[Manifest]) -> None:
    wrong = {**one(overlay, "Deployment")}
    wrong["spec"] = {**wrong["spec"], "replica": 2}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_everything_is_in_one_namespace(overlay: list[Manifest]) -> None:
    name = one(overlay, "Namespace")["metadata"]["name"]
    others = [manifest for manifest in overlay if manifest["kind"] != "Namespace"]
    assert {manifest["metadata"]["namespace"] for manifest in others} == {name}


def test_all_selectors_find_the_pods(overlay: list[Manifest]) -> None:
    deployment = one(overlay, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    services = [m["spec"]["selector"] for m in overlay if m["kind"] == "Service"]
    sets = [one(overlay, kind)["spec"]["selector"] for kind in ("PodDisruptionBudget",)]
    chosen = [*services, *(found["matchLabels"] for found in sets)]
    chosen.append(deployment["spec"]["selector"]["matchLabels"])
    assert len(chosen) == 4
    assert all(selector.items() <= labels for selector in chosen)


def test_a_pod_has_no_rights_it_does_not_need(pod: Manifest, container: Manifest) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_every_folder_that_is_written_is_a_volume(pod: Manifest, container: Manifest) -> None:
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    written = {in_image(f"ENCODEC_{kind}_DIR") for kind in ("CACHE", "SPOOL")}
    assert set(mounted) == written | {"/tmp"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(volumes) == set(mounted.values())
    assert all(volume["emptyDir"]["sizeLimit"] for volume in volumes.values())


def test_services_do_not_become_settings(pod: Manifest) -> None:
    """The variables of a Service called `encodec` look like `ENCODEC_PORT`."""
    assert pod["enableServiceLinks"] is False


def test_requests_are_given_time_to_finish(pod: Manifest, settings: Settings) -> None:
    least = settings.shutdown_delay + settings.shutdown_grace + PATIENCE
    assert pod["terminationGracePeriodSeconds"] >= least


def test_a_pod_that_ends_is_not_ready_before_it_refuses(
    container: Manifest, settings: Settings
) -> None:
    probe = container["readinessProbe"]
    assert settings.shutdown_delay >= 2 * probe["periodSeconds"] * probe["failureThreshold"]


def test_probes_ask_what_the_service_answers(container: Manifest) -> None:
    (port,) = container["ports"]
    assert str(port["containerPort"]) == in_image("ENCODEC_PORT")
    asked = {
        kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")
    }
    assert {get["port"] for get in asked.values()} == {port["name"]}
    assert asked["startup"]["path"] == asked["readiness"]["path"] == "/health/ready"
    assert asked["liveness"]["path"] == "/health/live"


def test_pods_have_the_same_weights(settings: Settings) -> None:
    assert settings.weights != "auto"


def test_the_autoscaler_alone_says_how_many_pods_there_are(overlay: list[Manifest]) -> None:
    assert "replicas" not in one(overlay, "Deployment")["spec"]
    scaler = one(overlay, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == one(overlay, "Deployment")["metadata"]["name"]
    assert scaler["minReplicas"] >= 2  # one may end while the other works
    (metric,) = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] == QUEUE_METRIC


def test_one_metric_is_named_everywhere() -> None:
    rules = yaml.safe_load((FOLDER / "autoscaling" / "prometheus-adapter.yaml").read_text())
    (rule,) = rules["rules"]["custom"]
    assert rule["name"] == {"matches": f"^{QUEUE_METRIC}$", "as": QUEUE_METRIC}
    assert rule["seriesQuery"].startswith(QUEUE_METRIC + "{")
    assert f'"{QUEUE_METRIC}"' in (ROOT / "service" / "cluster.py").read_text()


def test_a_gpu_is_for_the_pods_of_its_overlay_alone() -> None:
    images = {}
    for name in OVERLAYS:
        (found,) = one(built(FOLDER / "overlays" / name), "Deployment")["spec"]["template"]["spec"][
            "containers"
        ]
        images[name] = found["image"]
        gpus = found["resources"]["limits"].get("nvidia.com/gpu")
        assert gpus == ("1" if name == "gpu" else None)
    assert images == {"cpu": "encodec-service:cpu", "gpu": "encodec-service:cuda"}


def test_a_limit_on_cores_is_a_whole_number() -> None:
    (found,) = one(built(FOLDER / "overlays" / "cpu"), "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    assert int(found["resources"]["limits"]["cpu"]) > 0
    assert found["resources"]["limits"]["cpu"] == found["resources"]["requests"]["cpu"]


def test_pods_that_keep_jobs_share_their_folder_and_database(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "kubernetes") / "overlays" / "cpu"
    overlay = yaml.safe_load((folder / "kustomization.yaml").read_text())
    overlay["components"].append("../../jobs")
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    manifests = built(folder)
    for document in manifests:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    claim = one(manifests, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (volume,) = [found for found in pod["volumes"] if found["name"] == "jobs"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    variables = {variable["name"]: variable for variable in container["env"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert variables[f"{ENV_PREFIX}JOBS_DIR"]["value"] == mounted["jobs"]
    database = variables[f"{ENV_PREFIX}JOBS_DATABASE"]["valueFrom"]["secretKeyRef"]
    assert not database.get("optional", False)
    assert {"jobs_dir", "jobs_database"} <= set(Settings.model_fields)
    assert {"spool", "cache", "tmp"} < set(mounted)  # those of the base are still there


def test_nothing_names_a_place_to_download_from() -> None:
    for folder, _, files in os.walk(ROOT / "deploy"):
        for name in files:
            text = (Path(folder) / name).read_text()
            assert not re.search(r"://(?!127\.)[\w-]+\.", text), name
