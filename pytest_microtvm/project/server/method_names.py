"""The names of the methods by which boards are flashed."""

GDB, MASS_STORAGE, COMMAND = "gdb", "mass-storage", "command"
METHOD_NAMES = (
    *(GDB, "openocd", "pyocd", "st-flash", "esptool", "dfu-util", "west"),
    *(MASS_STORAGE, COMMAND),
)
