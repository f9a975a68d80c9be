"""The server: asks the silos pass by pass, and writes the model."""

from __future__ import annotations

import json
import logging

from flwr.app import Context
from flwr.serverapp import Grid

from sparserec_np import Config
from sparserec_np.data.item_list import read_items
from sparserec_np.federated.flower import Asking, run_passes, server_app
from sparserec_np.federated.server import Server
from sparserec_np.federated.ways import WAYS
from sparserec_np.training.run_directory import save_run

LOG = logging.getLogger("flwr")


def run(grid: Grid, context: Context) -> None:
    """Learns as the configuration of the run says."""
    given = context.run_config
    config = Config(dim=given["dim"], entries=given["entries"], seed=given["seed"])
    item_ids, way = read_items(given["items"]), WAYS[given["protocol"]]
    server = Server(item_ids, way, config, given["clients"], given["enough"])
    asking = Asking(given["nodes"], given["timeout"])
    run_passes(server, grid, asking, lambda record: LOG.info("%s", json.dumps(record)))
    save_run(given["run"], server.finish(), server.nobody)
    LOG.info("Written to %s", given["run"])


app = server_app(run)
