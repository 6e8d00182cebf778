"""The documents: every command runs, every link resolves, and every code, setting, option and field has its entry."""
