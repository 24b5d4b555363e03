"""What people do with a trained model: continue a video, or translate it, at any size and length."""
