/* SPDX-License-Identifier: Apache-2.0 */
/* Read before each assembler source for Arm's own instruction set. Zephyr up to 3.3 leaves out what
 * ends this statement, on which GNU as insists since 2.40. */
#if __has_include(<zephyr/toolchain.h>)
#include <zephyr/toolchain.h>
#else
#include <toolchain.h>
#endif
#undef FUNC_CODE
#define FUNC_CODE() .code 32;
