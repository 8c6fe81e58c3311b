/* SPDX-License-Identifier: Apache-2.0 */
/* Zephyr 2.7, 3.x and 4.x: headers by their old and new places, and names that have changed. */
#ifndef MICROTVM_ZEPHYR_COMPATIBLE_H_
#define MICROTVM_ZEPHYR_COMPATIBLE_H_

#if __has_include(<zephyr/kernel.h>)
#include <zephyr/kernel.h>
#include <zephyr/fatal.h>
#include <zephyr/sys/printk.h>
#else /* up to 3.0 */
#include <zephyr.h>
#include <fatal.h>
#include <sys/printk.h>
#endif

#if __has_include(<zephyr/version.h>)
#include <zephyr/version.h>
#else
#include <version.h>
#endif

/* What the CPU stacked at an exception. */
#if KERNEL_VERSION_NUMBER >= 0x030663
typedef struct arch_esf MicroTVMExceptionFrame;
#else
typedef z_arch_esf_t MicroTVMExceptionFrame;
#endif

#endif /* MICROTVM_ZEPHYR_COMPATIBLE_H_ */
