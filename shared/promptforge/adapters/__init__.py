"""The ports made real, one technology a folder. Only `promptforge.app` and `promptforge.local` import them."""
