"""Pure rules of the business: what a job, a chunk and a line are, and how they may change. No input or output."""
