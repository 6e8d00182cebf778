"""PromptForge: give it a file of prompts; get every answer back, in order, exactly once."""

__version__ = "0.1.0"
