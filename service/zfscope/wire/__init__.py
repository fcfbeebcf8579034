"""Wire format shared by client and server: tensors, enums, images, statuses, credentials and settings."""
