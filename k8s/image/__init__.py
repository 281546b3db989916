"""The container image without a container engine: its Dockerfile is read, its steps run in an empty folder. For tests."""
