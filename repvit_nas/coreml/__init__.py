"""Room: Core ML devices. Finds them, runs programs on them, and keeps what they took.

Everything of Apple's is reached through one program, `xcrun`, found on the path.
"""
