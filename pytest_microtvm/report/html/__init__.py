"""Reports as HTML: each is one file that holds all it needs, and opens without a network.

rows      what a page says of a record
page      templates, style and scripts put together (`page/`), with Vega-Lite in the same file
run       the page of one run
    trends    the page of several runs
"""
