"""The page in the browser, and the same analyses over HTTP and JSON; a client of a service like any other."""
