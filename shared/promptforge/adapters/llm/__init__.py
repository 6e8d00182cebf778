"""One file a provider, named as the API names it, each with `build(settings, clock, rng) -> Provider`."""
