"""Quasars behind the epoch of reionisation, and what is taken for them, drawn and rendered."""
