"""A node of Kubernetes on this machine: kubelet, kube-proxy, containerd and runc, with Debian's network plugins.

It needs namespaces of its own for network, mounts and processes, as by `unshare --net --mount --pid --fork`: directories that the
programs know by name are its own there, and all that is left of them at the end is what no process holds, which is taken away here.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import image
import names
import network
import volumes

NAME = "node-0"
PREFIX = "vectordb-node-"
PLUGINS = os.environ.get("CNI_BIN", "")
CGROUPS = pathlib.Path("/sys/fs/cgroup")
# Where programs write that do not ask; each is a directory of the test here.
OWN = ["/var/lib", "/var/log", "/run"]
CONTAINERD = """
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/e2e/pause:1"
  # Not everybody may make a process less likely to be killed.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{directory}"
"""
BRIDGE = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True}
BRIDGE["ipam"] = {"type": "host-local", "ranges": [[{"subnet": network.PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}


def groups(directory):
    """The control group of a node in each hierarchy."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / directory.name]
    return [each / directory.name for each in CGROUPS.iterdir() if each.is_dir() and not each.is_symlink()]


def take_away(directory):
    for group in groups(directory):
        for path, _, _ in os.walk(group, topdown=False):
            os.rmdir(path)
    shutil.rmtree(directory)


def sweep():
    """Takes away what a test has left that was killed; its processes and mounts went with its namespaces."""
    for left in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with open(left / "lock", "w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            take_away(left)


class Node:
    """The programs, and what tests ask of them."""

    def __init__(self, plane, images):
        self.plane = plane
        self.images = images
        sweep()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX))
        self.lock = open(self.directory / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def __enter__(self):
        try:
            self.mount()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def mount(self):
        for place in OWN:
            own = self.directory / place.strip("/").replace("/", "-")
            own.mkdir()
            network.command("mount", "--bind", own, place)
        for setting in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
            pathlib.Path("/proc/sys", setting).write_text("1")
        for each in groups(self.directory):
            each.mkdir()
            for needed in ("cpuset.cpus", "cpuset.mems"):
                # In the first version of control groups a new one may use no processor until it is told which.
                if (each / needed).exists() and (each.parent / needed).exists():
                    (each / needed).write_text((each.parent / needed).read_text())

    def start(self):
        plane, directory = self.plane, self.directory
        (directory / "network").mkdir()
        (directory / "network/pods.conflist").write_text(json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [BRIDGE]}))
        (directory / "containerd.toml").write_text(CONTAINERD.format(plugins=PLUGINS, directory=directory / "network"))
        plane.run("containerd", "--config", directory / "containerd.toml")
        plane.wait("containerd", lambda: subprocess.run(["ctr", "version"], capture_output=True).returncode == 0)
        self.bring("e2e/pause:1", *image.program(pathlib.Path(os.environ["KUBERNETES_BIN"], "pause")))
        for name, root in self.images.items():
            self.bring(name, pathlib.Path(root).read_bytes(), image.settings(image.DOCKERFILE.read_text()))
        names.Names(plane, network.DNS)
        volumes.Volumes(plane, NAME, directory / "volumes")
        plane.run("kube-scheduler", f"--kubeconfig={plane.kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1")
        plane.run(
            "kubelet", f"--kubeconfig={plane.kubeconfig}", f"--config={self.settings('kubelet', self.kubelet())}", f"--node-ip={network.NODE}",
            f"--hostname-override={NAME}", "--node-labels=topology.kubernetes.io/zone=a",
        )  # fmt: skip
        plane.run("kube-proxy", f"--config={self.settings('kube-proxy', self.proxy())}")
        plane.wait("the node", self.ready, 120)

    def settings(self, name, content):
        file = self.directory / f"{name}.json"
        file.write_text(json.dumps(content))
        return file

    def kubelet(self):
        found = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
        # Nobody else is in this network.
        found |= {"authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}}, "authorization": {"mode": "AlwaysAllow"}}
        found |= {"containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock", "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{self.directory.name}"}
        # As where root has not all the rights of root.
        found |= {"featureGates": {"KubeletInUserNamespace": True}, "oomScoreAdj": 0, "failSwapOn": False}
        found |= {"clusterDNS": [network.DNS], "clusterDomain": "cluster.local", "resolvConf": ""}
        # The machine is somebody else's too: a full disk is no reason to evict pods.
        found |= {"evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"}}
        return found | {"imageGCHighThresholdPercent": 100}

    def proxy(self):
        found = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables"}
        found |= {"clientConnection": {"kubeconfig": str(self.plane.kubeconfig)}, "clusterCIDR": network.PODS, "hostnameOverride": NAME}
        # These settings are those of the whole machine.
        return found | {"conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"}}

    def ready(self):
        conditions = self.plane.ask("GET", f"/api/v1/nodes/{NAME}")["status"]["conditions"]
        return {"type": "Ready", "status": "True"} in [{key: each[key] for key in ("type", "status")} for each in conditions]

    def bring(self, name, layer, config):
        """An image, as if it had been pulled."""
        archive = self.directory / "image.tar"
        image.write(archive, f"docker.io/{name}", layer, config)
        network.command("ctr", "--namespace", "k8s.io", "images", "import", archive)
        archive.unlink()

    def __exit__(self, *_):
        self.plane.stop()
        # Of this namespace all is ours: what remains are containers, and who watches over them.
        assert os.getpid() == 1, "these are no processes of our own"
        others = [int(each.name) for each in pathlib.Path("/proc").iterdir() if each.name.isdigit() and each.name != "1"]
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Whose parents are gone are children of this process.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
        places = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
        for place in reversed(places):
            if any(place == own or place.startswith(f"{own}/") for own in OWN):
                subprocess.run(["umount", "--lazy", place], capture_output=True)
        take_away(self.directory)


class Pods:
    """What tests ask of the pods of a namespace on a node."""

    def __init__(self, plane, namespace):
        self.plane, self.namespace = plane, namespace

    def exec(self, name, *arguments):
        return self.plane.kubectl("-n", self.namespace, "exec", name, "--", "vectordb", *arguments, check=False, seconds=600)

    def logs(self):
        """The ends of the logs of all containers, and what is told of the pods."""
        files = sorted(pathlib.Path("/var/log/pods").glob(f"{self.namespace}_*/*/*.log"), key=lambda path: path.stat().st_mtime)
        told = [f"--- {path.parents[1].name} {path.stem}\n{path.read_text()[-2500:]}" for path in files[-8:]]
        told.append(self.plane.kubectl("-n", self.namespace, "get", "pods,pvc,events", "-o", "wide", check=False).stdout[-6000:])
        return "\n".join([*told, self.plane.log("kubelet")])

    def end(self):
        """The node ends with everything."""
