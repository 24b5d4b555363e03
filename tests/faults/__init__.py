"""Faults made on purpose: is anything lost? `python -m tests.faults` is the long form, test_faults.py the short one.

Nothing is lost where the same command afterwards finishes the job with the bytes of an undisturbed run, or where a
refusal says in one line what is wrong; where no process of ours is left, no half file stands under a final name, and
nobody is shown a traceback.
"""
