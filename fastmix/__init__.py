"""fastmix: a high-throughput mix-network node and its batched Sphinx library (`fastmix.sphinx`)."""
