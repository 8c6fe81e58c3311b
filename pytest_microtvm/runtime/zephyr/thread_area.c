/* SPDX-License-Identifier: Apache-2.0 */
/* Where %gs points. A C library that was built for Linux keeps a thread's own data there, above all
 * its stack canary, at 20; Zephyr lets %gs be 0, and maps nothing there. */
#include <microtvm/zephyr/compatible.h>

#if __has_include(<zephyr/init.h>)
#include <zephyr/init.h>
#else
#include <init.h>
#endif

#if !defined(CONFIG_THREAD_LOCAL_STORAGE) /* else Zephyr has a segment for it */

#define MAX_DESCRIPTORS 16u
#define DATA_FROM_0 0x00cf93000000ffffull /* 4 GiB, for the kernel to read and write */

typedef struct __packed {
  uint16_t last_byte;
  uint32_t address;
} TablePointer;

static uint64_t descriptors[MAX_DESCRIPTORS];
static uint32_t area[16];

/* Adds a descriptor to a copy of Zephyr's table. */
#if KERNEL_VERSION_NUMBER >= 0x030363
static int PointToArea(void) {
#else
static int PointToArea(const struct device *device) {
  ARG_UNUSED(device);
#endif
  TablePointer table;
  __asm__ volatile("sgdt %0" : "=m"(table));
  const uint32_t count = (table.last_byte + 1u) / sizeof(descriptors[0]);
  if (count >= MAX_DESCRIPTORS) {
    return -ENOMEM;
  }
  const uint64_t *const own = (const uint64_t *)(uintptr_t)table.address;
  for (uint32_t i = 0; i < count; ++i) {
    descriptors[i] = own[i];
  }
  const uint64_t base = (uintptr_t)area;
  descriptors[count] = DATA_FROM_0 | (base & 0xffffffu) << 16 | (base >> 24) << 56;
  area[0] = (uint32_t)(uintptr_t)area; /* the library finds the area itself by that */
  table.last_byte = (uint16_t)((count + 1u) * sizeof(descriptors[0]) - 1u);
  table.address = (uint32_t)(uintptr_t)descriptors;
  __asm__ volatile("lgdt %0\n\tmovw %w1, %%gs" ::"m"(table), "r"(count * sizeof(descriptors[0]))
                   : "memory");
  return 0;
}

SYS_INIT(PointToArea, PRE_KERNEL_1, CONFIG_KERNEL_INIT_PRIORITY_DEFAULT);

#endif
