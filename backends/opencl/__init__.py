"""OpenCL devices, through PyOpenCL: generated kernels, whole graphs at once."""
