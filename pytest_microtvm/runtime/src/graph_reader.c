/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the JSON graph of a model where it stands in flash, and makes the table of steps from it.
 */
#include "graph_reader.h"

#include "json.h"
#include "memory.h"

#define BITS_PER_BYTE 8u

_Static_assert(sizeof(MicroTVMGraphStep) % _Alignof(void *) == 0 &&
                   sizeof(MicroTVMGraphEntry) % _Alignof(uint32_t) == 0,
               "pointers may follow steps, and numbers may follow entries");

/* The graph while it is read. */
typedef struct {
  MicroTVMGraphExecutor *executor;
  const MicroTVMGraph *graph;
  MicroTVMGraphEntry *entries; /* num_entries */
  uint32_t *first_entries;     /* num_nodes + 1: the first entry of each node, and num_entries */
  MicroTVMGraphStep *steps;
  void **arguments;
  uint32_t max_steps;
  uint32_t max_arguments;
  uint32_t num_steps;
  uint32_t num_arguments;
  uint32_t num_inputs; /* met so far */
  int32_t status;      /* the first error, but for those of the JSON readers */
} Reading;

/* One element of "nodes". */
typedef struct {
  MicroTVMJsonString op;
  MicroTVMJsonString name;
  MicroTVMJson inputs;
  MicroTVMJson attrs;
} Node;

static void Fail(Reading *reading, int32_t status) {
  if (reading->status == kMicroTVMOk) {
    reading->status = status;
  }
}

/* Gives the place of a member's value; a failed reader when there is no such member. */
static MicroTVMJson Find(const MicroTVMJson *object, const char *key) {
  MicroTVMJson json = *object;
  MicroTVMJsonString found;
  bool first = MicroTVMJsonEnter(&json, '{');
  while (MicroTVMJsonNextMember(&json, &first, &found)) {
    if (MicroTVMJsonEquals(found, key)) {
      return json;
    }
    MicroTVMJsonSkip(&json);
  }
  MicroTVMJsonFail(&json);
  return json;
}

/* Gives the place in front of the first element of one of the lists in the graph's attributes,
 * which are written ["list_TYPE", [ELEMENT, ...]]. */
static MicroTVMJson OpenList(const MicroTVMJson *attrs, const char *key) {
  MicroTVMJson json = Find(attrs, key);
  bool first = MicroTVMJsonEnter(&json, '[');
  (void)MicroTVMJsonNext(&json, &first);
  (void)MicroTVMJsonReadString(&json);
  (void)MicroTVMJsonNext(&json, &first);
  (void)MicroTVMJsonEnter(&json, '[');
  return json;
}

/* ---- entries ---- */

/* Bytes of an element, such as 4 of "float32"; 0 when there is no such type. */
static uint32_t ElementBytes(MicroTVMJsonString dtype) {
  uint32_t bits = 0;
  if (MicroTVMJsonEquals(dtype, "bool")) {
    return 1;
  }
  for (size_t i = 0; i < dtype.size_bytes; ++i) {
    const char next = dtype.bytes[i];
    if (next >= '0' && next <= '9' && bits < 100u) {
      bits = bits * 10u + (uint32_t)(next - '0');
    }
  }
  return bits == 8u || bits == 16u || bits == 32u || bits == 64u ? bits / BITS_PER_BYTE : 0u;
}

static uint32_t ReadSizeBytes(Reading *reading, MicroTVMJson *dtypes, MicroTVMJson *shapes) {
  uint64_t size_bytes = ElementBytes(MicroTVMJsonReadString(dtypes));
  bool first = MicroTVMJsonEnter(shapes, '[');
  if (size_bytes == 0) {
    Fail(reading, kMicroTVMErrorGraph);
  }
  while (MicroTVMJsonNext(shapes, &first)) {
    const int32_t extent = MicroTVMJsonReadInt(shapes);
    /* Both factors are below 2^32, so the product does not wrap around. */
    if (extent < 0 || size_bytes * (uint32_t)extent > UINT32_MAX) {
      Fail(reading, kMicroTVMErrorGraph);
      return 0;
    }
    size_bytes *= (uint32_t)extent;
  }
  return (uint32_t)size_bytes;
}

/* Whether a part of the model's workspace lies in it and is aligned. */
static bool FitsWorkspace(const Reading *reading, int32_t offset, uint32_t size_bytes) {
  const uint32_t workspace_bytes = reading->executor->base.model->workspace_bytes;
  return offset >= 0 && (uint32_t)offset % MICROTVM_ALIGNMENT_BYTES == 0 &&
         size_bytes <= workspace_bytes && (uint32_t)offset <= workspace_bytes - size_bytes;
}

/* Reads size and place of every entry; inputs, outputs and constants get their place later. */
static void ReadEntries(Reading *reading, const MicroTVMJson *attrs) {
  MicroTVMJson dtypes = OpenList(attrs, "dltype");
  MicroTVMJson shapes = OpenList(attrs, "shape");
  MicroTVMJson offsets = OpenList(attrs, "storage_offset");
  bool first_dtype = true;
  bool first_shape = true;
  bool first_offset = true;
  uint32_t count = 0;

  while (MicroTVMJsonNext(&dtypes, &first_dtype)) {
    if (!MicroTVMJsonNext(&shapes, &first_shape) || !MicroTVMJsonNext(&offsets, &first_offset) ||
        count == reading->graph->num_entries) {
      Fail(reading, kMicroTVMErrorGraph);
      break;
    }
    MicroTVMGraphEntry *entry = &reading->entries[count++];
    entry->data = NULL;
    entry->size_bytes = ReadSizeBytes(reading, &dtypes, &shapes);
    const int32_t offset = MicroTVMJsonReadInt(&offsets);
    if (offset == -1) {
      continue;
    }
    if (!FitsWorkspace(reading, offset, entry->size_bytes)) {
      Fail(reading, kMicroTVMErrorGraph);
      break;
    }
    entry->data = reading->executor->base.workspace + offset;
  }
  if (dtypes.failed || shapes.failed || offsets.failed) {
    Fail(reading, kMicroTVMErrorGraphSyntax);
  } else if (count != reading->graph->num_entries) {
    Fail(reading, kMicroTVMErrorGraph);
  }
}

/* Reads which entries are whose. */
static void ReadFirstEntries(Reading *reading, const MicroTVMJson *root) {
  MicroTVMJson json = Find(root, "node_row_ptr");
  bool first = MicroTVMJsonEnter(&json, '[');
  uint32_t count = 0;
  uint32_t previous = 0;

  while (MicroTVMJsonNext(&json, &first)) {
    const uint32_t value = (uint32_t)MicroTVMJsonReadInt(&json);
    if (count > reading->graph->num_nodes || value > reading->graph->num_entries ||
        value < previous || (count == 0 && value != 0)) {
      Fail(reading, kMicroTVMErrorGraph);
      return;
    }
    reading->first_entries[count++] = value;
    previous = value;
  }
  if (json.failed) {
    Fail(reading, kMicroTVMErrorGraphSyntax);
  } else if (count != reading->graph->num_nodes + 1u || previous != reading->graph->num_entries) {
    Fail(reading, kMicroTVMErrorGraph);
  }
}

/* Reads a reference to an output of one of the first `num_nodes` nodes: [node, output, version].
 * Gives null when there is no such entry. */
static MicroTVMGraphEntry *ReadReference(Reading *reading, MicroTVMJson *json, uint32_t num_nodes) {
  int32_t numbers[3] = {0, 0, 0};
  bool first = MicroTVMJsonEnter(json, '[');
  for (uint32_t i = 0; i < 3u && MicroTVMJsonNext(json, &first); ++i) {
    numbers[i] = MicroTVMJsonReadInt(json);
  }
  if (MicroTVMJsonNext(json, &first)) {
    MicroTVMJsonFail(json);
  }
  const uint32_t node = (uint32_t)numbers[0];
  const uint32_t output = (uint32_t)numbers[1];
  if (json->failed || node >= num_nodes ||
      output >= reading->first_entries[node + 1u] - reading->first_entries[node]) {
    Fail(reading, json->failed ? kMicroTVMErrorGraphSyntax : kMicroTVMErrorGraph);
    return NULL;
  }
  return &reading->entries[reading->first_entries[node] + output];
}

/* Gives an entry the memory that was found for it. */
static void Bind(Reading *reading, MicroTVMGraphEntry *entry, const MicroTVMTensorInfo *info,
                 void *data) {
  if (entry == NULL || entry->data != NULL || entry->size_bytes != info->size_bytes) {
    Fail(reading, kMicroTVMErrorGraph);
  } else {
    entry->data = data;
  }
}

/* Reads which entries are the model's outputs. */
static void ReadHeads(Reading *reading, const MicroTVMJson *root) {
  const MicroTVMExecutor *base = &reading->executor->base;
  MicroTVMJson json = Find(root, "heads");
  bool first = MicroTVMJsonEnter(&json, '[');
  uint32_t count = 0;

  while (reading->status == kMicroTVMOk && MicroTVMJsonNext(&json, &first)) {
    MicroTVMGraphEntry *entry = ReadReference(reading, &json, reading->graph->num_nodes);
    if (count == base->model->num_outputs) {
      Fail(reading, kMicroTVMErrorGraph);
      return;
    }
    Bind(reading, entry, &base->model->outputs[count], MicroTVMExecutorOutput(base, count));
    ++count;
  }
  if (json.failed) {
    Fail(reading, kMicroTVMErrorGraphSyntax);
  } else if (count != base->model->num_outputs) {
    Fail(reading, kMicroTVMErrorGraph);
  }
}

/* ---- nodes ---- */

static void ReadNode(MicroTVMJson *json, Node *node) {
  node->inputs = Find(json, "inputs");
  node->attrs = *json;
  MicroTVMJson op = Find(json, "op");
  MicroTVMJson name = Find(json, "name");
  node->op = MicroTVMJsonReadString(&op);
  node->name = MicroTVMJsonReadString(&name);
  if (op.failed || name.failed) {
    MicroTVMJsonFail(json);
  }
  MicroTVMJsonSkip(json);
}

/* A node without an operation is a constant, by its name, or else the next input. */
static void BindNull(Reading *reading, uint32_t index, const Node *node) {
  const MicroTVMGraph *graph = reading->graph;
  const MicroTVMExecutor *base = &reading->executor->base;
  MicroTVMGraphEntry *entry = &reading->entries[reading->first_entries[index]];

  if (reading->first_entries[index + 1u] != reading->first_entries[index] + 1u) {
    Fail(reading, kMicroTVMErrorGraph);
    return;
  }
  for (uint32_t i = 0; i < graph->num_constants; ++i) {
    const MicroTVMConstant *constant = &graph->constants[i];
    if (MicroTVMJsonEquals(node->name, constant->info.name)) {
      /* Kernels take all arguments alike; they write to outputs only, which this is none of. */
      Bind(reading, entry, &constant->info, (void *)(uintptr_t)MICROTVM_ARGUMENT(constant));
      return;
    }
  }
  if (reading->num_inputs == base->model->num_inputs) {
    Fail(reading, kMicroTVMErrorGraph);
    return;
  }
  Bind(reading, entry, &base->model->inputs[reading->num_inputs],
       MicroTVMExecutorInput(base, reading->num_inputs));
  ++reading->num_inputs;
}

static const MicroTVMKernel *FindKernel(const MicroTVMGraph *graph, MicroTVMJsonString name) {
  for (uint32_t i = 0; i < graph->num_kernels; ++i) {
    if (MicroTVMJsonEquals(name, graph->kernels[i].name)) {
      return &graph->kernels[i];
    }
  }
  return NULL;
}

/* Adds an argument to the step being read. `kernel` is null for a copy. */
static void AddArgument(Reading *reading, const MicroTVMKernel *kernel, uint32_t index,
                        const MicroTVMGraphEntry *entry) {
  MicroTVMGraphStep *step = &reading->steps[reading->num_steps];
  if (entry == NULL || entry->data == NULL) {
    Fail(reading, kMicroTVMErrorGraph); /* nothing has written it */
    return;
  }
  if (reading->num_arguments == reading->max_arguments) {
    Fail(reading, kMicroTVMErrorBufferTooSmall);
    return;
  }
  if (kernel != NULL && kernel->arg_bytes != NULL &&
      kernel->arg_bytes[index] != entry->size_bytes) {
    Fail(reading, kMicroTVMErrorGraphKernel);
    return;
  }
  if (kernel == NULL) {
    if (index > 0 && entry->size_bytes != step->copy_bytes) {
      Fail(reading, kMicroTVMErrorGraph);
      return;
    }
    step->copy_bytes = entry->size_bytes;
  }
  reading->arguments[reading->num_arguments++] = entry->data;
}

/* A node with an operation becomes a step. */
static void AddStep(Reading *reading, uint32_t index, const Node *node) {
  const uint32_t first_output = reading->first_entries[index];
  const uint32_t num_outputs = reading->first_entries[index + 1u] - first_output;
  const MicroTVMJson attrs = Find(&node->attrs, "attrs");
  MicroTVMJson func_name = Find(&attrs, "func_name");
  MicroTVMJson workspace_offset = Find(&attrs, "workspace_offset");
  MicroTVMJson inputs = node->inputs;
  const MicroTVMJsonString name = MicroTVMJsonReadString(&func_name);
  const bool copy = MicroTVMJsonEquals(name, "__copy");
  const MicroTVMKernel *kernel = copy ? NULL : FindKernel(reading->graph, name);
  const uint32_t num_arguments = copy ? 2u : kernel != NULL ? kernel->num_args : 0u;
  MicroTVMGraphStep *step = &reading->steps[reading->num_steps];
  uint32_t count = 0;

  if (func_name.failed) {
    Fail(reading, kMicroTVMErrorGraphSyntax);
    return;
  }
  if (reading->num_steps == reading->max_steps) {
    Fail(reading, kMicroTVMErrorBufferTooSmall);
    return;
  }
  if ((kernel == NULL && !copy) || num_outputs > num_arguments ||
      num_outputs != (copy ? 1u : kernel->num_outputs)) {
    Fail(reading, kMicroTVMErrorGraphKernel);
    return;
  }
  step->kernel = kernel;
  step->workspace = NULL;
  step->copy_bytes = 0;
  if (kernel != NULL && kernel->workspace_bytes > 0) {
    const int32_t offset = MicroTVMJsonReadQuotedInt(&workspace_offset);
    if (workspace_offset.failed || !FitsWorkspace(reading, offset, kernel->workspace_bytes)) {
      Fail(reading, kMicroTVMErrorGraph);
      return;
    }
    step->workspace = reading->executor->base.workspace + offset;
  }
  bool first = MicroTVMJsonEnter(&inputs, '[');
  while (reading->status == kMicroTVMOk && MicroTVMJsonNext(&inputs, &first)) {
    const MicroTVMGraphEntry *entry = ReadReference(reading, &inputs, index);
    if (count == num_arguments - num_outputs) {
      Fail(reading, kMicroTVMErrorGraphKernel);
      return;
    }
    AddArgument(reading, kernel, count++, entry);
  }
  if (inputs.failed) {
    Fail(reading, kMicroTVMErrorGraphSyntax);
  } else if (count != num_arguments - num_outputs) {
    Fail(reading, kMicroTVMErrorGraphKernel);
  }
  for (uint32_t i = 0; i < num_outputs && reading->status == kMicroTVMOk; ++i) {
    AddArgument(reading, kernel, count++, &reading->entries[first_output + i]);
  }
  ++reading->num_steps;
}

static void ReadNodes(Reading *reading, const MicroTVMJson *root) {
  MicroTVMJson json = Find(root, "nodes");
  MicroTVMJson arg_nodes = Find(root, "arg_nodes");
  bool first = MicroTVMJsonEnter(&json, '[');
  bool first_arg_node = MicroTVMJsonEnter(&arg_nodes, '[');
  uint32_t count = 0;

  while (reading->status == kMicroTVMOk && MicroTVMJsonNext(&json, &first)) {
    Node node;
    const uint32_t index = count++;
    ReadNode(&json, &node);
    if (json.failed) {
      break;
    }
    if (index == reading->graph->num_nodes) {
      Fail(reading, kMicroTVMErrorGraph);
    } else if (MicroTVMJsonEquals(node.op, "null")) {
      if (!MicroTVMJsonNext(&arg_nodes, &first_arg_node) ||
          (uint32_t)MicroTVMJsonReadInt(&arg_nodes) != index) {
        Fail(reading, kMicroTVMErrorGraph);
      }
      BindNull(reading, index, &node);
    } else if (MicroTVMJsonEquals(node.op, "tvm_op")) {
      AddStep(reading, index, &node);
    } else {
      Fail(reading, kMicroTVMErrorGraph);
    }
  }
  if (json.failed || arg_nodes.failed) {
    Fail(reading, kMicroTVMErrorGraphSyntax);
  } else if (count != reading->graph->num_nodes ||
             reading->num_inputs != reading->executor->base.model->num_inputs ||
             MicroTVMJsonNext(&arg_nodes, &first_arg_node)) {
    Fail(reading, kMicroTVMErrorGraph);
  }
}

/* Counts the nodes that become steps. */
static uint32_t CountSteps(const MicroTVMJson *root) {
  MicroTVMJson json = Find(root, "nodes");
  bool first = MicroTVMJsonEnter(&json, '[');
  uint32_t count = 0;
  while (MicroTVMJsonNext(&json, &first)) {
    MicroTVMJson op = Find(&json, "op");
    if (!MicroTVMJsonEquals(MicroTVMJsonReadString(&op), "null")) {
      ++count;
    }
    MicroTVMJsonSkip(&json);
  }
  return count;
}

static int32_t ReadGraph(Reading *reading, uint8_t *table, size_t table_bytes) {
  const MicroTVMGraph *graph = reading->graph;
  MicroTVMJson root;
  MicroTVMJson text;
  MicroTVMJson attrs;

  MicroTVMJsonInit(&root, graph->json, graph->json_bytes);
  text = root;
  MicroTVMJsonSkip(&text);
  if (!MicroTVMJsonAtEnd(&text)) {
    return kMicroTVMErrorGraphSyntax;
  }
  reading->max_steps = CountSteps(&root);
  if (reading->max_steps > table_bytes / sizeof(MicroTVMGraphStep)) {
    return kMicroTVMErrorBufferTooSmall;
  }
  table_bytes -= reading->max_steps * sizeof(MicroTVMGraphStep);
  reading->steps = (MicroTVMGraphStep *)(void *)table;
  reading->arguments = (void **)(void *)(reading->steps + reading->max_steps);
  reading->max_arguments = (uint32_t)(table_bytes / sizeof(void *));
  /* Each reading needs what the one before it has filled in. */
  attrs = Find(&root, "attrs");
  ReadEntries(reading, &attrs);
  if (reading->status == kMicroTVMOk) {
    ReadFirstEntries(reading, &root);
  }
  if (reading->status == kMicroTVMOk) {
    ReadHeads(reading, &root);
  }
  if (reading->status == kMicroTVMOk) {
    ReadNodes(reading, &root);
  }
  return reading->status;
}

int32_t MicroTVMReadGraph(MicroTVMGraphExecutor *executor, const MicroTVMGraph *graph,
                          uint8_t *table, size_t table_bytes) {
  const size_t workspace_bytes = executor->base.workspace_bytes;
  Reading reading;
  int32_t status;

  /* So many entries or nodes that the sum would wrap around do not fit, either. */
  if (graph->num_entries > workspace_bytes / sizeof(MicroTVMGraphEntry) ||
      graph->num_nodes >= workspace_bytes / sizeof(uint32_t) ||
      MICROTVM_GRAPH_INIT_BYTES((size_t)graph->num_nodes, (size_t)graph->num_entries) >
          workspace_bytes) {
    return kMicroTVMErrorBufferTooSmall;
  }
  memset(&reading, 0, sizeof(reading));
  reading.executor = executor;
  reading.graph = graph;
  reading.entries = (MicroTVMGraphEntry *)(void *)executor->base.workspace;
  reading.first_entries = (uint32_t *)(void *)(reading.entries + graph->num_entries);
  status = ReadGraph(&reading, table, table_bytes);
  if (status != kMicroTVMOk) {
    return status;
  }
  executor->base.own_bytes =
      (uint32_t)(sizeof(*executor) + MICROTVM_GRAPH_TABLE_BYTES((size_t)reading.num_steps,
                                                                (size_t)reading.num_arguments));
  executor->steps = reading.steps;
  executor->arguments = reading.arguments;
  executor->num_steps = reading.num_steps;
  return kMicroTVMOk;
}
