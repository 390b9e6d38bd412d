"""How far an observer can tell two senders apart, a second time: plain Python, written from spec and not from ours.

A hundred users send two packets a second each, as one Poisson stream. Two of them have one labelled packet to send in every second
and label the next packet that they send. Packets take a random node of each layer and rest there for Exp(1/mu). The observer
knows how many packets rest in each node and writes on every packet the probability that it is labelled by the one or by the other.

    python3 epsilon.py MU LAYERS SECONDS SEED...

prints one JSON object: for the outputs that are labelled and for all outputs the mean and median of |ln p0/p1| over the finite ones,
the share of infinite ones, and the mean of each seed.
"""

import heapq
import json
import math
import random
import sys

WIDTH = 3
USERS = 100
RATE = 2.0
SETTLE_SECONDS = 60.0


def run(mu, layers, seconds, seed):
    """|ln p0/p1| of the labelled outputs and of all of them."""
    rng = random.Random(seed)
    rate = USERS * RATE
    resting = [[0] * WIDTH for _ in range(layers)]
    mass = [[[0.0, 0.0] for _ in range(WIDTH)] for _ in range(layers)]
    events = []
    order = 0
    sent = [0, 0]
    settle = max(SETTLE_SECONDS, 8.0 * layers / mu)
    found = {"labelled": [], "all": []}

    def arrive(now, layer, shares, label):
        nonlocal order
        node = rng.randrange(WIDTH)
        resting[layer][node] += 1
        for i in (0, 1):
            mass[layer][node][i] += shares[i]
        order += 1
        heapq.heappush(events, (now + rng.expovariate(mu), order, layer, node, label))

    next_sent = rng.expovariate(rate)
    while True:
        if events and events[0][0] < next_sent:
            now, _, layer, node, label = heapq.heappop(events)
            among = resting[layer][node]
            shares = [m / among for m in mass[layer][node]]
            resting[layer][node] -= 1
            mass[layer][node] = [0.0, 0.0] if among == 1 else [m - s for m, s in zip(mass[layer][node], shares)]
            if layer + 1 < layers:
                arrive(now, layer + 1, shares, label)
            elif now >= settle and max(shares) > 0.0:
                epsilon = abs(math.log(shares[0] / shares[1])) if min(shares) > 0.0 else math.inf
                found["all"].append(epsilon)
                if label:
                    found["labelled"].append(epsilon)
            continue
        now, next_sent = next_sent, next_sent + rng.expovariate(rate)
        if now > settle + seconds:
            return found
        user = rng.randrange(USERS)
        label = user < 2 and sent[user] < int(now)
        if label:
            sent[user] += 1
        arrive(now, 0, [float(label and user == i) for i in (0, 1)], label)


def summary(values):
    finite = sorted(value for value in values if value < math.inf)
    return {
        "mean": sum(finite) / len(finite),
        "median": finite[len(finite) // 2],
        "infinite": 1 - len(finite) / len(values),
    }


def main():
    mu, layers, seconds = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    runs = [run(mu, layers, seconds, int(seed)) for seed in sys.argv[4:]]
    out = {}
    for which in ("labelled", "all"):
        of_runs = [summary(found[which]) for found in runs]
        means = [one["mean"] for one in of_runs]
        out[which] = {key: sum(one[key] for one in of_runs) / len(of_runs) for key in of_runs[0]}
        out[which]["means"] = means
    print(json.dumps(out))


if __name__ == "__main__":
    main()
