"""Room: tables and pictures of results; they only show what other rooms computed."""
