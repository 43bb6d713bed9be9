"""One of everything that another package can add to rondel, a file each.

What is registered, and each setting, has a name that begins with the package's, so that none is
ever taken: rondel refuses a name that is used twice.
"""
