"""Nine nodes and three clients, each on a host of its own, know one text: they become a network, and messages arrive."""

import time

import numpy as np

from fastmix.drills.hosts.failing import LARGE, PER_S, SMALL
from fastmix.drills.hosts.forming import FormingNetwork, shown
from fastmix.drills.hosts.layout import Layout
from fastmix.drills.hosts.site import Site, open_site, repeated_while_void, report_of
from fastmix.drills.stage.report import Options, Outcome, Report

NAME = "nine-nodes"
HELP = "Nine nodes and three clients on hosts of their own form a network from one bootstrap text, and every message arrives."
FULL_S, SHORT_S = 20.0, 3.0
LAST_S = 30.0


def run(options: Options) -> Report:
    """Nine and three for 20 s of messages; six and two for 3 s."""

    def once() -> Report:
        layout = SMALL if options.short else LARGE
        began = time.monotonic()
        with open_site(options, layout, FormingNetwork) as site:
            return perform(site, layout, time.monotonic() - began)

    return repeated_while_void(once)


def perform(site: Site, layout: Layout, formed_s: float) -> Report:
    """Messages of everyone to everyone, once each; what the nodes say of their network."""
    fleet = site.fleet
    began, sent = time.monotonic(), fleet.sent()
    fleet.send(PER_S)
    fleet.run(SHORT_S if site.options.short else FULL_S)
    sent_per_s = (fleet.sent() - sent) / (time.monotonic() - began)
    fleet.rest()
    fleet.until(lambda: not fleet.ledger.lost(), LAST_S, "messages are missing")
    told = [shown(node.state_dir) for node in fleet.nodes.values()]
    fleet.hush()
    metrics = fleet.settle()
    layers = [sum(node["layer"] == layer for node in told[0]["nodes"]) for layer in (1, 2, 3)]
    delays_s = np.array(fleet.ledger.delays_ns()) / 1e9
    outcome = Outcome({
        "formed_s": round(formed_s, 1), "nodes_by_layer": layers, "documents": len({each["hash"] for each in told}),
        "messages": fleet.ledger.n_sent, "arrived": fleet.ledger.n_arrived,
        "delay_p50_s": round(float(np.quantile(delays_s, 0.5)), 3), "delay_p99_s": round(float(np.quantile(delays_s, 0.99)), 3),
    }, {
        "all nodes believe one document": len({each["hash"] for each in told}) == 1,
        "every layer has as many nodes": layers == list(layout.widths),
        "every message arrived, at the first try": fleet.ledger.n_arrived == fleet.ledger.n_sent > 0,
        "no message came twice or from nowhere": fleet.ledger.n_doubled == fleet.ledger.n_unknown == 0,
        "no node is unused": site.options.short or all(each.forwarded for each in metrics.values()),  # 3 s: one may be avoided
    })  # fmt: skip
    return report_of(NAME, site, outcome, metrics, sent_per_s)
