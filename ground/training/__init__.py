"""One file per thing that is trained."""
