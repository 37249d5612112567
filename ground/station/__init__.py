"""What an operator sees of the archive: mosaics, indices of detections, the report. Reads the archive's STAC items."""
