"""What comes in: arrays, tables, files and folders, cut into batches."""
