"""Plain NumPy twins of the compiled kernels: same files, same names, same arguments.

They are the specification.
"""
