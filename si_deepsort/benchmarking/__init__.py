"""
What a sorter is worth against ground truth, with uncertainty: recordings, runs, scores, reports.

The same code serves `si-deepsort benchmark` and the scripts of the folder `benchmarks/`.
"""
