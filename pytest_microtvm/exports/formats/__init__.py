"""Each ecosystem: a function from `Contents` to the files of an export."""
