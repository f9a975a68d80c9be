"""Federated learning of items' rows: a server that sums up what clients answer, and sees no ratings table.

``client``, ``device`` and ``packets`` need NumPy alone, with ``sparserec_np.runtime`` and
``sparserec_np.errors``; the other modules are the server's.
"""
