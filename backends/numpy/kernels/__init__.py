"""The numpy backend's compute kernels: typed functions on arrays, no IR.

Import what is needed from the modules; nothing here knows of graphs.
"""
