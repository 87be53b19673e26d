"""A trained run behind an address: requests and their checks, the HTTP interface, the web page, Ray Serve."""
