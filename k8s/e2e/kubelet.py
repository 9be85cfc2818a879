"""A kubelet that runs the program itself instead of containers, under the real control plane.

What a pod says is done: arguments and variables with what they refer to, volumes by their claims, a token of the service account,
readiness, the preStop hook, the grace period. Pods have addresses of their own and names in /etc/hosts, so this works only in a
network and a mount namespace of its own: `unshare --net --mount`. What it does not show are images, limits and volumes of a cloud.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import network


def enter(directory):
    """Gives the namespaces that this runs in a network, and a file of names that can be written."""
    network.up()
    network.command("ip", "route", "add", "local", network.PODS, "dev", "lo")
    names = directory / "hosts"
    names.write_text("127.0.0.1 localhost\n")
    network.command("mount", "--bind", names, "/etc/hosts")
    return names


class Process:
    """A pod that runs here."""

    def __init__(self, pod, address, directory):
        self.pod = pod
        self.address = address
        self.directory = directory
        self.program = None
        self.ready = None
        self.stopping = False
        self.restarts = -1
        self.started = 0.0


class Kubelet:
    """Runs the pods of a namespace. `binaries` are programs by the tags of images."""

    def __init__(self, plane, namespace, binaries, directory):
        self.plane, self.namespace, self.binaries = plane, namespace, binaries
        self.directory = pathlib.Path(directory)
        self.processes = {}
        self.given = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.look, daemon=True).start()

    def ask(self, method, path, *rest):
        return self.plane.ask(method, f"/api/v1/namespaces/{self.namespace}{path}", *rest)

    def care_for(self, pod):
        """What the control plane says of a pod, now and then."""
        uid = pod["metadata"]["uid"]
        with self.lock:
            process = self.processes.get(uid)
            if process is None and "deletionTimestamp" not in pod["metadata"]:
                self.given += 1
                address = f"10.77.{1 + self.given // 250}.{1 + self.given % 250}"
                process = self.processes[uid] = Process(pod, address, self.directory / f"{pod['metadata']['name']}-{uid[:8]}")
                threading.Thread(target=self.run, args=(process,), daemon=True).start()
        if "deletionTimestamp" in pod["metadata"]:
            if process is None:
                self.gone(pod)
            elif not process.stopping:
                process.stopping = True
                grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
                threading.Thread(target=self.stop, args=(process, grace), daemon=True).start()

    def look(self):
        """Ends what the control plane has forgotten, and keeps the names, until everything stops."""
        while not self.plane.stopping.wait(0.2):
            with contextlib.suppress(OSError, self.plane.Refused):
                there = {pod["metadata"]["uid"] for pod in self.ask("GET", "/pods")["items"]}
                for uid, process in list(self.processes.items()):
                    if uid not in there:
                        # As a node does that finds a pod deleted by force.
                        self.kill(process, signal.SIGKILL)
                        del self.processes[uid]
                self.name()

    def name(self):
        lines = ["127.0.0.1 localhost"]
        for process in list(self.processes.values()):
            spec = process.pod["spec"]
            if "subdomain" in spec and not process.pod["status"].get("gone"):
                lines.append(f"{process.address} {spec['hostname']}.{spec['subdomain']} {spec['subdomain']}")
        for service in self.ask("GET", "/services")["items"]:
            if service["spec"].get("clusterIP") != "None":
                lines += [f"{address} {service['metadata']['name']}" for address in self.plane.ready_addresses(self.namespace, service["metadata"]["name"])]
        self.plane.names.write_text("\n".join(lines) + "\n")

    def environment(self, pod, container, directory):
        found = {"PATH": os.environ["PATH"]}
        for each in container.get("env", []):
            if "value" in each:
                found[each["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found.get(name[1], name[0]), each["value"])
                continue
            source = each["valueFrom"]
            if "fieldRef" in source:
                field = source["fieldRef"]["fieldPath"].removeprefix("metadata.")
                label = re.fullmatch(r"labels\['(.+)'\]", field)
                found[each["name"]] = pod["metadata"]["labels"].get(label[1], "") if label else pod["metadata"][field]
            elif "secretKeyRef" in source:
                try:
                    secret = self.ask("GET", f"/secrets/{source['secretKeyRef']['name']}")["data"]
                    found[each["name"]] = base64.b64decode(secret[source["secretKeyRef"]["key"]]).decode()
                except (self.plane.Refused, KeyError):
                    assert source["secretKeyRef"].get("optional"), f"there is no secret for {each['name']}"
        if pod["spec"].get("automountServiceAccountToken"):
            found["VECTORDB__CLUSTER__KUBERNETES__KUBECONFIG"] = str(self.token(pod, directory))
        return found

    def token(self, pod, directory):
        """What a pod is given to speak with the API: the rights of its service account."""
        path = f"/serviceaccounts/{pod['spec']['serviceAccountName']}/token"
        token = self.ask("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        config = json.loads(self.plane.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        file = directory / "kubeconfig"
        file.write_text(json.dumps(config))
        return file

    def volumes(self, process):
        """The working directory of the image: settings, and a directory for each claim, which outlives the pod."""
        spec = process.pod["spec"]
        (process.directory / "config").mkdir(parents=True, exist_ok=True)
        of = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for mount in spec["containers"][0].get("volumeMounts", []):
            volume, place = of[mount["name"]], pathlib.PurePosixPath(mount["mountPath"])
            if "persistentVolumeClaim" in volume:
                claim = self.ask("GET", f"/persistentvolumeclaims/{volume['persistentVolumeClaim']['claimName']}")
                target = self.directory / f"volume-{claim['metadata']['uid']}"
                target.mkdir(exist_ok=True)
                (process.directory / place.name).symlink_to(target)
            elif "configMap" in volume:
                settings = self.ask("GET", f"/configmaps/{volume['configMap']['name']}")["data"]
                (process.directory / "config" / place.name).write_text(settings[mount["subPath"]])

    def start(self, process, container):
        pod = process.pod
        environment = self.environment(pod, container, process.directory)
        # In place of a network namespace of its own.
        environment |= {"VECTORDB__SERVICE__HOST": process.address}
        if container.get("readinessProbe"):
            environment.setdefault("VECTORDB_URI", f"http://{process.address}:6333")
        binary = self.binaries[container["image"].rsplit(":", 1)[1]]
        arguments = [re.sub(r"\$\((\w+)\)", lambda name: environment.get(name[1], name[0]), each) for each in container.get("args", [])]
        log = open(process.directory / "log", "a")
        process.environment = environment
        process.binary = binary
        process.program = subprocess.Popen([binary, *arguments], env=environment, cwd=process.directory, stdout=log, stderr=log)
        process.restarts += 1
        process.started = time.monotonic()
        return process.program

    def run(self, process):
        pod = process.pod
        self.plane.wait("its claims", lambda: self.volumes(process) is None)
        if pod["spec"]["restartPolicy"] == "Never":
            containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
            good = all(self.start(process, container).wait() == 0 for container in containers)
            self.tell(process, "Succeeded" if good else "Failed", False)
            return
        (container,) = pod["spec"]["containers"]
        probe = container["readinessProbe"]["httpGet"]
        while not process.stopping and pod["metadata"]["uid"] in self.processes:
            if process.program is None or process.program.poll() is not None:
                if process.restarts >= 0:
                    time.sleep(1)
                try:
                    self.start(process, container)
                except (OSError, self.plane.Refused):
                    # What it needs is not there yet, and is asked for again.
                    time.sleep(1)
                    continue
            ready = self.is_ready(f"http://{process.address}:6333{probe['path']}")
            if ready != process.ready:
                process.ready = ready
                with contextlib.suppress(self.plane.Refused, OSError):
                    self.tell(process, "Running", ready)
            time.sleep(0.5)

    def is_ready(self, url):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.HTTPError):
            return False

    def tell(self, process, phase, ready):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        status = {"phase": phase, "podIP": process.address, "podIPs": [{"ip": process.address}]}
        status["conditions"] = [{"type": "Ready", "status": str(ready), "lastTransitionTime": now}]
        self.ask("PATCH", f"/pods/{process.pod['metadata']['name']}/status", {"status": status}, "application/strategic-merge-patch+json")

    def kill(self, process, with_signal):
        if process.program is not None and process.program.poll() is None:
            process.program.send_signal(with_signal)

    def stop(self, process, grace):
        """The hook, the signal that asks, and when the grace is over the one that does not."""
        until = time.monotonic() + grace
        hook = process.pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {})
        if "sleep" in hook:
            time.sleep(min(hook["sleep"]["seconds"], grace))
        elif "exec" in hook and process.program is not None:
            log = open(process.directory / "log", "a")
            arguments = [process.binary, *hook["exec"]["command"][1:]]
            with contextlib.suppress(subprocess.TimeoutExpired):
                done = subprocess.run(
                    arguments, env=process.environment, cwd=process.directory, stdout=log, stderr=log, timeout=max(1, grace - 10)
                )
                process.hook = done.returncode
        self.kill(process, signal.SIGTERM)
        while process.program is not None and process.program.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        self.kill(process, signal.SIGKILL)
        process.pod["status"]["gone"] = True
        self.gone(process.pod)

    def gone(self, pod):
        with contextlib.suppress(self.plane.Refused, OSError):
            body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
            self.ask("DELETE", f"/pods/{pod['metadata']['name']}", body)

    def exec(self, name, *arguments):
        """Runs the program in a pod, as `kubectl exec` does."""
        (process,) = [each for each in self.processes.values() if each.pod["metadata"]["name"] == name and not each.stopping]
        return subprocess.run(
            [process.binary, *arguments], env=process.environment, cwd=process.directory, capture_output=True, text=True, timeout=600
        )

    def logs(self):
        """The ends of the logs of all pods."""
        files = sorted(self.directory.glob("*/log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(f"--- {path.parent.name}\n{path.read_text()[-2500:]}" for path in files[-8:])

    def end(self):
        for process in list(self.processes.values()):
            process.stopping = True
            self.kill(process, signal.SIGKILL)
