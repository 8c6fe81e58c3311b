/* SPDX-License-Identifier: Apache-2.0 */
/* Text on a serial port, without a C library's printf. */
#include <microtvm/console.h>

#include <microtvm/log.h>

#define MAX_DIGITS 20u /* as many as UINT64_MAX has */
#define SIGNIFICANT_DIGITS 9u
#define LARGEST_FIXED 1e9

static void WriteCharacter(char character) {
  const uint8_t byte = (uint8_t)character;
  ConsoleWrite(&byte, 1);
}

void ConsoleText(const char *text) {
  size_t length = 0;
  while (text[length] != '\0') {
    ++length;
  }
  ConsoleWrite((const uint8_t *)text, length);
}

void ConsoleEndLine(void) { ConsoleText("\r\n"); }

/* Writes at least `min_digits` digits, zeros first. */
static void WriteDigits(uint64_t number, unsigned min_digits) {
  uint8_t digits[MAX_DIGITS];
  unsigned first = MAX_DIGITS;
  do {
    digits[--first] = (uint8_t)('0' + (char)(number % 10u));
    number /= 10u;
  } while (number > 0 || MAX_DIGITS - first < min_digits);
  ConsoleWrite(digits + first, MAX_DIGITS - first);
}

void ConsoleUnsigned(uint64_t number) { WriteDigits(number, 1); }

void ConsoleInteger(int64_t number) {
  if (number < 0) {
    WriteCharacter('-');
  }
  WriteDigits(number < 0 ? 0u - (uint64_t)number : (uint64_t)number, 1);
}

void ConsoleHexByte(uint8_t byte) {
  static const char digits[] = "0123456789abcdef";
  WriteCharacter(digits[byte >> 4]);
  WriteCharacter(digits[byte & 0xFu]);
}

/* Writes what is no number, or the sign of one. Returns the magnitude, or -1 when all is written.
 */
static double Begin(double number) {
  if (number != number) {
    ConsoleText("nan");
    return -1.0;
  }
  if (number < 0.0) {
    WriteCharacter('-');
    number = -number;
  }
  if (number > 0.0 && number * 0.5 == number) {
    ConsoleText("inf");
    return -1.0;
  }
  return number;
}

static uint64_t PowerOfTen(unsigned exponent) {
  uint64_t power = 1;
  while (exponent-- > 0) {
    power *= 10u;
  }
  return power;
}

/* Writes `scaled` / 10^`decimals`. */
static void WriteFixed(uint64_t scaled, unsigned decimals) {
  const uint64_t unit = PowerOfTen(decimals);
  WriteDigits(scaled / unit, 1);
  if (decimals > 0) {
    WriteCharacter('.');
    WriteDigits(scaled % unit, decimals);
  }
}

void ConsoleDecimal(double number, unsigned decimals) {
  if (number >= LARGEST_FIXED || number <= -LARGEST_FIXED) {
    ConsoleScientific(number);
    return;
  }
  const double magnitude = Begin(number);
  if (magnitude >= 0.0) {
    WriteFixed((uint64_t)(magnitude * (double)PowerOfTen(decimals) + 0.5), decimals);
  }
}

void ConsoleScientific(double number) {
  const uint64_t unit = PowerOfTen(SIGNIFICANT_DIGITS - 1u);
  double magnitude = Begin(number);
  int exponent = 0;
  uint64_t scaled;
  if (magnitude < 0.0) {
    return;
  }
  while (magnitude >= 10.0) {
    magnitude /= 10.0;
    ++exponent;
  }
  while (magnitude > 0.0 && magnitude < 1.0) {
    magnitude *= 10.0;
    --exponent;
  }
  scaled = (uint64_t)(magnitude * (double)unit + 0.5);
  if (scaled >= unit * 10u) { /* rounded up to one digit more */
    scaled /= 10u;
    ++exponent;
  }
  WriteFixed(scaled, SIGNIFICANT_DIGITS - 1u);
  ConsoleText(exponent < 0 ? "e-" : "e+");
  WriteDigits((uint64_t)(exponent < 0 ? -exponent : exponent), 2);
}

static void ShowLogMessage(void *context, const char *text, size_t size_bytes) {
  (void)context;
  ConsoleWrite((const uint8_t *)text, size_bytes);
  ConsoleEndLine();
}

void ConsoleShowLog(void) { MicroTVMLogSetSink(ShowLogMessage, NULL); }
