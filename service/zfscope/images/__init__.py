"""Pixels in and out: safe decoding, the paper's preprocessing, rendering to PNG."""
