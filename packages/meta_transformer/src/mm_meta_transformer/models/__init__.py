"""The shared encoder, the networks around it, and their heads."""
