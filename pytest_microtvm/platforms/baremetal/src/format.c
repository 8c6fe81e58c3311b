/* SPDX-License-Identifier: Apache-2.0 */
/* TVMPlatformFormatMessage without a C library: %d %i %u %x %X %p %c %s %%, with the flag 0, a
 * width, and the lengths h, hh, l, ll and z. Anything else is copied as it stands; floats are not
 * supported. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/platform.h>

typedef struct {
  char *buffer;
  size_t size_bytes; /* terminator included */
  size_t used_bytes; /* terminator not included */
} Output;

typedef struct {
  bool zeros;
  unsigned width;
  unsigned longs; /* 0: int, 1: long, 2: long long */
  char conversion;
} Directive;

static void Put(Output *output, char character) {
  if (output->used_bytes + 1 < output->size_bytes) {
    output->buffer[output->used_bytes++] = character;
  }
}

static void PutText(Output *output, const char *text) {
  while (*text != '\0') {
    Put(output, *text++);
  }
}

static void PutNumber(Output *output, const Directive *directive, uint64_t value, bool negative) {
  const unsigned base = directive->conversion == 'x' || directive->conversion == 'X' ? 16u : 10u;
  const char *digits = directive->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  char reversed[20]; /* as many as UINT64_MAX has */
  unsigned count = 0;
  do {
    reversed[count++] = digits[value % base];
    value /= base;
  } while (value != 0);
  if (negative && directive->zeros) {
    Put(output, '-');
  }
  for (unsigned i = count + (negative ? 1u : 0u); i < directive->width; ++i) {
    Put(output, directive->zeros ? '0' : ' ');
  }
  if (negative && !directive->zeros) {
    Put(output, '-');
  }
  while (count > 0) {
    Put(output, reversed[--count]);
  }
}

/* Reads what follows a %. Returns the character after the directive. */
static const char *ParseDirective(const char *format, Directive *directive) {
  *directive = (Directive){.zeros = false, .width = 0, .longs = 0, .conversion = '\0'};
  if (*format == '0') {
    directive->zeros = true;
    ++format;
  }
  while (*format >= '0' && *format <= '9') {
    directive->width = directive->width * 10u + (unsigned)(*format++ - '0');
  }
  for (; *format == 'l' || *format == 'h' || *format == 'z'; ++format) {
    if (*format == 'l') {
      ++directive->longs;
    } else if (*format == 'z') {
      directive->longs = sizeof(size_t) > sizeof(unsigned) ? 1u : 0u;
    }
  }
  directive->conversion = *format;
  return *format == '\0' ? format : format + 1;
}

size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) {
  Output output = {buffer, size_bytes, 0};
  if (size_bytes == 0) {
    return 0;
  }
  va_list values; /* a va_list parameter may be of a type whose address cannot be taken */
  va_copy(values, arguments);
  while (*format != '\0') {
    if (*format != '%') {
      Put(&output, *format++);
      continue;
    }
    const char *start = format;
    Directive directive;
    format = ParseDirective(format + 1, &directive);
    switch (directive.conversion) {
      case 'd':
      case 'i': {
        const int64_t value = directive.longs == 0   ? va_arg(values, int)
                              : directive.longs == 1 ? va_arg(values, long)
                                                     : va_arg(values, long long);
        PutNumber(&output, &directive, value < 0 ? 0u - (uint64_t)value : (uint64_t)value,
                  value < 0);
        break;
      }
      case 'u':
      case 'x':
      case 'X': {
        const uint64_t value = directive.longs == 0   ? va_arg(values, unsigned)
                               : directive.longs == 1 ? va_arg(values, unsigned long)
                                                      : va_arg(values, unsigned long long);
        PutNumber(&output, &directive, value, false);
        break;
      }
      case 'p':
        directive.conversion = 'x';
        PutText(&output, "0x");
        PutNumber(&output, &directive, (uintptr_t)va_arg(values, void *), false);
        break;
      case 'c':
        Put(&output, (char)va_arg(values, int));
        break;
      case 's': {
        const char *text = va_arg(values, const char *);
        PutText(&output, text != NULL ? text : "(null)");
        break;
      }
      case '%':
        Put(&output, '%');
        break;
      default:
        while (start < format) {
          Put(&output, *start++);
        }
        break;
    }
  }
  va_end(values);
  buffer[output.used_bytes] = '\0';
  return output.used_bytes;
}
