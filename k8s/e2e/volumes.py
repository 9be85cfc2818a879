"""Volumes for claims: directories of the node, made when they are asked for, as the provisioner of a cluster does."""

import contextlib
import pathlib
import threading

CLASS = "directories"


class Volumes:
    """Makes volumes until the control plane stops."""

    def __init__(self, plane, node, directory):
        self.plane, self.node, self.directory = plane, node, pathlib.Path(directory)
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        made = {"metadata": {"name": CLASS, "annotations": default}, "provisioner": "vectordb.io/directories", "reclaimPolicy": "Retain"}
        plane.ask("POST", "/apis/storage.k8s.io/v1/storageclasses", made)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while not self.plane.stopping.wait(0.2):
            with contextlib.suppress(OSError, self.plane.Refused):
                for claim in self.plane.ask("GET", "/api/v1/persistentvolumeclaims")["items"]:
                    if claim["status"]["phase"] == "Pending" and "deletionTimestamp" not in claim["metadata"]:
                        self.make(claim)

    def make(self, claim):
        meta, spec = claim["metadata"], claim["spec"]
        place = self.directory / meta["uid"]
        place.mkdir(parents=True, exist_ok=True)
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [self.node]}
        volume = {
            "capacity": spec["resources"]["requests"],
            "accessModes": spec["accessModes"],
            "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]},
            "local": {"path": str(place)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        }
        with contextlib.suppress(self.plane.Refused):
            # It may have been made a moment ago.
            self.plane.ask("POST", "/api/v1/persistentvolumes", {"metadata": {"name": f"volume-{meta['uid']}"}, "spec": volume})
