"""Makes the pictures in docs/images: figures, the page and the gallery."""
