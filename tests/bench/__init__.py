"""CPU per span of every stage. A script, not a test: `make bench`."""
