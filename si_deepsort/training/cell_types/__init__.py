"""Train the bundled model of cell types, and judge it on animals that it never saw."""
