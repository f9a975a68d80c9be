"""The measuring of a model's lists: full rankings, metrics, and lists for everybody."""
