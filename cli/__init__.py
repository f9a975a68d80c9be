"""The command line of sparserec_np: one command a file, each of them parse, call, print."""
