"""The Unix socket through which the command line talks to a running daemon.

One request per connection: a line of JSON ``{"verb", "args"}``, answered by a line ``{"result"}`` or
``{"error"}``.
"""
