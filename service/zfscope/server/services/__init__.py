"""gRPC services, one module each; a method decodes the request, makes the call and encodes the result."""
