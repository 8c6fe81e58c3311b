/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for a board with an AVR: its CPU, its timers and its first UART, by libsimavr.
 *
 *   simavr_board MCU HZ FIRMWARE [FUNCTIONS LOG]
 *
 * FIRMWARE is an ELF file. What the UART sends goes to standard output, and what comes by standard
 * input goes to the UART at the speed that the firmware set, no byte of it lost; at the end of the
 * input the board ends. Time is that of the CPU's clock, and passes as fast as this machine can.
 *
 * FUNCTIONS has a line for each function to count: "run ADDRESS" for the one that runs the model,
 * "kernel ADDRESS" for each kernel. To LOG goes a line for each run of the model, or for each call
 * of a kernel outside of one, before the firmware goes on:
 *
 *   KERNEL:INSTRUCTIONS:CYCLES ... INSTRUCTIONS:CYCLES
 *
 * with a word for each call of a kernel, which is named by its place among the kernels, from 0, and
 * the whole run as last word. What a function calls is counted to it. Interrupts are not counted:
 * when they come depends on what the firmware did before.
 *
 * A fault ends the board: an illegal instruction, an access outside of memory, a stack that reaches
 * the firmware's data, execution outside of the firmware, a reset. The message for the host goes
 * out by the UART, as that of a firmware that handles its faults itself (docs/protocol.md), and a
 * line to standard error.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>

/* Exit statuses. */
#define WRONG_USE 2
#define GAVE_UP 3
#define FAULT 4

#define DATA_SPACE 0x800000u /* where the tools put data, which has addresses of its own */
#define FEED_CYCLES 1600u    /* how often input is looked for: 0.1 ms at 16 MHz */
#define LOOP_FOREVER 0xCFFFu /* rjmp to itself */
#define SETTLING 4u          /* instructions that the two halves of a new stack pointer take */
#define NS_PER_SECOND 1000000000u
#define FRAME_START "\xFF\xFD"
#define MESSAGE_FAULT 4u

typedef struct {
  uint32_t address;
  int kernel; /* its place among the kernels; -1: it runs the model */
} Function;

typedef struct {
  uint64_t instructions;
  uint64_t cycles;
} Cost;

/* A call that has not returned. */
typedef struct {
  const Function *function; /* null: there is none */
  uint32_t return_address;
  uint32_t sp; /* once it has returned */
  Cost start;
} Call;

static avr_t *avr;
static uint32_t code_end;  /* of the firmware in flash */
static uint32_t stack_end; /* where the stack must not grow to */
static const char *trouble;

static uint8_t input[4096];
static size_t input_at, input_end;
static bool may_feed; /* the UART is on, and its buffer has room */

static uint8_t last_sent;
static bool sends_frames;

static Function *functions;
static size_t num_functions;
static bool *starts_function; /* by word of flash */
static FILE *log_file;
static bool in_interrupt;
static Cost cost;
static Call run, kernel;

static void Fail(const char *what, const char *path) {
  fprintf(stderr, "simavr: %s: %s\n", path, what);
  exit(WRONG_USE);
}

static void WriteAll(const uint8_t *bytes, size_t size) {
  while (size > 0) {
    const ssize_t written = write(STDOUT_FILENO, bytes, size);
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      exit(EXIT_SUCCESS); /* nobody listens any more */
    }
    bytes += written;
    size -= (size_t)written;
  }
}

/* ---- The firmware ---- */

static uint8_t *ReadFile(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  uint8_t *bytes = NULL;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    Fail("cannot be read", path);
  }
  const long end = ftell(file);
  rewind(file);
  if (end > 0) {
    bytes = malloc((size_t)end);
  }
  if (bytes == NULL || fread(bytes, 1, (size_t)end, file) != (size_t)end) {
    Fail("cannot be read", path);
  }
  fclose(file);
  *size = (size_t)end;
  return bytes;
}

/* Whether `count` things of `each` bytes at `offset` are inside of a file. */
static bool IsInside(size_t size, uint64_t offset, uint64_t count, uint64_t each) {
  return offset <= size && count * each <= size - offset;
}

/* The end of the firmware's data, by the symbol that the linker script gives it. */
static uint32_t FindDataEnd(const uint8_t *file, size_t size, const Elf32_Ehdr *header) {
  if (!IsInside(size, header->e_shoff, header->e_shnum, sizeof(Elf32_Shdr))) {
    return 0;
  }
  const Elf32_Shdr *sections = (const Elf32_Shdr *)(const void *)(file + header->e_shoff);
  for (size_t i = 0; i < header->e_shnum; ++i) {
    const Elf32_Shdr *table = &sections[i];
    if (table->sh_type != SHT_SYMTAB || table->sh_link >= header->e_shnum ||
        !IsInside(size, table->sh_offset, table->sh_size, 1)) {
      continue;
    }
    const Elf32_Shdr *names = &sections[table->sh_link];
    const Elf32_Sym *symbols = (const Elf32_Sym *)(const void *)(file + table->sh_offset);
    for (size_t j = 0; j < table->sh_size / sizeof(*symbols); ++j) {
      const uint64_t name = (uint64_t)names->sh_offset + symbols[j].st_name;
      if (IsInside(size, name, sizeof("_end"), 1) &&
          memcmp(file + name, "_end", sizeof("_end")) == 0) {
        return symbols[j].st_value & 0xFFFFu;
      }
    }
  }
  return 0;
}

static void Load(const char *path) {
  size_t size;
  uint8_t *file = ReadFile(path, &size);
  const Elf32_Ehdr *header = (const Elf32_Ehdr *)(const void *)file;
  if (size < sizeof(*header) || memcmp(file, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS32 || header->e_machine != EM_AVR ||
      !IsInside(size, header->e_phoff, header->e_phnum, sizeof(Elf32_Phdr))) {
    Fail("not an ELF file for AVR", path);
  }
  const Elf32_Phdr *segments = (const Elf32_Phdr *)(const void *)(file + header->e_phoff);
  for (size_t i = 0; i < header->e_phnum; ++i) {
    const Elf32_Phdr *segment = &segments[i];
    if (segment->p_type != PT_LOAD || segment->p_filesz == 0 || segment->p_paddr >= DATA_SPACE) {
      continue; /* what only takes RAM, and what is for other memories */
    }
    const uint64_t end = (uint64_t)segment->p_paddr + segment->p_filesz;
    if (!IsInside(size, segment->p_offset, segment->p_filesz, 1) || end > avr->flashend + 1u) {
      Fail("larger than the flash of this MCU", path);
    }
    avr_loadcode(avr, file + segment->p_offset, segment->p_filesz, segment->p_paddr);
    code_end = end > code_end ? (uint32_t)end : code_end;
  }
  stack_end = FindDataEnd(file, size, header);
  free(file);
}

/* ---- The UART ---- */

static void OnOutput(struct avr_irq_t *irq, uint32_t value, void *context) {
  const uint8_t byte = (uint8_t)value;
  (void)irq;
  (void)context;
  sends_frames |= last_sent == (uint8_t)FRAME_START[0] && byte == (uint8_t)FRAME_START[1];
  last_sent = byte;
  WriteAll(&byte, 1);
}

static void OnRoom(struct avr_irq_t *irq, uint32_t value, void *context) {
  (void)irq;
  (void)context;
  may_feed |= value != 0;
}

static void OnFull(struct avr_irq_t *irq, uint32_t value, void *context) {
  (void)irq;
  (void)context;
  may_feed &= value == 0;
}

static void ReadInput(void) {
  const ssize_t got = read(STDIN_FILENO, input, sizeof(input));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
    exit(EXIT_SUCCESS);
  }
  input_at = 0;
  input_end = got > 0 ? (size_t)got : 0;
}

/* Called every FEED_CYCLES. */
static avr_cycle_count_t Feed(avr_t *of, avr_cycle_count_t when, void *context) {
  avr_irq_t *uart = context;
  (void)of;
  if (input_at == input_end) {
    ReadInput();
  }
  while (may_feed && input_at < input_end) {
    avr_raise_irq(uart, input[input_at++]); /* it calls OnFull when there is no more room */
  }
  return when + FEED_CYCLES;
}

/* Called when the CPU sleeps: it may as well in this machine, up to the next input. */
static void Sleep(avr_t *of, avr_cycle_count_t cycles) {
  struct pollfd ready = {STDIN_FILENO, POLLIN, 0};
  (void)of;
  if (input_at == input_end && avr->frequency > 0) {
    const uint64_t ns = cycles * NS_PER_SECOND / avr->frequency;
    const struct timespec limit = {0, (long)(ns < NS_PER_SECOND ? ns : NS_PER_SECOND - 1u)};
    (void)ppoll(&ready, 1, &limit, NULL);
  }
}

static void ConnectUart(void) {
  avr_irq_t *const irqs = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
  uint32_t flags = 0;
  if (irqs == NULL) {
    Fail("this MCU has no UART 0", avr->mmcu);
  }
  avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags); /* neither prints lines nor waits */
  avr_irq_register_notify(irqs + UART_IRQ_OUTPUT, OnOutput, NULL);
  avr_irq_register_notify(irqs + UART_IRQ_OUT_XON, OnRoom, NULL);
  avr_irq_register_notify(irqs + UART_IRQ_OUT_XOFF, OnFull, NULL);
  avr_cycle_timer_register(avr, FEED_CYCLES, Feed, irqs + UART_IRQ_INPUT);
  avr->sleep = Sleep;
}

/* ---- Counting ---- */

static void ReadFunctions(const char *path) {
  FILE *file = fopen(path, "r");
  char kind[8];
  uint32_t address;
  int num_kernels = 0;
  starts_function = calloc(avr->flashend / 2u + 1u, sizeof(*starts_function));
  if (file == NULL || starts_function == NULL) {
    Fail("cannot be read", path);
  }
  while (fscanf(file, "%7s %" SCNx32, kind, &address) == 2) {
    functions = realloc(functions, (num_functions + 1u) * sizeof(*functions));
    if (functions == NULL) {
      abort();
    }
    functions[num_functions++] =
        (Function){address, strcmp(kind, "kernel") == 0 ? num_kernels++ : -1};
    if (address <= avr->flashend) {
      starts_function[address / 2u] = true;
    }
  }
  fclose(file);
}

static uint32_t StackPointer(void) { return avr->data[R_SPL] | (uint32_t)avr->data[R_SPH] << 8; }

/* Called with the CPU at the first instruction of a function. */
static void Enter(const Function *function) {
  const uint32_t sp = StackPointer();
  Call call = {function, 0, sp + avr->address_size, cost};
  if (call.sp > avr->ramend || kernel.function != NULL) {
    return; /* what a kernel calls belongs to it */
  }
  for (uint32_t i = 1; i <= avr->address_size; ++i) {
    call.return_address = call.return_address << 8 | avr->data[sp + i];
  }
  call.return_address *= 2u; /* in words */
  if (function->kernel >= 0) {
    kernel = call;
  } else if (run.function == NULL) {
    run = call;
  }
}

static void Leave(Call *call) {
  const Cost of = {cost.instructions - call->start.instructions, cost.cycles - call->start.cycles};
  if (call->function->kernel >= 0) {
    fprintf(log_file, "%d:%" PRIu64 ":%" PRIu64 " ", call->function->kernel, of.instructions,
            of.cycles);
  }
  call->function = NULL;
  if (run.function == NULL) {
    fprintf(log_file, "%" PRIu64 ":%" PRIu64 "\n", of.instructions, of.cycles);
    fflush(log_file);
  }
}

/* Called before each instruction that no interrupt executes. */
static void Follow(void) {
  Call *call = kernel.function != NULL ? &kernel : &run;
  if (call->function != NULL && avr->pc == call->return_address && StackPointer() == call->sp) {
    Leave(call);
  }
  for (size_t i = 0; starts_function[avr->pc / 2u] && i < num_functions; ++i) {
    if (functions[i].address == avr->pc) {
      Enter(&functions[i]);
    }
  }
}

static void OnInterrupt(struct avr_irq_t *irq, uint32_t vector, void *context) {
  (void)irq;
  (void)context;
  in_interrupt = vector != 0;
}

/* ---- Faults ---- */

static void OnLog(avr_t *of, const int level, const char *format, va_list arguments) {
  (void)of;
  (void)arguments;
  if (level != LOG_ERROR || trouble != NULL) {
    return;
  }
  if (strstr(format, "Invalid Opcode") != NULL) {
    trouble = "illegal instruction";
  } else if (strstr(format, "Invalid write address") != NULL) {
    trouble = "write outside of memory";
  } else if (strstr(format, "Invalid read address") != NULL) {
    trouble = "read outside of memory";
  }
}

/* A message of kind fault, in a frame. */
static void SendFault(const char *text) {
  uint8_t frame[512];
  uint8_t body[256];
  const size_t length = strlen(text);
  const size_t body_bytes = 4u + length;
  size_t used = 0, plain = 0;
  uint32_t crc = 0xFFFFu;
  body[plain++] = (uint8_t)body_bytes;
  body[plain++] = (uint8_t)(body_bytes >> 8);
  body[plain++] = 0;
  body[plain++] = 0;
  body[plain++] = 0; /* the session id */
  body[plain++] = 0;
  body[plain++] = MESSAGE_FAULT;
  body[plain++] = 1; /* the version */
  memcpy(body + plain, text, length);
  plain += length;
  frame[used++] = 0xFE; /* should the firmware have sent the first half of an escape */
  memcpy(frame + used, FRAME_START, 2);
  used += 2;
  for (size_t i = 0; i < plain; ++i) {
    if (body[i] == 0xFFu) {
      frame[used++] = 0xFF;
    }
    frame[used++] = body[i];
  }
  for (size_t i = 1; i < used; ++i) {
    crc ^= (uint32_t)frame[i] << 8;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 0x8000u) != 0 ? (crc << 1 ^ 0x1021u) & 0xFFFFu : crc << 1;
    }
  }
  for (int shift = 0; shift <= 8; shift += 8) {
    const uint8_t byte = (uint8_t)(crc >> shift);
    if (byte == 0xFFu) {
      frame[used++] = 0xFF;
    }
    frame[used++] = byte;
  }
  WriteAll(frame, used);
}

static unsigned Pair(unsigned low) { return avr->data[low] | (unsigned)avr->data[low + 1u] << 8; }

static void Crash(const char *kind, uint32_t pc) {
  char text[240];
  snprintf(text, sizeof(text),
           "kind=%s\npc=0x%08" PRIx32 "\nsp=0x%04" PRIx32 "\nx=0x%04x\ny=0x%04x\nz=0x%04x\n", kind,
           pc, StackPointer(), Pair(R_XL), Pair(R_YL), Pair(R_ZL));
  if (sends_frames) {
    SendFault(text);
  }
  fprintf(stderr, "simavr: %s at 0x%" PRIx32 "\n", kind, pc);
  exit(FAULT);
}

/* Called before each instruction: what is wrong, or null. */
static const char *FindTrouble(void) {
  static unsigned low_for;
  static bool has_started, has_stack;
  const uint32_t sp = StackPointer();
  if (avr->pc == 0 && has_started) {
    return "reset";
  }
  has_started = true;
  if (avr->pc >= code_end) {
    return "execution outside of the firmware";
  }
  has_stack |= sp > stack_end;
  low_for = has_stack && sp < stack_end ? low_for + 1u : 0;
  return low_for > SETTLING ? "stack overflow" : NULL;
}

static void Execute(void) {
  uint32_t previous = 0;
  for (;;) {
    const char *kind = FindTrouble();
    const bool counted = !in_interrupt;
    const uint64_t cycles = avr->cycle;
    if (kind != NULL) {
      Crash(kind, previous);
    }
    if (counted && num_functions > 0) {
      Follow();
    }
    if (!avr->sreg[S_I] && (avr->flash[avr->pc] | avr->flash[avr->pc + 1u] << 8) == LOOP_FOREVER) {
      exit(GAVE_UP);
    }
    previous = avr->pc;
    const int state = avr_run(avr);
    if (trouble != NULL) {
      Crash(trouble, previous);
    }
    if (state == cpu_Crashed) {
      Crash("reset by the watchdog", previous);
    }
    if (state == cpu_Done) {
      exit(GAVE_UP);
    }
    if (counted) {
      ++cost.instructions;
      cost.cycles += avr->cycle - cycles;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 4 && argc != 6) {
    fprintf(stderr, "usage: %s MCU HZ FIRMWARE [FUNCTIONS LOG]\n", argv[0]);
    return WRONG_USE;
  }
  avr_global_logger_set(OnLog);
  avr = avr_make_mcu_by_name(argv[1]);
  if (avr == NULL) {
    Fail("libsimavr does not know this MCU", argv[1]);
  }
  if (argc == 6) {
    ReadFunctions(argv[4]);
    log_file = fopen(argv[5], "a");
    if (log_file == NULL) {
      Fail("cannot be written", argv[5]);
    }
  }
  avr_init(avr);
  avr->frequency = (uint32_t)strtoul(argv[2], NULL, 10);
  avr->run_cycle_limit = 1; /* one instruction at a time */
  Load(argv[3]);
  ConnectUart();
  avr_irq_register_notify(avr_get_interrupt_irq(avr, AVR_INT_ANY) + AVR_INT_IRQ_RUNNING,
                          OnInterrupt, NULL);
  if (fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK) < 0) {
    Fail("cannot be read without waiting", "standard input");
  }
  Execute();
}
