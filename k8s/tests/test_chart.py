"""What the chart makes is valid, hardened, and fits together."""

import functools
import json

import celpy
import jsonschema
import kubernetes_validate
import pytest
import yaml

import chart
import generate

VERSIONS = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
CUSTOM = json.loads((chart.HERE / "custom.json").read_text())
every_set = pytest.mark.parametrize("name", chart.SETS)


@functools.cache
def custom(kind):
    return jsonschema.Draft202012Validator({"$ref": f"#/{kind}", **CUSTOM})


@every_set
def test_lint_has_nothing_to_say(name):
    values = ["--values", chart.SETS[name]] if chart.SETS[name] else []
    chart.helm("lint", chart.CHART, "--strict", "--quiet", "--kube-version", "1.30.0", *values)


@every_set
@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(name, version):
    found = [each for each in yaml.safe_load_all(chart.text(name, f"{version}.0")) if each]
    assert len(found) > 5
    for each in found:
        if each["kind"] in CUSTOM:
            custom(each["kind"]).validate(each["spec"])
        else:
            kubernetes_validate.validate(each, version, strict=True)


def test_invalid_objects_are_found():
    """The check itself: a word that is misspelt, a kind of value, something that is missing."""
    for change in [
        lambda spec: spec.update(replica=3),
        lambda spec: spec.update(replicas="three"),
        lambda spec: spec.pop("selector"),
        lambda spec: spec["template"]["spec"]["containers"][0].update(enviroment=[]),
    ]:
        (changed,) = chart.of_kind(yaml.safe_load_all(chart.text("qdrant")), "StatefulSet")
        change(changed["spec"])
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(changed, "1.30", strict=True)
    monitor = chart.only(yaml.safe_load_all(chart.text("manifests")), "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["intervall"] = "30s"
    with pytest.raises(jsonschema.ValidationError):
        custom("ServiceMonitor").validate(monitor["spec"])


def test_an_old_kubernetes_is_refused():
    done = chart.helm("template", "qdrant", chart.CHART, "--kube-version", "1.29.9", check=False)
    assert done.returncode != 0 and "1.30" in done.stderr


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("replicaCounts: 3", "replicaCounts"),
        ("replicaCount: three", "replicaCount"),
        ("persistence: {size: 10 GB}", "size"),
        ("image: {digest: latest}", "digest"),
        ("apiKey: {secretKeyRef: {name: a, key: b}}", "apiKey"),
        ("backup: {enabled: true}", "s3.location"),
        ("s3: {location: my-bucket}", "location"),
        ("readinessProbe: {path: /}", "path"),
        ("podManagementPolicy: parallel", "podManagementPolicy"),
        ("restore: {enabled: true}", "s3.location"),
    ],
)
def test_values_that_make_no_sense_are_refused(tmp_path, values, told):
    path = tmp_path / "values.yaml"
    path.write_text(values)
    done = chart.helm("template", "qdrant", chart.CHART, "--kube-version", "1.30.0", "--values", path, check=False)
    assert done.returncode != 0 and told in done.stderr, done.stderr


def test_every_value_is_known_to_the_schema_and_the_other_way_round():
    schema = json.loads((chart.CHART / "values.schema.json").read_text())
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)


@every_set
def test_pods_keep_the_restricted_standard(name):
    found = list(chart.pods(chart.objects(name)))
    assert {"StatefulSet", "Pod"} <= {kind for kind, *_ in found}
    for kind, _, spec in found:
        assert not any(spec.get(each) for each in ("hostNetwork", "hostPID", "hostIPC")), kind
        assert spec["enableServiceLinks"] is False
        for container in spec.get("initContainers", []) + spec["containers"]:
            context = container["securityContext"]
            assert context["runAsNonRoot"] and context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]} and context["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


@every_set
def test_selectors_find_the_nodes_and_no_other_pod(name):
    found = chart.objects(name)
    selectors = [each["spec"]["selector"] for each in chart.of_kind(found, "Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in chart.of_kind(found, "PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in chart.of_kind(found, "NetworkPolicy")]
    selectors += [chart.only(found, "StatefulSet")["spec"]["selector"]["matchLabels"]]
    assert len(selectors) >= 3
    for kind, labels, _ in chart.pods(found):
        for selector in selectors:
            assert matches(selector, labels) == (kind == "StatefulSet"), (kind, labels, selector)


@every_set
def test_nothing_that_cannot_be_changed_carries_a_version(name):
    spec = chart.only(chart.objects(name), "StatefulSet")["spec"]
    fixed = [spec["selector"], spec["volumeClaimTemplates"], spec["serviceName"], spec["template"]["metadata"]["labels"]]
    assert "helm.sh" not in str(fixed) and "0.1.0" not in str(fixed)
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


@every_set
def test_references_lead_somewhere(name):
    """Service accounts, config maps and the headless service are there under the names that are used."""
    found = chart.objects(name)
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    namespaces = {each["metadata"].get("namespace") for each in found}
    assert namespaces <= {"vector-db", None}
    nodes = chart.only(found, "StatefulSet")["spec"]
    assert ("Service", nodes["serviceName"]) in names
    for _, _, spec in chart.pods(found):
        assert ("ServiceAccount", spec["serviceAccountName"]) in names
        volumes = {each["name"] for each in spec.get("volumes", [])}
        claimed = {each["metadata"]["name"] for each in nodes["volumeClaimTemplates"]}
        for container in spec["containers"]:
            assert {each["name"] for each in container.get("volumeMounts", [])} <= volumes | claimed
        for volume in spec.get("volumes", []):
            assert "configMap" not in volume or ("ConfigMap", volume["configMap"]["name"]) in names
    for ingress in chart.of_kind(found, "Ingress"):
        assert ("Service", ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]) in names
    for monitor in chart.of_kind(found, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        (service,) = [each for each in chart.of_kind(found, "Service") if matches(selector, each["metadata"]["labels"])]
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def variables(container):
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def node(name):
    """The container of the nodes."""
    return chart.only(chart.objects(name), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]


def test_nodes_are_told_who_they_are():
    container = node("manifests")
    assert container["args"] == ["--uri=http://$(POD_NAME).qdrant-headless:6335", "--bootstrap=http://qdrant-headless:6335"]
    told = variables(container)
    assert told["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert (told["VECTORDB__CLUSTER__ENABLED"], told["VECTORDB__CLUSTER__P2P__PORT"], told["RUN_MODE"]) == ("true", "6335", "production")
    assert told["VECTORDB__CLUSTER__KUBERNETES__ENABLED"] == "true"
    assert told["VECTORDB__CLUSTER__ZONE"] == {"fieldRef": {"fieldPath": "metadata.labels['topology.kubernetes.io/zone']"}}
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["/usr/bin/vectordb", "ctl", "prestop", "--linger=5"]
    assert node("production")["args"][0] == "--uri=https://$(POD_NAME).search-headless:6335"
    assert variables(node("production"))["VECTORDB__TLS__CA_CERT"] == "/qdrant/tls/ca.crt", "nodes know each other by it"
    assert "VECTORDB__TLS__CA_CERT" not in variables(node("grpc"))
    assert variables(node("production"))["VECTORDB_URI"] == "https://$(POD_NAME).search-headless:6333"
    alone = node("development")
    assert "args" not in alone and "VECTORDB__CLUSTER__ENABLED" not in variables(alone)
    assert "--snapshot=/qdrant/snapshot-restoration/documents.snapshot:documents" in node("snapshot")["args"]


def test_keys_come_from_secrets():
    told = variables(node("production"))
    assert told["VECTORDB__SERVICE__API_KEY"] == {"secretKeyRef": {"name": "keys", "key": "admin"}}
    assert told["VECTORDB__SERVICE__READ_ONLY_API_KEY"] == {"secretKeyRef": {"name": "keys", "key": "reader"}}
    assert not chart.of_kind(chart.objects("production"), "Secret")
    secret = chart.only(chart.objects("qdrant-values"), "Secret")
    assert secret["metadata"]["name"] == "qdrant-apikey" and set(secret["data"]) == {"api-key", "read-only-api-key"}
    made = chart.only(chart.objects("grpc"), "Secret")["data"]
    assert set(made) == {"api-key"} and len(made["api-key"]) > 40
    tools = [spec["containers"][0] for kind, _, spec in chart.pods(chart.objects("grpc")) if kind != "StatefulSet"]
    assert len(tools) == 3
    for tool in tools:
        assert variables(tool)["VECTORDB_API_KEY"] == {"secretKeyRef": {"name": "db-vectordb-apikey", "key": "api-key"}}
        assert variables(tool)["VECTORDB_URI"] == "http://db-vectordb:80"


def test_probes_ask_what_is_checked():
    http, grpc = node("qdrant"), node("grpc")
    assert http["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert http["livenessProbe"]["httpGet"] == http["startupProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert http["startupProbe"]["failureThreshold"] * http["startupProbe"]["periodSeconds"] == 1800
    assert all(grpc[probe]["grpc"] == {"port": 6334} for probe in ("readinessProbe", "livenessProbe", "startupProbe"))
    assert node("production")["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    old = node("qdrant-values")
    assert "readinessProbe" in old and "livenessProbe" not in old and "args" in old and "initialize.sh" not in str(old["args"])


def test_backups_are_made_checked_and_restored():
    spec = chart.only(chart.objects("manifests"), "CronJob")["spec"]
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert (spec["concurrencyPolicy"], pod["restartPolicy"]) == ("Forbid", "Never")
    assert pod["initContainers"][0]["args"] == ["backup", "--to=s3://your-bucket/qdrant-backups", "--keep=14"]
    assert pod["containers"][0]["args"] == ["verify", "--from=s3://your-bucket/qdrant-backups"]
    pod = chart.only(chart.objects("production"), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "initContainers" not in pod and pod["containers"][0]["args"][-2:] == ["--collection=documents", "--collection=products"]
    (job,) = chart.of_kind(chart.objects("grpc"), "Job")
    expected = ["restore", "--from=s3://backups", "--backup=20261126t153000000z-1f0e4c55a3b2d981", "--collection=documents:documents-old"]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == [*expected, "--replace"]


def test_settings_change_pods_and_nothing_else_does():
    def checksum(*extra):
        (found,) = chart.of_kind(yaml.safe_load_all(chart.text("qdrant", extra=extra)), "StatefulSet")
        return found["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert checksum() == checksum("--set", "additionalLabels.a=b") != checksum("--set", "config.log_level=DEBUG")


def test_manifests_are_those_of_the_chart():
    there = {path.relative_to(generate.MANIFESTS).as_posix(): path.read_text() for path in generate.MANIFESTS.rglob("*.yaml")}
    assert there == generate.manifests(), "cargo xtask k8s --write"


def test_manifests_have_the_names_that_others_rely_on():
    named = {"namespace", "storageclass", "statefulset", "service", "configmap", "pdb", "servicemonitor", "backup-cronjob"}
    files = {path.stem: list(yaml.safe_load_all(path.read_text())) for path in generate.MANIFESTS.rglob("*.yaml")}
    assert named <= set(files)
    found = [each for objects in files.values() for each in objects]
    names = {(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) for each in found}
    for kind in ["StatefulSet", "Service", "PodDisruptionBudget", "ServiceMonitor", "ConfigMap"]:
        assert (kind, "qdrant", "vector-db") in names
    assert {("Namespace", "vector-db", None), ("StorageClass", "qdrant-storage", None), ("CronJob", "qdrant-backup", "vector-db")} <= names
    (monitor,) = files["servicemonitor"]
    assert monitor["spec"]["selector"]["matchLabels"]["app"] == "qdrant"
    endpoint = monitor["spec"]["endpoints"][0]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == ("http", "/metrics", "30s")
    assert "authorization" not in endpoint, "the operator passes over a monitor whose secret is not there"
    (storage,) = files["storageclass"]
    assert storage["parameters"] == {"type": "gp3", "iops": "3000", "throughput": "125"}
    assert (storage["volumeBindingMode"], storage["allowVolumeExpansion"]) == ("WaitForFirstConsumer", True)
    container = files["statefulset"][0]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"cpu": "4", "memory": "16Gi"}}
    ports = {port["name"]: port["port"] for service in files["service"] for port in service["spec"]["ports"]}
    assert ports == {"http": 6333, "grpc": 6334, "p2p": 6335}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resources", {"limits": {"memory": "4Gi"}}),
        ("resources", {"requests": {"cpu": "8"}}),
        ("resources", {}),
        ("lifecycle", {"preStop": {"sleep": {"seconds": 3}}}),
        ("lifecycle", {}),
    ],
)
def test_what_is_said_stands_by_itself(name, said):
    """Mixed with defaults it would be a request over a limit, or a hook of two kinds, which Kubernetes refuses."""
    found = yaml.safe_load_all(chart.text("qdrant", extra=("--set-json", f"{name}={json.dumps(said)}")))
    container = chart.only([each for each in found if each], "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    assert container.get(name, {}) == said


def test_manifests_can_be_applied_in_the_order_of_their_names():
    """kubectl applies a directory by name; an object in a namespace that is not there yet is refused."""
    there = set()
    for path in sorted(generate.MANIFESTS.iterdir()):
        if path.suffix not in (".yaml", ".yml", ".json"):
            continue
        for each in yaml.safe_load_all(path.read_text()):
            if each["kind"] == "Namespace":
                there.add(each["metadata"]["name"])
            assert each["metadata"].get("namespace") in {*there, None}, f"{path.name}: {each['kind']}"
            assert each["kind"] not in ("Kustomization", "Secret"), f"{path.name} is for people"
            assert "monitoring.coreos.com" not in each["apiVersion"], f"{path.name}: an empty cluster does not know {each['kind']}"
    assert {path.stem for path in (generate.MANIFESTS / "monitoring").iterdir()} == {"prometheusrule", "servicemonitor"}


def test_kustomization_names_every_manifest():
    found = yaml.safe_load((chart.K8S / "kustomization.yaml").read_text())["resources"]
    # The namespace is in two files, and kustomize wants every object once.
    assert sorted(found) == sorted(f"manifests/{path.name}" for path in generate.MANIFESTS.glob("*.yaml") if path.name != "namespace.yaml")


class Guard:
    """The policy that guards the number of nodes, as the API server evaluates it."""

    def __init__(self, name):
        self.spec = chart.only(chart.objects(name), "ValidatingAdmissionPolicy")["spec"]
        self.environment = celpy.Environment()

    def evaluate(self, expression, known):
        program = self.environment.program(self.environment.compile(expression))
        return program.evaluate(known)

    def ask(self, before, after, data):
        """None if it is allowed, what is told otherwise."""
        params = {"metadata": {"name": "qdrant-scale"}} | ({} if data is None else {"data": data})
        objects = {"oldObject": {"spec": {"replicas": before}}, "object": {"spec": {"replicas": after}}, "params": params}
        known = {name: celpy.json_to_cel(each) for name, each in objects.items()}
        found = {each["name"]: self.evaluate(each["expression"], known) for each in self.spec["variables"]}
        known["variables"] = celpy.celtypes.MapType({celpy.celtypes.StringType(name): each for name, each in found.items()})
        (validation,) = self.spec["validations"]
        if self.evaluate(validation["expression"], known):
            return None
        return str(self.evaluate(validation["messageExpression"], known))


@pytest.mark.parametrize(
    ("before", "after", "data", "allowed"),
    [
        (3, 5, None, True),
        (3, 3, None, True),
        (3, 2, None, False),
        (3, 2, {}, False),
        (3, 2, {"other": "1"}, False),
        (3, 2, {"minReplicas": "2"}, True),
        (3, 1, {"minReplicas": "2"}, False),
        (5, 3, {"minReplicas": "3"}, True),
        (5, 2, {"minReplicas": "3"}, False),
        (3, 2, {"minReplicas": ""}, False),
        (3, 2, {"minReplicas": "two"}, False),
        (3, 2, {"minReplicas": "-1"}, False),
        (3, 2, {"minReplicas": "99999999999999999999"}, False),
        (3, 0, None, True),
        (0, 3, None, True),
    ],
)
def test_fewer_nodes_need_leave(before, after, data, allowed):
    told = Guard("manifests").ask(before, after, data)
    assert (told is None) == allowed, told
    if told is not None:
        assert f"from {before} to {after} nodes" in told and f"vectordb ctl scale-to {after}" in told
        assert f"""kubectl -n vector-db patch configmap qdrant-scale -p '{{"data":{{"minReplicas":"{after}"}}}}'""" in told
        assert "\n" not in told, "the API server leaves out messages of several lines"


def test_the_guard_watches_the_set_and_its_scale_alone():
    for name, of in [("manifests", "qdrant"), ("production", "search"), ("grpc", "db-vectordb")]:
        found = chart.objects(name)
        policy, binding = chart.only(found, "ValidatingAdmissionPolicy"), chart.only(found, "ValidatingAdmissionPolicyBinding")
        (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
        assert (rule["resources"], rule["resourceNames"], rule["operations"]) == (["statefulsets", "statefulsets/scale"], [of], ["UPDATE"])
        assert binding["spec"]["policyName"] == policy["metadata"]["name"] and binding["spec"]["validationActions"] == ["Deny"]
        (floor,) = [each for each in chart.of_kind(found, "ConfigMap") if each["metadata"]["name"] == binding["spec"]["paramRef"]["name"]]
        assert "data" not in floor, "applying it again would take back or give leave"
        assert binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "vector-db"}
