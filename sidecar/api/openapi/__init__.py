"""What the routes say about themselves: an OpenAPI 3.1 document, and a page made from it.

The operations are plain data, written beside the routes and not read from them: the document is
what we promise, and tests hold routes and document against each other.
"""
