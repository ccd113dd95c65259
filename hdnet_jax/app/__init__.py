"""What people use: commands, the web page, videos, exports, ablations."""
