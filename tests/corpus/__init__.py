"""Files as clients really send them, and what the README promises for each. No outcome is computed by the product."""
