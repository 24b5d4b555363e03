"""What people do with a model: continue a video, translate it, at any size."""
