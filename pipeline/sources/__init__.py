"""Videos that no video file holds: arrays, stacks of images, episodes of a data set, rows of a list."""
