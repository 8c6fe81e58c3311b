/* SPDX-License-Identifier: Apache-2.0 */
/* A reader of JSON that needs neither memory nor recursion: it moves over the text where it stands.
 */
#include "json.h"

#define MAX_DEPTH 32u /* one bit each says which bracket was opened */

void MicroTVMJsonInit(MicroTVMJson *json, MICROTVM_FLASH_POINTER(char) text, size_t size_bytes) {
  json->position = text;
  json->end = text + size_bytes;
  json->failed = false;
}

void MicroTVMJsonFail(MicroTVMJson *json) {
  json->position = json->end;
  json->failed = true;
}

/* The next character that is no white space, which stays where it is; '\0' at the end. */
static char Peek(MicroTVMJson *json) {
  while (json->position < json->end) {
    const char next = *json->position;
    if (next != ' ' && next != '\n' && next != '\r' && next != '\t') {
      return next;
    }
    ++json->position;
  }
  return '\0';
}

/* Takes that character if it is this one. */
static bool Take(MicroTVMJson *json, char wanted) {
  if (json->position < json->end && Peek(json) == wanted && json->position < json->end) {
    ++json->position;
    return true;
  }
  return false;
}

bool MicroTVMJsonAtEnd(MicroTVMJson *json) {
  (void)Peek(json);
  return !json->failed && json->position == json->end;
}

bool MicroTVMJsonEnter(MicroTVMJson *json, char bracket) {
  if (!Take(json, bracket)) {
    MicroTVMJsonFail(json);
  }
  return true;
}

static bool NextBefore(MicroTVMJson *json, bool *first, char bracket) {
  if (Take(json, bracket)) {
    return false;
  }
  if (!*first && !Take(json, ',')) {
    MicroTVMJsonFail(json);
  }
  *first = false;
  return !json->failed;
}

bool MicroTVMJsonNext(MicroTVMJson *json, bool *first) { return NextBefore(json, first, ']'); }

bool MicroTVMJsonNextMember(MicroTVMJson *json, bool *first, MicroTVMJsonString *key) {
  if (!NextBefore(json, first, '}')) {
    return false;
  }
  *key = MicroTVMJsonReadString(json);
  if (!Take(json, ':')) {
    MicroTVMJsonFail(json);
  }
  return !json->failed;
}

MicroTVMJsonString MicroTVMJsonReadString(MicroTVMJson *json) {
  MicroTVMJsonString string = {json->position, 0};
  if (!Take(json, '"')) {
    MicroTVMJsonFail(json);
    return string;
  }
  string.bytes = json->position;
  while (json->position < json->end && *json->position != '"') {
    if (*json->position == '\\') {
      ++json->position; /* the escaped character may be a quote */
      if (json->position == json->end) {
        break;
      }
    }
    ++json->position;
  }
  if (json->position == json->end) {
    MicroTVMJsonFail(json);
    return string;
  }
  string.size_bytes = (size_t)(json->position - string.bytes);
  ++json->position;
  return string;
}

static bool IsDigit(char character) { return character >= '0' && character <= '9'; }

int32_t MicroTVMJsonReadInt(MicroTVMJson *json) {
  const bool negative = Take(json, '-'); /* and white space before it */
  int64_t value = 0;
  if (json->position == json->end || !IsDigit(*json->position)) {
    MicroTVMJsonFail(json);
    return 0;
  }
  while (json->position < json->end && IsDigit(*json->position)) {
    value = value * 10 + (*json->position - '0');
    if (value > INT32_MAX) {
      MicroTVMJsonFail(json);
      return 0;
    }
    ++json->position;
  }
  if (json->position < json->end &&
      (*json->position == '.' || *json->position == 'e' || *json->position == 'E')) {
    MicroTVMJsonFail(json);
    return 0;
  }
  return (int32_t)(negative ? -value : value);
}

int32_t MicroTVMJsonReadQuotedInt(MicroTVMJson *json) {
  const MicroTVMJsonString string = MicroTVMJsonReadString(json);
  MicroTVMJson inner;
  int32_t value;
  MicroTVMJsonInit(&inner, string.bytes, string.size_bytes);
  value = MicroTVMJsonReadInt(&inner);
  if (!MicroTVMJsonAtEnd(&inner)) {
    MicroTVMJsonFail(json);
  }
  return value;
}

/* Passes over a number, true, false or null. */
static void SkipWord(MicroTVMJson *json) {
  MICROTVM_FLASH_POINTER(char) start = json->position;
  while (json->position < json->end) {
    const char next = *json->position;
    if (!IsDigit(next) && !(next >= 'a' && next <= 'z') && next != '-' && next != '+' &&
        next != '.' && next != 'E') {
      break;
    }
    ++json->position;
  }
  if (json->position == start) {
    MicroTVMJsonFail(json);
  }
}

void MicroTVMJsonSkip(MicroTVMJson *json) {
  uint32_t objects = 0; /* bit 0: whether the innermost bracket is that of an object */
  uint32_t depth = 0;
  do {
    const char next = Peek(json);
    if (next == '{' || next == '[') {
      if (depth == MAX_DEPTH) {
        MicroTVMJsonFail(json);
        return;
      }
      objects = objects << 1 | (next == '{' ? 1u : 0u);
      ++depth;
      ++json->position;
    } else if (depth > 0 && (next == '}' || next == ']')) {
      if ((next == '}') != ((objects & 1u) != 0)) {
        MicroTVMJsonFail(json);
        return;
      }
      objects >>= 1;
      --depth;
      ++json->position;
    } else if (depth > 0 && (next == ',' || next == ':')) {
      ++json->position;
    } else if (next == '"') {
      (void)MicroTVMJsonReadString(json);
    } else {
      SkipWord(json);
    }
  } while (depth > 0 && !json->failed);
}

/* ---- strings ---- */

static uint32_t HexDigit(char character) {
  if (IsDigit(character)) {
    return (uint32_t)(character - '0');
  }
  if (character >= 'a' && character <= 'f') {
    return (uint32_t)(character - 'a') + 10u;
  }
  if (character >= 'A' && character <= 'F') {
    return (uint32_t)(character - 'A') + 10u;
  }
  return UINT32_MAX;
}

#define UNICODE_DIGITS 4u
#define NO_CHARACTER UINT32_MAX

/* Takes the four digits of \u; gives NO_CHARACTER when there are none. */
static uint32_t TakeUnicode(MicroTVMJsonString *string) {
  uint32_t value = 0;
  if (string->size_bytes < UNICODE_DIGITS) {
    return NO_CHARACTER;
  }
  for (uint32_t i = 0; i < UNICODE_DIGITS; ++i) {
    const uint32_t digit = HexDigit(string->bytes[i]);
    if (digit == UINT32_MAX) {
      return NO_CHARACTER;
    }
    value = value << 4 | digit;
  }
  string->bytes += UNICODE_DIGITS;
  string->size_bytes -= UNICODE_DIGITS;
  return value;
}

/* Takes what follows a backslash: a code point, or NO_CHARACTER. */
static uint32_t TakeEscaped(MicroTVMJsonString *string) {
  static const char kNames[] = "\"\\/bfnrt";
  static const char kMeanings[] = "\"\\/\b\f\n\r\t";
  const char name = string->bytes[0];
  ++string->bytes;
  --string->size_bytes;
  for (uint32_t i = 0; kNames[i] != '\0'; ++i) {
    if (kNames[i] == name) {
      return (uint32_t)kMeanings[i];
    }
  }
  if (name != 'u') {
    return NO_CHARACTER;
  }
  uint32_t value = TakeUnicode(string);
  if (value >= 0xD800u && value < 0xDC00u && string->size_bytes >= 2 && string->bytes[0] == '\\' &&
      string->bytes[1] == 'u') {
    string->bytes += 2;
    string->size_bytes -= 2;
    const uint32_t low = TakeUnicode(string);
    value = low >= 0xDC00u && low < 0xE000u ? 0x10000u + ((value & 0x3FFu) << 10 | (low & 0x3FFu))
                                            : NO_CHARACTER;
  }
  return value;
}

/* Compares a code point with the UTF-8 at `*text`, and moves past it. */
static bool TakeUtf8(const char **text, uint32_t value) {
  const uint32_t following = value < 0x80u ? 0u : value < 0x800u ? 1u : value < 0x10000u ? 2u : 3u;
  static const uint8_t kLead[] = {0x00, 0xC0, 0xE0, 0xF0};
  for (uint32_t i = 0; i <= following; ++i) {
    const uint32_t bits = value >> (6u * (following - i));
    const uint8_t byte = (uint8_t)(i == 0 ? (kLead[following] | bits) : (0x80u | (bits & 0x3Fu)));
    if ((uint8_t)**text != byte) {
      return false;
    }
    ++*text;
  }
  return true;
}

bool MicroTVMJsonEquals(MicroTVMJsonString string, const char *text) {
  while (string.size_bytes > 0) {
    const char next = *string.bytes++;
    --string.size_bytes;
    if (next == '\\' && string.size_bytes > 0) {
      const uint32_t value = TakeEscaped(&string);
      if (value == 0 || value == NO_CHARACTER || !TakeUtf8(&text, value)) {
        return false;
      }
    } else if (next == '\0' || *text != next) {
      return false;
    } else {
      ++text;
    }
  }
  return *text == '\0';
}
