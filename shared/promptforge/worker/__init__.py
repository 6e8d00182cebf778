"""Processing of chunks: one claimed chunk at a time, and what a process shares among its chunks."""
