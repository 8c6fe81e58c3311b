/* SPDX-License-Identifier: Apache-2.0 */
/* The memory pool: blocks one after the other, each behind a header that is checked at every use.
 */
#include <microtvm/pool.h>

#include "memory.h"

/* Unlikely as content, so that a header that was written over is noticed. */
#define USED 0x5ED0C0DEu
#define FREE 0xF5EEC0DEu

typedef struct {
  uint32_t state;         /* USED or FREE */
  uint32_t size_bytes;    /* of the content: a multiple of MICROTVM_ALIGNMENT_BYTES */
  uint32_t inverted_size; /* ~size_bytes */
  uint32_t unused;
} Block;

_Static_assert(sizeof(Block) == MICROTVM_POOL_BLOCK_BYTES, "as the header says");
_Static_assert(sizeof(Block) % MICROTVM_ALIGNMENT_BYTES == 0, "contents are aligned");

/* A walk through the blocks. */
typedef struct {
  uint8_t *position; /* of the next block */
  size_t left_bytes;
  bool damaged;
} Walk;

static void *ContentOf(Block *block) { return block + 1; }

static Walk StartWalk(const MicroTVMPool *pool) {
  const Walk walk = {pool->buffer, pool->size_bytes, false};
  return walk;
}

/* The next block; null at the end, or where the pool is damaged. */
static Block *NextBlock(Walk *walk) {
  Block *block = (Block *)(void *)walk->position;
  if (walk->left_bytes == 0) {
    return NULL;
  }
  /* left_bytes is a multiple of the alignment, and so holds a header. */
  if ((block->state != USED && block->state != FREE) ||
      block->inverted_size != ~block->size_bytes ||
      block->size_bytes % MICROTVM_ALIGNMENT_BYTES != 0 ||
      block->size_bytes > walk->left_bytes - sizeof(Block)) {
    walk->damaged = true;
    walk->left_bytes = 0;
    return NULL;
  }
  walk->position += sizeof(Block) + block->size_bytes;
  walk->left_bytes -= sizeof(Block) + block->size_bytes;
  return block;
}

static void SetBlock(Block *block, uint32_t state, size_t size_bytes) {
  block->state = state;
  block->size_bytes = (uint32_t)size_bytes;
  block->inverted_size = ~block->size_bytes;
  block->unused = 0;
}

void MicroTVMPoolInit(MicroTVMPool *pool, uint8_t *buffer, size_t size_bytes) {
  const uint64_t most_bytes = UINT32_MAX / 2u;
  const size_t usable_bytes = size_bytes < most_bytes ? size_bytes : (size_t)most_bytes;
  pool->buffer = buffer;
  pool->size_bytes = buffer == NULL || usable_bytes < sizeof(Block) + MICROTVM_ALIGNMENT_BYTES
                         ? 0
                         : usable_bytes / MICROTVM_ALIGNMENT_BYTES * MICROTVM_ALIGNMENT_BYTES;
  MicroTVMPoolReset(pool);
}

void MicroTVMPoolReset(MicroTVMPool *pool) {
  if (pool->size_bytes > 0) {
    SetBlock((Block *)(void *)pool->buffer, FREE, pool->size_bytes - sizeof(Block));
  }
}

/* Makes one free block of each row of them. */
static bool MergeFreeBlocks(MicroTVMPool *pool) {
  Walk walk = StartWalk(pool);
  Block *last = NULL;
  Block *block;
  while ((block = NextBlock(&walk)) != NULL) {
    if (last != NULL && last->state == FREE && block->state == FREE) {
      SetBlock(last, FREE, last->size_bytes + sizeof(Block) + block->size_bytes);
    } else {
      last = block;
    }
  }
  return !walk.damaged;
}

int32_t MicroTVMPoolAllocate(MicroTVMPool *pool, uint64_t size_bytes, void **content) {
  Walk walk = StartWalk(pool);
  Block *block;
  if (size_bytes > pool->size_bytes) {
    return kMicroTVMErrorNoMemory;
  }
  /* An empty block would share its address with nothing, but its neighbour's header. */
  const uint32_t needed_bytes =
      size_bytes > 0 ? MICROTVM_ALIGN_UP((uint32_t)size_bytes) : MICROTVM_ALIGNMENT_BYTES;
  while ((block = NextBlock(&walk)) != NULL) {
    if (block->state == FREE && block->size_bytes >= needed_bytes) {
      const uint32_t rest_bytes = block->size_bytes - needed_bytes;
      if (rest_bytes > sizeof(Block)) {
        SetBlock(block, USED, needed_bytes);
        SetBlock((Block *)(void *)((uint8_t *)ContentOf(block) + needed_bytes), FREE,
                 rest_bytes - sizeof(Block));
      } else {
        SetBlock(block, USED, block->size_bytes);
      }
      *content = ContentOf(block);
      return kMicroTVMOk;
    }
  }
  return walk.damaged ? kMicroTVMErrorPoolDamaged : kMicroTVMErrorNoMemory;
}

int32_t MicroTVMPoolFree(MicroTVMPool *pool, uintptr_t address) {
  Walk walk = StartWalk(pool);
  Block *block;
  while ((block = NextBlock(&walk)) != NULL) {
    if (block->state == USED && (uintptr_t)ContentOf(block) == address) {
      SetBlock(block, FREE, block->size_bytes);
      return MergeFreeBlocks(pool) ? kMicroTVMOk : kMicroTVMErrorPoolDamaged;
    }
  }
  return walk.damaged ? kMicroTVMErrorPoolDamaged : kMicroTVMErrorAddress;
}

bool MicroTVMPoolOwns(const MicroTVMPool *pool, uintptr_t address, size_t size_bytes) {
  Walk walk = StartWalk(pool);
  bool owned = false;
  Block *block;
  while ((block = NextBlock(&walk)) != NULL) {
    if (block->state == USED &&
        MicroTVMContains(ContentOf(block), block->size_bytes, address, size_bytes)) {
      owned = true;
    }
  }
  return owned && !walk.damaged;
}

uint32_t MicroTVMPoolLargestFree(const MicroTVMPool *pool) {
  Walk walk = StartWalk(pool);
  uint32_t largest_bytes = 0;
  Block *block;
  while ((block = NextBlock(&walk)) != NULL) {
    if (block->state == FREE && block->size_bytes > largest_bytes) {
      largest_bytes = block->size_bytes;
    }
  }
  return largest_bytes;
}
