"""What client and server share: tensors, enums, images, statuses, credentials and settings of the wire."""
