/* SPDX-License-Identifier: Apache-2.0 */
/* Every hart has control and status registers, but compilers with libraries for rv32imac have none
 * for rv32imac_zicsr. Included before every source, since FreeRTOS's macros use the registers. */
#ifdef __ASSEMBLER__
.option arch, +zicsr
#else
__asm__(".option arch, +zicsr");
#endif
