"""The package behind the executable textbook on neural collapse.

Import the module you need: ``from ncbook import etf, ufm``. Importing ``ncbook`` itself loads nothing heavy.
"""

__version__ = "0.1.0"
