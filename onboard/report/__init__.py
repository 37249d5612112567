"""Everything a person opens after a run, rebuilt from the store: GeoJSON, score.tif, summary.json, report.html."""
