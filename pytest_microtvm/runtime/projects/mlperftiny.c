/* SPDX-License-Identifier: Apache-2.0 */
/* A device under test of MLPerf Tiny: a model behind the commands that MLCommons' runner sends.
 *
 * A command ends with %, its words are separated by spaces. Every answer is lines that begin with
 * m-, or with e- for an error, and ends with m-ready.
 *
 *   name                    m-name-dut-[BOARD]
 *   profile                 m-profile-[...] and m-model-[BENCHMARK]
 *   timestamp               m-lap-us-MICROSECONDS, or a pulse of the pin in energy mode
 *   db load N               begins to load an input of N bytes
 *   db HH[HH]*              some of these bytes, in hexadecimal digits
 *   db print [N] [OFFSET]   what was loaded: N bytes from OFFSET on, all unless given
 *   infer N [W]             W runs to warm up (10 unless given), then N runs between two timestamps
 *   results                 the results of the latest run
 *   help                    the commands
 *
 * microtvm_project.h says what the benchmark does before and after the model:
 *
 *   MICROTVM_MLPERF_BENCHMARK    ic01, kws01, vww01 or ad01, as a string
 *   MICROTVM_MLPERF_LOAD_BYTES   1: loaded bytes are the input's elements as they are
 *   MICROTVM_MLPERF_LOAD_IMAGE   1: they are pixels, from 0 to 255
 *   MICROTVM_MLPERF_LOAD_FLOATS  1: they are real numbers, floats of 32 bits
 *   MICROTVM_MLPERF_ERROR        1: the result is the mean square of output minus loaded input; 0:
 *                                it is the output
 *   MICROTVM_MLPERF_ENERGY       1: timestamps are pulses of a pin, for a power monitor
 *   MICROTVM_MLPERF_INPUT, _OUTPUT   for each of both tensors: _TYPE in C, _ELEMENTS, _SCALE and
 *                                _ZERO_POINT, and _IS_FLOAT, 1 where it is not quantized; for the
 *                                input its element's range, _MIN to _MAX
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/console.h>
#include <microtvm/platform.h>

#include "microtvm_project.h"

#include <microtvm/firmware_model.h>

#define PROFILE "ULPMark for tinyML Firmware V0.0.1"
#define TERMINATOR '%'
#define MAX_COMMAND_BYTES 80u
#define MAX_WORDS 4u
#define DEFAULT_WARM_UPS 10u
#define BYTES_PER_LINE 8u
#define RESULT_DECIMALS 3u

#if MICROTVM_MLPERF_LOAD_FLOATS
typedef float LoadedElement;
#else
typedef uint8_t LoadedElement;
#endif
typedef MICROTVM_MLPERF_INPUT_TYPE InputElement;
typedef MICROTVM_MLPERF_OUTPUT_TYPE OutputElement;

/* The words of a command. */
typedef struct {
  const char *words[MAX_WORDS];
  unsigned count;
} Command;

/* An input as it was loaded. */
static LoadedElement loaded[MICROTVM_MLPERF_INPUT_ELEMENTS];
static uint8_t *const loaded_bytes = (uint8_t *)loaded;
static size_t expected_count; /* of bytes; 0 until the first db load */
static size_t loaded_count;

static bool has_results;
static uint64_t elapsed_ns;

static void Line(const char *text) {
  ConsoleText(text);
  ConsoleEndLine();
}

static void LineWithText(const char *before, const char *text, const char *after) {
  ConsoleText(before);
  ConsoleText(text);
  Line(after);
}

static void LineWithNumber(const char *before, uint64_t number, const char *after) {
  ConsoleText(before);
  ConsoleUnsigned(number);
  Line(after);
}

static bool IsSame(const char *a, const char *b) {
  while (*a != '\0' && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

/* Reads a decimal number of at most nine digits. */
static bool ReadNumber(const char *word, uint32_t *number) {
  const char *digit = word;
  *number = 0;
  for (; *digit >= '0' && *digit <= '9' && digit - word < 9; ++digit) {
    *number = *number * 10u + (uint32_t)(*digit - '0');
  }
  return digit != word && *digit == '\0';
}

/* Time. */

/* Adds the time since the timer was started, and starts it anew. Returns false when it had not
 * been running or ran over, which does not matter between two measurements. */
static bool ReadTimer(void) {
  double seconds = 0.0;
  const bool is_valid = TVMPlatformTimerStop(&seconds) == kTvmErrorNoError;
  if (is_valid) {
    elapsed_ns += (uint64_t)(seconds * 1e9 + 0.5);
  }
  (void)TVMPlatformTimerStart();
  return is_valid;
}

static void Timestamp(void) {
#if MICROTVM_MLPERF_ENERGY
  ConsolePulsePin();
#else
  LineWithNumber("m-lap-us-", elapsed_ns / 1000u, "");
#endif
}

/* The input. */

static int HexDigit(char character) {
  if (character >= '0' && character <= '9') {
    return character - '0';
  }
  if (character >= 'a' && character <= 'f') {
    return character - 'a' + 10;
  }
  return character >= 'A' && character <= 'F' ? character - 'A' + 10 : -1;
}

static void BeginLoading(const Command *command) {
  uint32_t count;
  if (command->count < 3) {
    Line("e-[Command 'db load' requires the # of bytes]");
  } else if (!ReadNumber(command->words[2], &count) || count == 0) {
    Line("e-[Command 'db load' must be >0 bytes]");
  } else if (count > sizeof(loaded)) {
    ConsoleText("e-[Supplied buffer size ");
    ConsoleUnsigned(count);
    LineWithNumber(" exceeds maximum of ", sizeof(loaded), "]");
  } else {
    expected_count = count;
    loaded_count = 0;
    LineWithNumber("m-[Expecting ", count, " bytes]");
  }
}

static void LoadBytes(const char *digits) {
  if (expected_count == 0) {
    Line("e-[Command 'db load' must come first]");
    return;
  }
  for (; *digits != '\0' && loaded_count < expected_count; digits += 2) {
    if (digits[1] == '\0') {
      Line("e-[Insufficent number of hex digits]");
      return;
    }
    const int high = HexDigit(digits[0]);
    const int low = HexDigit(digits[1]);
    if (high < 0 || low < 0) {
      const char pair[] = {digits[0], digits[1], '\0'};
      LineWithText("e-[Invalid hex digit '", pair, "']");
      return;
    }
    loaded_bytes[loaded_count++] = (uint8_t)(high * 16 + low);
    if (loaded_count == expected_count) {
      Line("m-load-done");
    }
  }
}

static void PrintLoaded(const Command *command) {
  uint32_t count = (uint32_t)loaded_count;
  uint32_t offset = 0;
  if ((command->count > 2 && !ReadNumber(command->words[2], &count)) ||
      (command->count > 3 && !ReadNumber(command->words[3], &offset))) {
    Line("e-[Command 'db print' takes numbers]");
    return;
  }
  if (offset > loaded_count) {
    offset = (uint32_t)loaded_count;
  }
  if (count > loaded_count - offset) {
    count = (uint32_t)loaded_count - offset;
  }
  for (uint32_t i = 0; i < count; ++i) {
    ConsoleText(i % BYTES_PER_LINE == 0 ? "m-buffer-" : "-");
    ConsoleHexByte(loaded_bytes[offset + i]);
    if (i % BYTES_PER_LINE == BYTES_PER_LINE - 1u || i + 1u == count) {
      ConsoleEndLine();
    }
  }
}

static void Buffer(const Command *command) {
  if (command->count < 2) {
    Line("e-[Command 'db' requires a subcommand]");
  } else if (IsSame(command->words[1], "load")) {
    BeginLoading(command);
  } else if (IsSame(command->words[1], "print")) {
    PrintLoaded(command);
  } else {
    LoadBytes(command->words[1]);
  }
}

/* What a loaded element is for the model. */
static InputElement Prepared(LoadedElement element) {
#if MICROTVM_MLPERF_LOAD_IMAGE
  return (InputElement)((int)element + MICROTVM_MLPERF_INPUT_MIN);
#elif MICROTVM_MLPERF_LOAD_BYTES || MICROTVM_MLPERF_INPUT_IS_FLOAT
  return (InputElement)element;
#else
  /* The nearest, half away from zero. What no element can say is cut off while it is a float. */
  const float widest = 1000.0f;
  const float real = element / MICROTVM_MLPERF_INPUT_SCALE;
  const float bounded = real > widest ? widest : real < -widest ? -widest : real;
  const int quantized =
      (int)(bounded < 0.0f ? bounded - 0.5f : bounded + 0.5f) + MICROTVM_MLPERF_INPUT_ZERO_POINT;
  return (InputElement)(quantized < MICROTVM_MLPERF_INPUT_MIN   ? MICROTVM_MLPERF_INPUT_MIN
                        : quantized > MICROTVM_MLPERF_INPUT_MAX ? MICROTVM_MLPERF_INPUT_MAX
                                                                : quantized);
#endif
}

/* Gives the model what was loaded. Returns false when that is not a whole input. */
static bool SetInput(void) {
  InputElement *input = MicroTVMExecutorInput(MICROTVM_SERVED_EXECUTOR, 0);
  if (loaded_count != sizeof(loaded)) {
    ConsoleText("e-[Input db has ");
    ConsoleUnsigned(loaded_count);
    LineWithNumber(" bytes, expected ", sizeof(loaded), "]");
    return false;
  }
  for (size_t i = 0; i < MICROTVM_MLPERF_INPUT_ELEMENTS; ++i) {
    input[i] = Prepared(loaded[i]);
  }
  return true;
}

/* Runs and results. */

static void Results(void) {
  const OutputElement *output = MicroTVMExecutorOutput(MICROTVM_SERVED_EXECUTOR, 0);
  if (!has_results) {
    Line("e-[Nothing was inferred yet]");
    return;
  }
#if MICROTVM_MLPERF_ERROR
  float sum = 0.0f;
#endif
  ConsoleText("m-results-[");
  for (size_t i = 0; i < MICROTVM_MLPERF_OUTPUT_ELEMENTS; ++i) {
#if MICROTVM_MLPERF_OUTPUT_IS_FLOAT
    const float real = output[i];
#else
    const float real =
        MICROTVM_MLPERF_OUTPUT_SCALE * (float)((int)output[i] - MICROTVM_MLPERF_OUTPUT_ZERO_POINT);
#endif
#if MICROTVM_MLPERF_ERROR
    const float error = real - loaded[i];
    sum += error * error;
#else
    if (i > 0) {
      ConsoleText(",");
    }
    ConsoleDecimal((double)real, RESULT_DECIMALS);
#endif
  }
#if MICROTVM_MLPERF_ERROR
  ConsoleDecimal((double)(sum / (float)MICROTVM_MLPERF_OUTPUT_ELEMENTS), RESULT_DECIMALS);
#endif
  Line("]");
}

/* Runs the model so many times. The timer is read after each: it has to last for one. */
static bool Run(uint32_t count) {
  while (count-- > 0) {
    if (MicroTVMExecutorRun(MICROTVM_SERVED_EXECUTOR) != kMicroTVMOk) {
      Line("e-[The model failed]");
      return false;
    }
    if (!ReadTimer()) {
      Line("e-[The timer ran over: it is too fast for this model]");
      return false;
    }
  }
  return true;
}

static void Infer(const Command *command) {
  uint32_t count = 1;
  uint32_t warm_ups = DEFAULT_WARM_UPS;
  if (command->count > 1 && (!ReadNumber(command->words[1], &count) || count == 0)) {
    Line("e-[Inference iterations must be >0]");
    return;
  }
  if (command->count > 2 && !ReadNumber(command->words[2], &warm_ups)) {
    Line("e-[Inference warmup must be >=0]");
    return;
  }
  if (!SetInput()) {
    return;
  }
  LineWithNumber("m-warmup-start-", warm_ups, "");
  (void)ReadTimer();
  if (!Run(warm_ups)) {
    return;
  }
  Line("m-warmup-done");
  LineWithNumber("m-infer-start-", count, "");
  (void)ReadTimer();
  Timestamp();
  if (!Run(count)) {
    return;
  }
  Timestamp();
  Line("m-infer-done");
  has_results = true;
  Results();
}

/* Commands. */

static void Help(void) {
  Line(PROFILE);
  Line("");
  Line("help         : Print this information");
  Line("name         : Print the name of the device");
  Line("profile      : Print the profile and the benchmark");
  Line("timestamp    : Generate a timestamp");
  Line("db SUBCMD    : Manipulate the input's buffer");
  Line("  load N     : Expect N bytes");
  Line("  HH[HH]*    : Load bytes in hex, until there are N");
  Line("  print [N] [offset=0]");
  Line("             : Print N bytes at offset as hex, or all");
  Line("infer N [W=10]: Load input, execute N inferences after W warmup loops");
  Line("results      : Print the results of the latest inference");
}

static void Execute(const Command *command) {
  const char *name = command->count > 0 ? command->words[0] : "";
  if (IsSame(name, "name")) {
    LineWithText("m-name-dut-[", MICROTVM_BOARD_NAME, "]");
  } else if (IsSame(name, "profile")) {
    LineWithText("m-profile-[", PROFILE, "]");
    LineWithText("m-model-[", MICROTVM_MLPERF_BENCHMARK, "]");
  } else if (IsSame(name, "timestamp")) {
    (void)ReadTimer();
    Timestamp();
  } else if (IsSame(name, "db")) {
    Buffer(command);
  } else if (IsSame(name, "infer")) {
    Infer(command);
  } else if (IsSame(name, "results")) {
    Results();
  } else if (IsSame(name, "help")) {
    Help();
  } else {
    LineWithText("e-[Unknown command: ", name, "]");
  }
  Line("m-ready");
}

/* Splits `text` in place. */
static Command Split(char *text) {
  Command command = {{NULL}, 0};
  bool is_inside = false;
  for (; *text != '\0'; ++text) {
    if (*text == ' ') {
      *text = '\0';
      is_inside = false;
    } else if (!is_inside && command.count < MAX_WORDS) {
      command.words[command.count++] = text;
      is_inside = true;
    }
  }
  return command;
}

/* Takes the next character of a command. */
static void Take(char character) {
  static char text[MAX_COMMAND_BYTES + 1u];
  static size_t count;
  if (character == TERMINATOR) {
    text[count] = '\0';
    count = 0;
    const Command command = Split(text);
    Execute(&command);
  } else if (character != '\r' && character != '\n' && count < MAX_COMMAND_BYTES) {
    text[count++] = character;
  }
}

int main(void) {
  int32_t status = TVMPlatformInitialize();
  ConsoleShowLog();
  if (status == kMicroTVMOk) {
    status = MicroTVMFirmwareInitExecutor();
  }
  if (status != kMicroTVMOk) {
    TVMPlatformAbort(status);
  }
  (void)ReadTimer();
#if MICROTVM_MLPERF_ENERGY
  Line("m-timestamp-mode-energy");
#else
  Line("m-timestamp-mode-performance");
#endif
  Timestamp();
  Line("m-init-done");
  Line("m-ready");
  for (;;) {
    uint8_t received[64];
    const size_t size_bytes = ConsoleRead(received, sizeof(received));
    if (size_bytes == 0) {
      break; /* there is nobody left to serve */
    }
    for (size_t i = 0; i < size_bytes; ++i) {
      Take((char)received[i]);
    }
  }
  ConsoleClose();
  return 0;
}
