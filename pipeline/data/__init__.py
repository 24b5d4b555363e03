"""What videos become: arrays, the frame store, clips, degradations, and what each task makes of them."""
