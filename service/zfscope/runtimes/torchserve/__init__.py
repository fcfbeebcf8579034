"""The forward pass by TorchServe: its client, the archive that it serves, and what runs inside it.

Below the server, `runtime` and its stubs alone know gRPC: it is what TorchServe speaks.
"""
