"""A control plane of Kubernetes on this machine, of its real programs, with nodes that are simulated if nobody brings a real one.

etcd, kube-apiserver and kube-controller-manager run as processes here. Where nodes are simulated a thread does what a scheduler and
kubelets would do: it binds pods, calls them running and ready, or succeeded where a job's, and lets them go when they are deleted.
No container runs there.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import network

BIN = pathlib.Path(os.environ.get("KUBERNETES_BIN", "."))
KUBECTL = os.environ.get("KUBECTL", "kubectl")
TOKEN = "of-the-test"
ZONES = ["a", "b", "c"]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Refused(Exception):
    """An answer of the API that is no success."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class ControlPlane:
    """The programs, and what the tests ask of them."""

    Refused = Refused

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.programs = []
        self.url = f"https://127.0.0.1:{free_port()}"
        self.kubeconfig = self.directory / "kubeconfig"
        self.unverified = ssl._create_unverified_context()
        self.stopping = threading.Event()
        # Pods whose names begin like this do not become ready.
        self.unready = set()
        # Who runs the pods of a namespace really.
        self.kubelets = {}

    def run(self, name, *arguments):
        log = open(self.directory / f"{name}.log", "w")
        # What Debian has is not built.
        path = BIN / name if (BIN / name).exists() else pathlib.Path(shutil.which(name))
        program = subprocess.Popen([path, *arguments], stdout=log, stderr=log, cwd=self.directory)
        self.programs.append(program)
        return program

    def log(self, name):
        return (self.directory / f"{name}.log").read_text()[-3000:]

    def certify(self):
        """An authority, and the certificate of the API, which pods look at."""
        (self.directory / "openssl.cnf").write_text("[req]\ndistinguished_name=name\n[name]\n")
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout"]
        authority = [*request, "ca.key", "-out", "ca.crt", "-subj", "/CN=authority"]
        names = f"subjectAltName=DNS:kubernetes.default.svc,IP:{network.API},IP:127.0.0.1"
        api = [*request, "api.key", "-out", "api.crt", "-subj", "/CN=kube-apiserver", "-config", "openssl.cnf", "-CA", "ca.crt"]
        api += ["-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", names]
        for command in (authority, api, ["openssl", "genrsa", "-out", "sa.key", "2048"]):
            subprocess.run(command, check=True, capture_output=True, cwd=self.directory)

    def start(self, simulated):
        etcd, peers = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        self.run(
            "etcd", "--data-dir=etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
        )  # fmt: skip
        self.certify()
        (self.directory / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")
        self.run(
            "kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=0.0.0.0", f"--secure-port={self.url.rsplit(':', 1)[1]}",
            f"--advertise-address={network.NODE}", "--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP",
            "--tls-cert-file=api.crt", "--tls-private-key-file=api.key", "--authorization-mode=RBAC", "--token-auth-file=tokens.csv",
            f"--service-cluster-ip-range={network.SERVICES}",
            "--service-account-issuer=https://kubernetes.default", "--service-account-key-file=sa.key",
            "--service-account-signing-key-file=sa.key",
        )  # fmt: skip
        cluster = {"name": "it", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}
        context = {"name": "it", "context": {"cluster": "it", "user": "admin"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "it", "clusters": [cluster], "contexts": [context]}
        config["users"] = [{"name": "admin", "user": {"token": TOKEN}}]
        self.kubeconfig.write_text(json.dumps(config))
        self.wait("the API", lambda: self.ask("GET", "/readyz") is not None, 180)
        # Simulated nodes send no heartbeats, so nothing may look for them.
        controllers = "*,-node-lifecycle-controller" if simulated else "*"
        self.run(
            "kube-controller-manager", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", f"--controllers={controllers}",
            "--service-account-private-key-file=sa.key", "--root-ca-file=ca.crt", f"--secure-port={free_port()}", "--bind-address=127.0.0.1",
        )  # fmt: skip
        if simulated:
            self.simulate()

    def simulate(self):
        for number, zone in enumerate(ZONES):
            labels = {"kubernetes.io/hostname": f"node-{number}", "topology.kubernetes.io/zone": zone}
            self.ask("POST", "/api/v1/nodes", {"metadata": {"name": f"node-{number}", "labels": labels}})
        threading.Thread(target=self.nodes, daemon=True).start()

    def stop(self):
        self.stopping.set()
        for kubelet in self.kubelets.values():
            kubelet.end()
        # Who asks ends before who answers, or it would wait for the answer.
        for program in reversed(self.programs):
            program.terminate()
            try:
                program.wait(20)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def ask(self, method, path, body=None, kind="application/json"):
        """An answer of the API; text where it is not JSON."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": kind}
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.unverified) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            told = error.read().decode()
            with contextlib.suppress(ValueError):
                told = json.loads(told)["message"]
            raise Refused(error.code, told) from None
        try:
            return json.loads(text)
        except ValueError:
            return text

    def wait(self, what, done, seconds=60):
        """Until something holds; what it raises meanwhile is told if it never does."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                if done():
                    return
                last = None
            except (OSError, Refused, KeyError, IndexError) as error:
                last = error
            gone = [program.args[0].name for program in self.programs if program.poll() is not None]
            if gone:
                raise AssertionError(f"{gone[0]} ended: {self.log(gone[0])}")
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds} s for {what}: {last}")

    def kubectl(self, *arguments, given=None, check=True, seconds=120):
        command = [KUBECTL, "--kubeconfig", self.kubeconfig, *map(str, arguments)]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=seconds)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done

    def generations(self, *of):
        """How often what was wanted of each object has changed, of those that tell it."""
        items = json.loads(self.kubectl("get", "-o", "json", *of).stdout)["items"]
        found = {f"{each['kind']} {each['metadata']['name']}": each["metadata"].get("generation") for each in items}
        return {name: generation for name, generation in found.items() if generation is not None}

    def pods(self, namespace, prefix=""):
        items = self.ask("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        return {pod["metadata"]["name"]: pod for pod in items if pod["metadata"]["name"].startswith(prefix)}

    def ready(self, namespace, prefix):
        """Names of the pods that are ready."""
        conditions = {name: pod["status"].get("conditions", []) for name, pod in self.pods(namespace, prefix).items()}
        return {name for name, found in conditions.items() if {"Ready": "True"}.items() <= {c["type"]: c["status"] for c in found}.items()}

    def endpoints(self, namespace, service):
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name={service}"
        return [each for found in self.ask("GET", path)["items"] for each in found.get("endpoints") or []]

    def ready_addresses(self, namespace, service):
        """Where a service leads."""
        ready = [each for each in self.endpoints(namespace, service) if each["conditions"].get("ready")]
        return [address for each in ready for address in each["addresses"]]

    def nodes(self):
        """What schedulers and kubelets do, until told to stop."""
        while not self.stopping.wait(0.2):
            try:
                for pod in self.ask("GET", "/api/v1/pods")["items"]:
                    self.care_for(pod)
            except (OSError, Refused):
                # Somebody else was faster, or everything stops.
                continue

    def care_for(self, pod):
        meta, spec, phase = pod["metadata"], pod["spec"], pod["status"].get("phase")
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        kubelet = self.kubelets.get(meta["namespace"])
        if kubelet is not None and "nodeName" in spec:
            kubelet.care_for(pod)
        elif "deletionTimestamp" in meta:
            self.ask("DELETE", path, {"gracePeriodSeconds": 0})
        elif "nodeName" not in spec:
            number = hash(meta["uid"]) % len(ZONES)
            target = {"apiVersion": "v1", "kind": "Node", "name": f"node-{number}"}
            self.ask("POST", f"{path}/binding", {"metadata": {"name": meta["name"]}, "target": target})
        elif phase == "Pending":
            ends = spec["restartPolicy"] == "Never"
            ready = not ends and not any(meta["name"].startswith(prefix) for prefix in self.unready)
            status = {"phase": "Succeeded" if ends else "Running", "podIP": f"10.1.{hash(meta['uid']) % 250}.{hash(meta['name']) % 250}"}
            status["podIPs"] = [{"ip": status["podIP"]}]
            status["conditions"] = [{"type": "Ready", "status": str(ready), "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}]
            self.ask("PATCH", f"{path}/status", {"status": status}, "application/strategic-merge-patch+json")


@contextlib.contextmanager
def control_plane(simulated=True):
    with tempfile.TemporaryDirectory(prefix="control-plane-") as directory:
        plane = ControlPlane(directory)
        try:
            plane.start(simulated)
            yield plane
        finally:
            plane.stop()
