#!/usr/bin/env python3
"""What an idle edge with the light profile costs a month, measured on its own network interface.

    measure_light.py FERRY [--minutes 10] [--preset mobile-saver] [--json FILE]

A network of `ferry` processes in network namespaces: four relays, a bridge, and two edges with `mix.light`. One edge runs the preset; the other
one runs no clock of a client (preset relay), so that nearly all it sends is what keeps connections alive. The difference is what packets cost. It is
measured while the window is open, and after it has closed.
Bytes are those of the interface without its 14 of Ethernet a frame; segmentation is done by the sender, as on a phone's line. The packet part is compared
with the formula of the specification (4,848 bytes a packet), which leaves out the acknowledgements of TCP, and must be within 8 %. Needs root
and iproute2.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

WIRE_BYTES = 4848
TOLERANCE = 0.08
# The window of an edge opens when it starts, in steps of ten minutes; a part of the first one is measured.
OPEN_MINUTES = 5
STEP_SECONDS = 600
MONTH = 30 * 24 * 3600
PREFIX = f"ferry-light-{os.getpid()}"
ETHERNET = 14


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def ip(words):
    return run("ip", *words.split())


class Lab:
    """Namespaces on one bridge; removed at the end."""

    def __init__(self):
        self.names = []
        self.wan = self.namespace("wan")
        ip(f"-n {self.wan} link add name hub type bridge")
        ip(f"-n {self.wan} link set hub up")

    def namespace(self, name):
        name = f"{PREFIX}-{name}"
        ip(f"netns add {name}")
        self.names.append(name)
        ip(f"-n {name} link set lo up")
        return name

    def host(self, number):
        name = self.namespace(str(number))
        ip(f"-n {self.wan} link add p{number} type veth peer name eth0 netns {name}")
        ip(f"-n {self.wan} link set p{number} master hub up")
        # One segment a frame, or the headers of all but the first would not be counted.
        ip(f"-n {self.wan} link set p{number} gso_max_segs 1")
        ip(f"-n {name} link set eth0 gso_max_segs 1")
        ip(f"-n {name} addr add 10.98.0.{number}/24 dev eth0")
        ip(f"-n {name} link set eth0 up")
        return name

    def close(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


class Node:
    """A ferry node in a namespace of its own."""

    def __init__(self, lab, ferry, directory, number, role, changes):
        self.number, self.role = number, role
        self.namespace = lab.host(number)
        self.dir = os.path.join(directory, f"{role}-{number}")
        self.ferry = ferry
        self.process = None
        run(ferry, "init", "--role", role, "--dir", self.dir, "--port-base", "41000")
        changes = {"mix.listen": f"10.98.0.{number}:41001", "mix.private_network": "yes", **changes}
        path = os.path.join(self.dir, "config.toml")
        with open(path) as file:
            text = file.read()
        for key, value in changes.items():
            section, name = key.split(".")
            at = text.index(f"[{section}]")
            pattern = re.compile(rf"^{name} = .*$", re.M)
            if not pattern.search(text, at):
                sys.exit(f"config.toml has no {key}")
            text = text[:at] + pattern.sub(lambda _: f"{name} = {json.dumps(value)}", text[at:], count=1)
        with open(path, "w") as file:
            file.write(text)

    def descriptor(self):
        return json.loads(run(self.ferry, "id", "--dir", self.dir))["descriptor"]

    def start(self, topology):
        with open(os.path.join(self.dir, "topology.json"), "w") as file:
            json.dump(topology, file)
        log = open(os.path.join(self.dir, "node.log"), "w")
        command = ["ip", "netns", "exec", self.namespace, self.ferry, "run", "--dir", self.dir]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def metrics(self):
        """Every counter, by name and label."""
        script = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:41002/metrics', timeout=5).read().decode())"
        text = run("ip", "netns", "exec", self.namespace, sys.executable, "-c", script)
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"}

    def usable(self):
        try:
            return self.metrics().get('mix_relays{state="usable"}', 0)
        except subprocess.CalledProcessError:
            if self.process.poll() is not None:
                with open(os.path.join(self.dir, "node.log")) as log:
                    sys.exit(f"{self.role}-{self.number} has ended:\n{log.read()}")
            return 0

    def interface(self):
        """Bytes and frames of eth0, both ways together."""
        text = run("ip", "netns", "exec", self.namespace, "cat", "/proc/net/dev")
        fields = [line.split(":")[1].split() for line in text.splitlines() if line.strip().startswith("eth0:")][0]
        return int(fields[0]) + int(fields[8]), int(fields[1]) + int(fields[9])

    def reading(self):
        size, frames = self.interface()
        metrics = self.metrics()
        sent = sum(value for name, value in metrics.items() if name.startswith("mix_packets_total{"))
        tcp = sum(value for name, value in metrics.items() if name.startswith("mix_tcp_bytes_total{"))
        return {"bytes": size - ETHERNET * frames, "sent": sent, "received": metrics.get("mix_packets_received_total", 0), "tcp": tcp}

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()


def wait(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: not after {seconds} s")
        time.sleep(0.5)


def measure(nodes, minutes):
    before = {name: node.reading() for name, node in nodes.items()}
    start = time.monotonic()
    time.sleep(minutes * 60)
    after = {name: node.reading() for name, node in nodes.items()}
    took = time.monotonic() - start
    return took, {name: {key: after[name][key] - before[name][key] for key in after[name]} for name in nodes}


def report(preset, took, used):
    month = MONTH / took
    phone, silent = used["phone"], used["silent"]
    packets = phone["sent"] + phone["received"]
    result = {
        "preset": preset,
        "seconds": round(took, 1),
        "packets_sent": phone["sent"],
        "packets_received": phone["received"],
        "bytes": phone["bytes"],
        "bytes_keep_alive": silent["bytes"],
        "packets_keep_alive": silent["sent"] + silent["received"],
        "tcp_bytes": phone["tcp"],
        "mb_a_month": round(phone["bytes"] * month / 1e6, 1),
        "mb_a_month_keep_alive": round(silent["bytes"] * month / 1e6, 1),
    }
    if packets:
        each = (phone["bytes"] - silent["bytes"]) / packets
        result["bytes_a_packet"] = round(each, 1)
        result["formula"] = WIRE_BYTES
        result["off_percent"] = round(100 * (each / WIRE_BYTES - 1), 2)
    return result


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("ferry")
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--preset", default="mobile-saver")
    options.add_argument("--json")
    options = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("measure-light: skipped: needs root and iproute2")
    lab = Lab()
    nodes = []
    try:
        with tempfile.TemporaryDirectory(prefix="ferry-light-") as directory:
            # The ports of the edges' clients and of all APIs are on loopback, of which each namespace has its own.
            light = {"mix.light": True}
            made = [Node(lab, options.ferry, directory, number, "relay", {}) for number in range(1, 5)]
            made.append(Node(lab, options.ferry, directory, 5, "bridge", {"whisper.discovery": "no"}))
            phone = Node(lab, options.ferry, directory, 6, "edge", {**light, "mix.preset": options.preset})
            silent = Node(lab, options.ferry, directory, 7, "edge", {**light, "mix.preset": "relay"})
            topology = [node.descriptor() for node in made]
            nodes = made + [phone, silent]
            for node in nodes:
                node.start(topology)
            for node in nodes:
                wait(f"{node.role}-{node.number} has its relays", lambda: node.usable() >= (3 if node.role == "relay" else 4))
            edges = {"phone": phone, "silent": silent}
            if phone.metrics().get("mix_window_open") != 1:
                sys.exit("measure-light: the window is closed already")
            result = {"open": report(options.preset, *measure(edges, OPEN_MINUTES))}
            wait("the window is closed", lambda: phone.metrics().get("mix_window_open") == 0, 2 * STEP_SECONDS)
            result["idle"] = report(options.preset, *measure(edges, options.minutes))
            for node in nodes:
                node.stop()
    finally:
        for node in nodes:
            if node.process is not None and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        lab.close()
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        os.makedirs(os.path.dirname(options.json) or ".", exist_ok=True)
        with open(options.json, "w") as file:
            file.write(text + "\n")
    off = result["open"].get("off_percent")
    if off is None:
        sys.exit("measure-light: FAIL: no packet while the window was open")
    if abs(off) > 100 * TOLERANCE:
        sys.exit(f"measure-light: FAIL: {off} % off the formula")
    print("measure-light: PASS")


if __name__ == "__main__":
    main()
