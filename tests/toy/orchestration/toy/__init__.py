"""A second domain, as small as one can be: tests add it to a copy of the house."""
