"""Pure rules: jobs, chunks, lines and limits, and how they may change.

Nothing here has input or output.
"""
