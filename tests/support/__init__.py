"""What tests, demo and benchmark share: recordings, their amplification, drawn trees, a server."""
