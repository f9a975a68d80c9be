"""``python -m cli`` in a checkout, ``python -m sparserec_np_cli`` where it is installed."""

from .main import main

main()
