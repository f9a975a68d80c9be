"""What the library asks of the machine: files, memory, threads."""
