"""What is asked of a model: classes, descriptions and projections of one photo."""
