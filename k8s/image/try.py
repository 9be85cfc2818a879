"""Tries the images under the restrictions of the pods: try.py PLAIN DROP_IN. `cargo xtask image --test` runs it."""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

# As in the chart: not root, nothing but volumes can be written, no capabilities, no way to more of them.
RESTRICTED = ["--user=1000:2000", "--group-add=3000", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
RESTRICTED += ["--tmpfs=/tmp:size=256m,mode=1777", "--memory=1g", "--memory-swap=1g"]
RUN = f"try-{uuid.uuid4().hex[:8]}"


def docker(*arguments, check=True):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done


@contextlib.contextmanager
def room():
    """A network and volumes that go at the end, with all containers."""
    volumes = [f"{RUN}-{name}" for name in ("storage", "snapshots", "init")]
    docker("network", "create", "--internal", RUN)
    for volume in volumes:
        docker("volume", "create", volume)
    try:
        yield volumes
    finally:
        left = docker("ps", "--all", "--quiet", "--filter", f"network={RUN}").stdout.split()
        if left:
            docker("rm", "--force", *left)
        docker("volume", "rm", "--force", *volumes)
        docker("network", "rm", RUN)


def ask(name, method, path, body=None):
    """Over the network of the containers, where their addresses can be reached from here."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = docker("inspect", "--format", form, name).stdout.strip()
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}:6333{path}", content, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def ready(name):
    for _ in range(300):
        try:
            assert "ready" in ask(name, "GET", "/readyz")
            return
        except OSError:
            state = docker("inspect", "--format", "{{.State.Status}}", name).stdout.strip()
            if state == "exited":
                raise AssertionError(docker("logs", name).stderr + docker("logs", name).stdout)
            time.sleep(0.1)
    raise AssertionError(f"{name} does not become ready")


def stopped(name):
    """Stops as Kubernetes does; what is told is the time it took, and that it was not killed."""
    begun = time.monotonic()
    docker("stop", "--time", "60", name)
    took = time.monotonic() - begun
    code = docker("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip()
    docker("rm", name)
    assert code == "0", f"{name} ended with {code}"
    return took


def mounts(volumes):
    return [f"--volume={volume}:/qdrant/{volume.rsplit('-', 1)[1]}" for volume in volumes]


def try_plain(image, volumes):
    serve = ["run", "--detach", "--name", f"{RUN}-0", "--hostname", "qdrant-0", "--network", RUN, "--network-alias", "qdrant"]
    serve += [*RESTRICTED, *mounts(volumes[:2]), "--env", "VECTORDB__SERVICE__METRICS_PREFIX=qdrant_", image]
    docker(*serve)
    ready(f"{RUN}-0")
    # Another container finds it by its name: a static program resolves names.
    tool = docker("run", "--rm", "--network", RUN, *RESTRICTED, "--env", "VECTORDB_URI=http://qdrant:6333", image, "selftest")
    assert "as it should be" in tool.stdout, tool
    ask(f"{RUN}-0", "PUT", "/collections/documents", {"vectors": {"size": 2, "distance": "Dot"}})
    points = [{"id": n, "vector": [n, 1]} for n in range(1000)]
    ask(f"{RUN}-0", "PUT", "/collections/documents/points?wait=true", {"points": points})
    metrics = dict(line.rsplit(" ", 1) for line in ask(f"{RUN}-0", "GET", "/metrics").splitlines() if not line.startswith("#"))
    limit = float(metrics["qdrant_memory_limit_bytes"])
    assert abs(limit - (1 << 30) * 0.8) < 100, f"four fifths of a gigabyte, not {limit}"
    took = stopped(f"{RUN}-0")
    docker(*serve)
    ready(f"{RUN}-0")
    counted = json.loads(ask(f"{RUN}-0", "POST", "/collections/documents/points/count", {"exact": True}))
    assert counted["result"]["count"] == 1000, counted
    stopped(f"{RUN}-0")
    no_shell = docker("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", "true", check=False)
    assert no_shell.returncode != 0
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image).stdout) / 1e6
    print(f"{image}: {size:.1f} MB, read-only and not root: served, was found by name, stopped in {took:.1f} s, kept its data")


def try_drop_in(image, volumes):
    """As the chart of Qdrant uses its image: another container gives the volumes away, then a script starts the server."""
    user, group = "1000", "3000"
    own = ["run", "--rm", "--network", RUN, "--user=0:0", *mounts(volumes[:2]), "--entrypoint", "chown", image]
    docker(*own, "-R", f"{user}:{group}", "/qdrant/storage", "/qdrant/snapshots")
    with tempfile.TemporaryDirectory() as directory:
        files = {
            "initialize.sh": "#!/bin/sh\nNUMBER=${HOSTNAME##*-}\necho \"pod $NUMBER\"\nexec ./entrypoint.sh\n",
            "production.yaml": "service:\n  metrics_prefix: own_\n",
            "local.yaml": "service:\n  api_key: secret\n",
        }
        for name, content in files.items():
            path = pathlib.Path(directory, name)
            path.write_text(content)
            path.chmod(0o755)
        pathlib.Path(directory).chmod(0o755)
        config = [f"--volume={directory}/{name}:/qdrant/config/{name}:ro" for name in files]
        serve = ["run", "--detach", "--name", f"{RUN}-0", "--hostname", "qdrant-0", "--network", RUN, *RESTRICTED, *config, *mounts(volumes)]
        serve += ["--env", "QDRANT_INIT_FILE_PATH=/qdrant/init/.qdrant-initialized", "--entrypoint", "/bin/bash"]
        docker(*serve, image, "-c", "./config/initialize.sh")
        ready(f"{RUN}-0")
        assert "pod 0" in docker("logs", f"{RUN}-0").stdout
        docker("exec", f"{RUN}-0", "/bin/bash", "-c", "until [ -e /qdrant/init/.qdrant-initialized ]; do sleep 0.1; done")
        docker("exec", f"{RUN}-0", "sleep", "0.1")
        try:
            ask(f"{RUN}-0", "GET", "/metrics")
            raise AssertionError("config/local.yaml is not read")
        except urllib.error.HTTPError as error:
            assert error.code == 401, error
        took = stopped(f"{RUN}-0")
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image).stdout) / 1e6
    print(f"{image}: {size:.1f} MB, started by the chart's script, read its files, said that it had started, stopped in {took:.1f} s")


def main():
    plain, drop_in = sys.argv[1:]
    with room() as volumes:
        try_plain(plain, volumes)
    with room() as volumes:
        try_drop_in(drop_in, volumes)


if __name__ == "__main__":
    main()
