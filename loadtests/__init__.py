"""What the gateway is tried against and measured with: the upstream simulator, load scenarios, benchmarks."""
