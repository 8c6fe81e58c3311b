/* SPDX-License-Identifier: Apache-2.0 */
/* There is one device, the port that the devicetree chooses. */
#ifndef STANDIN_DEVICE_H_
#define STANDIN_DEVICE_H_

#include <stdbool.h>

struct device {
  const char *name;
};

extern const struct device standin_uart;

#define DT_HAS_CHOSEN(name) DT_HAS_CHOSEN_##name
#define DT_HAS_CHOSEN_microtvm_uart 0
#define DT_HAS_CHOSEN_zephyr_shell_uart 1
#define DT_CHOSEN(name) name
#define DEVICE_DT_GET(node) (&standin_uart)

static inline bool device_is_ready(const struct device *device) { return device != 0; }

#endif /* STANDIN_DEVICE_H_ */
