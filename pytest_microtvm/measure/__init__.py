"""What a model costs on a board: figures and records, and the tools that take them.

metrics, records            the figures, and what a run tells machines
record_files                records in files
baseline, baseline_files    records held to earlier ones
budgets                     what models may take
elf, symbols                sizes of a linked program, and what is at an address of it
counting                    instructions, by a plugin of QEMU's (`counting.c`)
arena                       what lies where in a model's arena and when
"""
