"""NVIDIA GPUs, through CuPy: each op's ``compute`` on the device's arrays."""
