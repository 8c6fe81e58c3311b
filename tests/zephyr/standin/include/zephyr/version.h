/* SPDX-License-Identifier: Apache-2.0 */
#define KERNEL_VERSION_NUMBER 0x030300
