"""The library's use of the machine: files, memory, threads."""
