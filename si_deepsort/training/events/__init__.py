"""Train networks for miniature events: the bundled one on simulated traces, others on marked recordings."""
