"""What PromptForge asks of the world, one Protocol each. The contract of a port stands in its docstrings."""
