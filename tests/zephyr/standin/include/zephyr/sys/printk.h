/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STANDIN_PRINTK_H_
#define STANDIN_PRINTK_H_

#include <stdarg.h>
#include <stddef.h>

int vsnprintk(char *buffer, size_t size, const char *format, va_list arguments);

#endif /* STANDIN_PRINTK_H_ */
