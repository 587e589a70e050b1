"""The nouns every room shares, and the rules that keep them true."""
