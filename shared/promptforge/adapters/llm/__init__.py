"""One module for each provider, named as the API names it, with `build(settings, clock, rng) -> Provider`.

The other modules are shared by the providers.
"""
