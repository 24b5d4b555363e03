"""What people look at: the page, its panels and the contact sheet."""
