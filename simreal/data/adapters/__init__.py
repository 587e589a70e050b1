"""Adapters: one module reads one kind of collection.

An adapter has ``META`` (an `simreal.data._contract.AdapterMeta`) and
``read(card, *, seed, store) -> Ingested``, which writes one store and says what it rejected.
"""
