"""Whatever comes in from outside, in great numbers. FUZZ_FACTOR=100 makes each test that much longer."""
