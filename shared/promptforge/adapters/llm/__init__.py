"""One file for each provider, named as the API names it, with `build(settings, clock, rng) -> Provider`."""
