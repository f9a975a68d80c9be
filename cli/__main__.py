"""The entry of ``python -m cli``, or of ``python -m sparserec_np_cli``.

The former is its name in a checkout, the latter where it is installed.
"""

from .main import main

main()
