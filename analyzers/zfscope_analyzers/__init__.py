"""Built-in analyzers, one module or package each, registered through the same entry points as plugins."""
