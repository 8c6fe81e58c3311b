"""The names of the methods by which boards are flashed."""

GDB, MASS_STORAGE, COMMAND = "gdb", "mass-storage", "command"
ARDUINO_CLI = "arduino-cli"
BY_PORT = ("esptool", ARDUINO_CLI)
"""Those that reach a board over its serial port."""

METHOD_NAMES = (
    *(GDB, "openocd", "pyocd", "st-flash", "esptool", "dfu-util", "west"),
    ARDUINO_CLI,
    *(MASS_STORAGE, COMMAND),
)
