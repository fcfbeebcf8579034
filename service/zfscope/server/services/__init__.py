"""The RPCs, a file for each service: decode, call, encode."""
