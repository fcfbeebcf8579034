"""Image input and output: safe decoding, the preprocessing of the paper, and PNG figures."""
