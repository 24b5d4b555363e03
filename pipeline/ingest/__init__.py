"""From a folder of videos to the frame store: listing it, what is known already, workers, one video's job."""
