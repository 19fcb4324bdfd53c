"""
How long the zoo takes: a first load from a Hub, a load from the cache, and the answer where there is no internet.

    python benchmarks/models/zoo.py

The Hub is the loopback server of the tests, so that the network costs nothing and only the work is measured.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # the server does not speak Xet

import torch  # noqa: E402
from loopback_hub import WRITE_TOKEN, LoopbackHub  # noqa: E402

from si_deepsort.benchmarking.provenance import provenance  # noqa: E402
from si_deepsort.benchmarking.report import write_results  # noqa: E402
from si_deepsort.nets import network_class  # noqa: E402
from si_deepsort.zoo import ModelInfo, load_model, push_to_hub  # noqa: E402

SEED = 0
NUM_REPEATS = 5


def main():
    torch.manual_seed(SEED)
    net_class = network_class("autoencoder")
    net = net_class(net_class.config_class(num_samples=64, num_channels=16, widths=(112,)))
    rows = []
    with tempfile.TemporaryDirectory() as folder, LoopbackHub().running() as hub:
        info = ModelInfo(name="megabyte", task="embedding")
        pinned = push_to_hub(net, "lab/megabyte", info=info, token=WRITE_TOKEN, endpoint=hub.endpoint)
        load_model(pinned, endpoint=hub.endpoint, cache_dir=f"{folder}/warm")
        size_kB = 4 * net.num_parameters() / 1000
        caches = [f"{folder}/{repeat}" for repeat in range(NUM_REPEATS)]
        for case in ("first load", "load from the cache"):
            hub.requests.clear()
            times = [timed(pinned, hub.endpoint, cache_dir) for cache_dir in caches]
            rows.append(
                [case, round(size_kB), round(min(times), 3), round(max(times), 3), len(hub.requests) // NUM_REPEATS]
            )
        hub.stop()
        for case, name in (("miss, pinned", "lab/other@" + "0" * 40), ("miss, tag", "lab/other@v1")):
            times = [timed(name, hub.endpoint, caches[0]) for _ in range(NUM_REPEATS)]
            rows.append([case + ", server down", None, round(min(times), 3), round(max(times), 3), 0])
    columns = ["case", "kB", "fastest (s)", "slowest (s)", "requests"]
    document = {
        **provenance(seeds=[SEED]),
        "tables": {"zoo": {"columns": columns, "rows": rows}},
    }
    write_results(document, ROOT / "benchmarks" / "results" / "zoo.json")
    for row in rows:
        print(row)


def timed(name, endpoint, cache_dir) -> float:
    start = time.perf_counter()
    try:
        load_model(name, endpoint=endpoint, cache_dir=cache_dir)
    except ConnectionError as error:
        assert "Remedy 2" in str(error)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
