"""Make and describe the named benchmark recordings: `python benchmarks/sorting/recordings.py [NAME ...]`."""

import argparse

from si_deepsort.benchmarking.recordings import RECIPES, cache_folder, ground_truth_recording, recording_names

__all__ = ["ground_truth_recording", "recording_names"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=recording_names())
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--duration", type=float, default=120.0, help="in s")
    arguments = parser.parse_args()
    print(f"Recordings are kept in {cache_folder()}")
    for name in arguments.names:
        for seed in arguments.seeds:
            recording, sorting = ground_truth_recording(name, seed, arguments.duration)
            snr, origin = sorting.get_property("gt_snr"), recording.get_annotation("templates_origin")
            print(
                f"{name}, seed {seed}: {RECIPES[name].description}; {recording.get_num_channels()} channels, "
                f"{recording.get_total_duration():.0f} s, {len(snr)} {origin} units, "
                f"{sorting.count_total_num_spikes()} spikes, {(snr < 5).sum()} units under SNR 5, "
                f"{((snr >= 5) & (snr < 8)).sum()} at 5-8, {(snr >= 8).sum()} above 8",
                flush=True,
            )


if __name__ == "__main__":
    main()
