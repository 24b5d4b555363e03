"""Videos in, a trained recurrent generator and rendered videos out: the stages, the library, the command line."""
