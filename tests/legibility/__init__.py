"""RapidOCR itself reads pages; tests/test_legibility.py has what follows from what it reads.

Run by `make test-legibility`, in an environment with it; plain pytest leaves it out.
"""
