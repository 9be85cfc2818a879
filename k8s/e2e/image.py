"""Container images without Docker and without a registry: archives of the OCI's layout, as containerd imports them."""

import hashlib
import io
import json
import pathlib
import re
import shlex
import tarfile

DOCKERFILE = pathlib.Path(__file__).parents[1] / "image/local.Dockerfile"


def settings(text):
    """What a Dockerfile of one stage, which adds one archive of files, says of how the image runs."""
    found = {"Env": [], "Volumes": {}, "ExposedPorts": {}}
    for word, rest in re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE):
        match word:
            case "FROM" | "ADD":
                assert rest in ("scratch", "root.tar /"), f"{word} {rest}"
            case "ENV":
                found["Env"] += shlex.split(rest)
            case "WORKDIR":
                found["WorkingDir"] = rest
            case "USER":
                found["User"] = rest
            case "STOPSIGNAL":
                found["StopSignal"] = rest
            case "ENTRYPOINT":
                found["Entrypoint"] = json.loads(rest)
            case "VOLUME":
                found["Volumes"] |= {place: {} for place in json.loads(rest)}
            case "EXPOSE":
                found["ExposedPorts"] |= {f"{port}/tcp": {} for port in rest.split()}
            case _:
                raise AssertionError(f"what does {word} say here?")
    return found


def program(path):
    """An archive of one program, and how that runs."""
    with io.BytesIO() as made:
        with tarfile.open(fileobj=made, mode="w") as archive:
            archive.add(path, f"/{path.name}")
        return made.getvalue(), {"Entrypoint": [f"/{path.name}"]}


def write(to, name, layer, config):
    """An image of one layer, which is an archive of files, under a name."""
    blobs = {}

    def blob(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    files = blob("layer.v1.tar", layer)
    whole = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": [files["digest"]]}}
    described = blob("config.v1+json", json.dumps(whole).encode())
    manifest = blob("manifest.v1+json", json.dumps({"schemaVersion": 2, "config": described, "layers": [files]}).encode())
    named = manifest | {"annotations": {"io.containerd.image.name": name}}
    entries = {f"blobs/sha256/{digest}": content for digest, content in blobs.items()}
    entries["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()
    entries["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    with tarfile.open(to, "w") as archive:
        for entry, content in entries.items():
            found = tarfile.TarInfo(entry)
            found.size = len(content)
            archive.addfile(found, io.BytesIO(content))
