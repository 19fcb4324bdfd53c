"""
One case of a benchmark: one sorter on one recording, in a process of its own.

`python -m si_deepsort.benchmarking.case FOLDER` runs the case described in `FOLDER/case.json` and writes
`FOLDER/result.json`. The process is its own so that CPU time and memory are the sorter's alone, and so that a sorter
that crashes takes nothing with it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import spikeinterface.core as si

# Seconds that a sorter runs on before it is measured: enough for every function to be compiled.
WARM_UP_S = 10.0
# Last lines of the log of a case that died, which hold the error.
NUM_ERROR_LINES = 12


def run_case(folder: str | Path, *, timeout_s: float | None = None) -> dict:
    """
    Run the case of a folder in a process of its own, unless it has been run.

    Parameters
    ----------
    folder : str | Path
        Holds `case.json`, see `study.write_cases`.
    timeout_s : float | None, default: None
        The case fails if it takes longer.

    Returns
    -------
    dict
        The result; `status` is "done", "failed" or "not installed".
    """
    folder = Path(folder)
    done = finished_result(folder)
    if done is not None:
        return done
    (folder / "result.json").unlink(missing_ok=True)
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "si_deepsort.benchmarking.case", str(folder)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            code: int | str = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            code = f"took longer than {timeout_s:g} s"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if (folder / "result.json").exists():
        return json.loads((folder / "result.json").read_text(encoding="utf-8"))
    lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    error = "\n".join([f"The process ended without a result ({code}).", *lines[-NUM_ERROR_LINES:]])
    return write_result(folder, dict(status="failed", error=error))


def finished_result(folder: Path) -> dict | None:
    """The result of a case that need not run again: it is done and was made from the same `case.json`."""
    file = Path(folder) / "result.json"
    if not file.exists():
        return None
    result = json.loads(file.read_text(encoding="utf-8"))
    same = result.get("case") == json.loads((Path(folder) / "case.json").read_text(encoding="utf-8"))
    return result if same and result["status"] == "done" else None


def write_result(folder: Path, result: dict) -> dict:
    """Write `result.json` in one step, with the case that it belongs to."""
    result = {"case": json.loads((folder / "case.json").read_text(encoding="utf-8")), **result}
    partial = folder / f"result.partial-{os.getpid()}"
    partial.write_text(json.dumps(result, indent=1), encoding="utf-8")
    partial.replace(folder / "result.json")
    return result


def load_case_recording(case: dict) -> "tuple[si.BaseRecording, si.BaseSorting]":
    """
    Recording and true sorting of a case.

    Raises
    ------
    ValueError
        If the two do not fit each other.
    """
    from .external import load_ground_truth, unit_snr
    from .recordings import ground_truth_recording
    from .score import check_ground_truth

    source = case["recording"]
    if "folder" in source:
        recording, sorting = load_ground_truth(source["folder"])
    else:
        recording, sorting = ground_truth_recording(source["name"], source["seed"], source["duration_s"])
    check_ground_truth(recording, sorting)
    if sorting.get_property("gt_snr") is None:
        sorting.set_property("gt_snr", unit_snr(recording, sorting))
        counts = sorting.count_num_spikes_per_unit(outputs="array")
        sorting.set_property("gt_firing_rate", counts / recording.get_total_duration())
    return recording, sorting


def measure_case(folder: Path) -> dict:
    """Run the sorter of a case here and now, score it; sorters that fail are reported, not raised."""
    import spikeinterface.core as si

    from . import peers
    from .repeatable import unseeded_generators_seeded
    from .score import score_sorting

    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    name, params = case["sorter"], case["params"]
    if not peers.is_installed(name):
        return dict(status="not installed")
    si.set_global_job_kwargs(n_jobs=case["n_jobs"], progress_bar=False)
    recording, true_sorting = load_case_recording(case)
    run_folder = folder / "run"
    shutil.rmtree(run_folder, ignore_errors=True)
    if case["warm_up"]:
        _warm_up(name, recording, run_folder, params)
    cpu, start = _cpu_seconds(), time.perf_counter()
    try:
        with unseeded_generators_seeded(case["recording"].get("seed", 0)):
            sorting = peers.run_peer(name, recording, run_folder, **params)
    except Exception as error:
        lines = traceback.format_exc().splitlines()[-NUM_ERROR_LINES:]
        return dict(status="failed", error=_last_line(error), traceback=lines)
    wall_s, cpu_s = time.perf_counter() - start, _cpu_seconds() - cpu
    duration_s = recording.get_total_duration()
    shutil.rmtree(folder / "sorting", ignore_errors=True)
    # From here on the copy is read: Windows does not delete the files of the sorter's own result while they are read.
    sorting = sorting.save(folder=folder / "sorting")
    shutil.rmtree(run_folder, ignore_errors=True)
    return dict(
        status="done",
        version=peers.sorter_version(name),
        origin=recording.get_annotation("templates_origin"),
        num_channels=recording.get_num_channels(),
        duration_s=duration_s,
        wall_s=wall_s,
        cpu_s=cpu_s,
        cpu_s_per_s=cpu_s / duration_s,
        total_cpu_s=_cpu_seconds(),
        peak_memory_mb=peak_memory_mb(),
        **score_sorting(true_sorting, sorting),
    )


def _warm_up(name, recording, folder, params):
    """Run on the first seconds, so that compilation is not counted; a sorter may fail on so little, which is fine."""
    from . import peers

    end_frame = min(recording.get_num_frames(0), int(WARM_UP_S * recording.get_sampling_frequency()))
    try:
        peers.run_peer(name, recording.frame_slice(start_frame=0, end_frame=end_frame), folder, **params)
    except Exception as error:
        print(f"The warm-up failed: {type(error).__name__}: {error}")
    shutil.rmtree(folder, ignore_errors=True)


def _last_line(error: Exception) -> str:
    """What went wrong, in one line: SpikeInterface puts the whole trace of a sorter into its error."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Spike sorting failed")]
    return lines[-1].strip() if len(lines) > 1 else f"{type(error).__name__}: {error}"


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_memory_mb() -> float | None:
    """Largest resident memory in MB of this process or of one of its children; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1024.0**2 if sys.platform == "darwin" else 1024.0
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    status = Path("/proc/self/status")
    if not status.exists():
        return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    own = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return max(children, int(own.split()[1]) / 1024.0)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    case_folder = Path(sys.argv[1])
    write_result(case_folder, measure_case(case_folder))
