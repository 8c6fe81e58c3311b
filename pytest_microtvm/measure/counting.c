/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin for QEMU that counts the instructions of functions of the firmware.
 *
 *   qemu-system-arm ... -plugin file=counting.so,functions=FILE,log=FILE[,costs=FILE]
 *
 * `functions` has a line for each function: "run ADDRESS" for the one that runs the model, "kernel
 * ADDRESS" for each kernel. To `log` goes a line for each run of the model, or for each call of a
 * kernel outside of one:
 *
 *   KERNEL:INSTRUCTIONS KERNEL:INSTRUCTIONS ... TOTAL
 *
 * with a word for each call of a kernel, which is named by its place among the kernels, from 0.
 * `costs` says what instructions take of cycles, by their address (see cycles.py): then each number
 * of instructions is followed by a colon and the cycles.
 *
 * What a function calls is counted to it, and what a kernel calls to that kernel. The line is
 * written before the firmware goes on.
 *
 * A call is known by its first instruction; it ends where the instruction after the one that called
 * is executed. There are no timers and no guesses in it: the same firmware with the same data gives
 * the same numbers.
 *
 * An interrupt that comes right between the two hides where the call ends: it seems to have come
 * from the interrupt's handler. What such a call belongs to gives no line, and is dropped at the
 * next one.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of QEMU's plugin interface, which is the same in all versions since 6.1. */
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t id,
                                                            struct qemu_plugin_tb *block));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block,
                                          void (*callback)(unsigned int cpu, void *data),
                                          enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction,
                                            void (*callback)(unsigned int cpu, void *data),
                                            enum qemu_plugin_cb_flags flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *instruction);

#define EXPORT __attribute__((visibility("default")))

/* QEMU up to 8 takes version 1, and later ones take version 2. */
extern EXPORT int qemu_plugin_version;
EXPORT int qemu_plugin_version = COUNTING_PLUGIN_VERSION;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

#define MAX_CPUS 16u
#define PAGE_BYTES 4096u              /* of an i386 */
#define LONGEST_INSTRUCTION_BYTES 15u /* likewise */
#define NOWHERE UINT64_MAX

typedef struct {
  uint64_t address;
  int kernel; /* its place among the kernels; -1: it runs the model */
} Function;

/* A run of instructions that QEMU translated together, which ends with the first one that jumps. */
typedef struct {
  uint64_t start;
  uint64_t end;             /* behind the last one */
  uint64_t instructions;    /* as far as they are counted together */
  uint64_t units;           /* parts of cycles that they take */
  uint32_t taken_units;     /* likewise, to go on elsewhere than behind it */
  const Function *function; /* which starts here, or null */
} Block;

/* A call that has not returned. */
typedef struct {
  const Function *function; /* null: there is none */
  uint64_t return_address;
  uint64_t start;       /* Cpu.instructions when it began */
  uint64_t start_units; /* Cpu.units likewise */
} Call;

/* A call that has returned. */
typedef struct {
  int kernel;
  uint64_t instructions;
  uint64_t cycles;
} Word;

typedef struct {
  uint64_t instructions;   /* since the start */
  uint64_t units;          /* likewise */
  uint64_t return_address; /* of the latest call; NOWHERE without one */
  uint64_t previous_end;   /* of the block before */
  uint32_t taken_units;    /* likewise */
  Call run;
  Call kernel;
  Word *words; /* of the line that is not written yet */
  size_t num_words;
} Cpu;

/* What the instructions of a section take. */
typedef struct {
  uint64_t address;
  uint64_t num_halves;
  uint16_t *units;  /* of the instruction that begins at a half word */
  uint8_t *classes; /* likewise */
} Section;

/* Parts of a cycle that costs are counted in. */
#define UNITS 16u
#define MAX_CLASSES 64u

static Section *sections;
static size_t num_sections;
static int has_costs;
static uint32_t num_classes;
static uint32_t taken_branch_units;
static uint32_t free_branch;                     /* the class of branches that take none of these */
static int16_t saved[MAX_CLASSES * MAX_CLASSES]; /* by the class before, and the class */

static Function *functions;
static size_t num_functions;
static Cpu cpus[MAX_CPUS];
static FILE *log_file;

/* The section that has an address, or null. */
static const Section *Find(uint64_t address) {
  for (size_t i = 0; i < num_sections; ++i) {
    if (address - sections[i].address < 2u * sections[i].num_halves) {
      return &sections[i];
    }
  }
  return NULL;
}

/* The class of an instruction, or null. */
static const uint8_t *ClassAt(uint64_t address) {
  const Section *section = Find(address);
  return section == NULL ? NULL : &section->classes[(address - section->address) / 2u];
}

/* What the instructions of a block take, one after the other. */
static uint64_t UnitsOf(const struct qemu_plugin_tb *block, size_t count) {
  int64_t units = 0;
  const uint8_t *before = NULL;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(block, i));
    const Section *section = Find(address);
    if (section == NULL) {
      units += UNITS;
      before = NULL;
      continue;
    }
    const uint8_t *kind = &section->classes[(address - section->address) / 2u];
    units += section->units[kind - section->classes];
    units -= before == NULL ? 0 : saved[*before * num_classes + *kind];
    before = kind;
  }
  return units < 0 ? 0 : (uint64_t)units;
}

/* Where calls have ended so far. */
static uint64_t *known_returns;
static size_t num_known_returns;

static void *Grown(void *array, size_t count, size_t item_bytes) {
  void *grown = realloc(array, count * item_bytes);
  if (grown == NULL) {
    abort();
  }
  return grown;
}

static bool IsKnownReturn(uint64_t address) {
  for (size_t i = 0; i < num_known_returns; ++i) {
    if (known_returns[i] == address) {
      return true;
    }
  }
  return false;
}

/* Whether what has not returned yet never will: a run is in no other call, and neither is a kernel
 * that is called from where one was called before. */
static bool IsHidden(const Cpu *cpu, const Function *function) {
  return function->kernel < 0 ? cpu->run.function != NULL || cpu->kernel.function != NULL
                              : cpu->run.function == NULL && cpu->kernel.function != NULL &&
                                    IsKnownReturn(cpu->previous_end);
}

static void Enter(Cpu *cpu, const Function *function) {
  const Call call = {function, cpu->previous_end, cpu->instructions, cpu->units};
  if (IsHidden(cpu, function)) {
    cpu->run.function = NULL;
    cpu->kernel.function = NULL;
    cpu->num_words = 0;
  }
  if (cpu->kernel.function != NULL) {
    return; /* it belongs to this kernel, or is the head of a loop in it */
  }
  if (function->kernel >= 0) {
    cpu->kernel = call;
  } else {
    cpu->run = call;
  }
  cpu->return_address = call.return_address;
}

static void WriteWord(const Word *word, char end) {
  fprintf(log_file, "%" PRIu64, word->instructions);
  if (has_costs) {
    fprintf(log_file, ":%" PRIu64, word->cycles);
  }
  fputc(end, log_file);
}

static void WriteLine(Cpu *cpu, const Word *total) {
  for (size_t i = 0; i < cpu->num_words; ++i) {
    fprintf(log_file, "%d:", cpu->words[i].kernel);
    WriteWord(&cpu->words[i], ' ');
  }
  WriteWord(total, '\n');
  fflush(log_file);
  cpu->num_words = 0;
}

static void Leave(Cpu *cpu) {
  const Call call = cpu->kernel.function != NULL ? cpu->kernel : cpu->run;
  const Word word = {call.function->kernel, cpu->instructions - call.start,
                     (cpu->units - call.start_units) / UNITS};
  if (!IsKnownReturn(call.return_address)) {
    known_returns = Grown(known_returns, num_known_returns + 1u, sizeof(*known_returns));
    known_returns[num_known_returns++] = call.return_address;
  }
  if (call.function->kernel >= 0) {
    cpu->words = Grown(cpu->words, cpu->num_words + 1u, sizeof(*cpu->words));
    cpu->words[cpu->num_words++] = word;
    cpu->kernel.function = NULL;
  } else {
    cpu->run.function = NULL;
  }
  cpu->return_address = cpu->run.function != NULL ? cpu->run.return_address : NOWHERE;
  if (cpu->run.function == NULL) {
    WriteLine(cpu, &word);
  }
}

/* Called before each execution of a block. */
static void Execute(unsigned int index, void *data) {
  const Block *block = data;
  Cpu *cpu = &cpus[index % MAX_CPUS];
  if (block->start == cpu->return_address) {
    Leave(cpu);
  }
  if (block->function != NULL) {
    Enter(cpu, block->function);
  }
  cpu->instructions += block->instructions;
  cpu->units += block->units;
  if (block->start != cpu->previous_end) {
    cpu->units += cpu->taken_units;
  }
  cpu->taken_units = block->taken_units;
  cpu->previous_end = block->end;
}

/* Called before each execution of an instruction that is counted by itself. */
static void ExecuteOne(unsigned int index, void *data) {
  (void)data;
  ++cpus[index % MAX_CPUS].instructions;
}

/* Called when a block is translated. QEMU may execute a block as long as it lives, so none is
 * freed. */
static void Translate(qemu_plugin_id_t id, struct qemu_plugin_tb *translated) {
  const size_t count = qemu_plugin_tb_n_insns(translated);
  Block *block = malloc(sizeof(*block));
  (void)id;
  if (block == NULL || count == 0) {
    abort();
  }
  struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(translated, count - 1u);
  block->start = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(translated, 0));
  block->end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
  block->instructions = count;
  block->units = UnitsOf(translated, count);
  const uint8_t *kind = ClassAt(qemu_plugin_insn_vaddr(last));
  block->taken_units = kind != NULL && *kind == free_branch ? 0 : taken_branch_units;
  block->function = NULL;
  for (size_t i = 0; i < num_functions; ++i) {
    if (functions[i].address == block->start) {
      block->function = &functions[i];
      break;
    }
  }
  if (qemu_plugin_insn_vaddr(last) % PAGE_BYTES > PAGE_BYTES - LONGEST_INSTRUCTION_BYTES) {
    /* On an i386 it may reach into the next page: then QEMU tells of it, but leaves it to another
     * block. */
    --block->instructions;
    qemu_plugin_register_vcpu_insn_exec_cb(last, ExecuteOne, QEMU_PLUGIN_CB_NO_REGS, NULL);
  }
  qemu_plugin_register_vcpu_tb_exec_cb(translated, Execute, QEMU_PLUGIN_CB_NO_REGS, block);
}

static int ReadFunctions(const char *path) {
  FILE *file = fopen(path, "r");
  char kind[8];
  uint64_t address;
  int num_kernels = 0;
  if (file == NULL) {
    return -1;
  }
  while (fscanf(file, "%7s %" SCNx64, kind, &address) == 2) {
    functions = Grown(functions, num_functions + 1u, sizeof(*functions));
    functions[num_functions++] =
        (Function){address, strcmp(kind, "kernel") == 0 ? num_kernels++ : -1};
  }
  const int failed = !feof(file);
  fclose(file);
  return failed ? -1 : 0;
}

static int ReadSection(FILE *file, uint64_t address) {
  Section section = {address, 0, NULL, NULL};
  Section *grown = realloc(sections, (num_sections + 1u) * sizeof(*sections));
  if (grown == NULL) {
    return -1;
  }
  sections = grown;
  if (fread(&section.num_halves, sizeof(section.num_halves), 1, file) != 1) {
    return -1;
  }
  const size_t count = (size_t)section.num_halves;
  section.units = malloc((count + 1u) * sizeof(*section.units));
  section.classes = malloc(count + 1u);
  if (section.units == NULL || section.classes == NULL ||
      fread(section.units, sizeof(*section.units), count, file) != count ||
      fread(section.classes, 1, count, file) != count) {
    return -1;
  }
  sections[num_sections++] = section;
  return 0;
}

static int ReadCosts(const char *path) {
  uint64_t address;
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    return -1;
  }
  int failed = fread(&num_classes, sizeof(num_classes), 1, file) != 1 ||
               fread(&taken_branch_units, sizeof(taken_branch_units), 1, file) != 1 ||
               fread(&free_branch, sizeof(free_branch), 1, file) != 1 ||
               num_classes > MAX_CLASSES ||
               fread(saved, sizeof(*saved) * num_classes, num_classes, file) != num_classes;
  while (!failed && fread(&address, sizeof(address), 1, file) == 1) {
    failed = ReadSection(file, address) != 0;
  }
  fclose(file);
  has_costs = !failed;
  return failed ? -1 : 0;
}

/* The value of an argument, where it is this one; else what is known so far. */
static const char *Value(const char *argument, const char *name, const char *known) {
  const size_t length = strlen(name);
  return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1
                                                                         : known;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  const char *functions_path = "";
  const char *log_path = "";
  const char *costs_path = "";
  (void)info;
  for (int i = 0; i < argc; ++i) {
    functions_path = Value(argv[i], "functions", functions_path);
    log_path = Value(argv[i], "log", log_path);
    costs_path = Value(argv[i], "costs", costs_path);
  }
  if (ReadFunctions(functions_path) != 0) {
    fprintf(stderr, "counting: cannot read the functions in %s\n", functions_path);
    return -1;
  }
  if (costs_path[0] != '\0' && ReadCosts(costs_path) != 0) {
    fprintf(stderr, "counting: cannot read the costs in %s\n", costs_path);
    return -1;
  }
  log_file = fopen(log_path, "a");
  if (log_file == NULL) {
    fprintf(stderr, "counting: cannot write %s\n", log_path);
    return -1;
  }
  for (size_t i = 0; i < MAX_CPUS; ++i) {
    cpus[i].return_address = NOWHERE;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, Translate);
  return 0;
}
