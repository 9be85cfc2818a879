"""The names of services and of their pods, as a cluster's DNS tells them: from what the API says at that moment."""

import re
import socket
import struct
import threading
import time

FORM = re.compile(r"(?:([a-z0-9-]+)\.)?([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local")
ADDRESSES, INTERNET = 1, 1


class Names:
    """Answers over UDP until the control plane stops."""

    def __init__(self, plane, address):
        self.plane = plane
        # Many ask at once, of the same.
        self.known = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while not self.plane.stopping.is_set():
            question, who = self.socket.recvfrom(512)
            threading.Thread(target=self.answer, args=(question, who), daemon=True).start()

    def answer(self, question, who):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        kind, network = struct.unpack_from("!HH", question, at + 1)
        try:
            found, code = self.addresses(".".join(labels)), 0
        except (OSError, self.plane.Refused):
            found, code = [], 2
        if found is None:
            found, code = [], 3
        if (kind, network) != (ADDRESSES, INTERNET):
            found = []
        # An answer, with authority and recursion, to the one question.
        head = question[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        records = [b"\xc0\x0c" + struct.pack("!HHIH", ADDRESSES, INTERNET, 1, 4) + socket.inet_aton(address) for address in found]
        self.socket.sendto(head + question[12 : at + 5] + b"".join(records), who)

    def addresses(self, name):
        """None where there is no such name."""
        when, found = self.known.get(name, (0.0, None))
        if time.monotonic() - when > 0.2:
            found = self.asked(name)
            self.known[name] = (time.monotonic(), found)
        return found

    def asked(self, name):
        parts = FORM.fullmatch(name)
        if parts is None:
            return None
        host, service, namespace = parts.groups()
        try:
            address = self.plane.ask("GET", f"/api/v1/namespaces/{namespace}/services/{service}")["spec"]["clusterIP"]
        except self.plane.Refused:
            return None
        if address != "None":
            return None if host else [address]
        endpoints = [each for each in self.plane.endpoints(namespace, service) if host in (None, each.get("hostname"))]
        return [address for each in endpoints for address in each["addresses"]] or None
