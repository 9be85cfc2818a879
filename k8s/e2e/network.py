"""The network of the tests, in a namespace of their own: `unshare --net`."""

import subprocess

# The node, where the API is found; something that belongs to no cluster; who knows the names; pods; services.
NODE, ELSEWHERE, DNS, PODS, SERVICES = "10.76.0.1", "10.76.0.2", "10.76.0.10", "10.77.0.0/16", "10.96.0.0/16"
# Of the API, the first of the services.
API = "10.96.0.1"


def command(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}"


def up():
    """Addresses of this side."""
    command("ip", "link", "set", "lo", "up")
    for address in (NODE, ELSEWHERE, DNS):
        command("ip", "address", "add", f"{address}/32", "dev", "lo")
