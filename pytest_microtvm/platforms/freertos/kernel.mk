# SPDX-License-Identifier: Apache-2.0
# FreeRTOS: the kernel's sources and the port for the board's CPU, included by Makefile.
# FREERTOS_KERNEL is the folder that has tasks.c.
FREERTOS_KERNEL ?= $(FREERTOS_PATH)
KERNEL := $(FREERTOS_KERNEL)
ifeq ($(wildcard $(KERNEL)/tasks.c),)
$(error FREERTOS_PATH is '$(KERNEL)', which has no tasks.c: name the folder of the FreeRTOS kernel)
endif

PORT := portable/GCC/$(FREERTOS_PORT)
KERNEL_SOURCES := tasks.c list.c queue.c stream_buffer.c \
    $(patsubst $(KERNEL)/%,%,$(sort $(wildcard $(KERNEL)/$(PORT)/*.c $(KERNEL)/$(PORT)/*.S)))
# The chip's extensions are those of a RISC-V with the machine timer and no more; their older name is
# the second one.
KERNEL_INCLUDES := $(addprefix -isystem ,$(wildcard $(addprefix $(KERNEL)/, include include/freertos \
    $(PORT) $(PORT)/chip_specific_extensions/RISCV_MTIME_CLINT_no_extensions))) \
    $(addprefix -idirafter ,$(wildcard $(KERNEL)/$(PORT)/chip_specific_extensions/RV32I_CLINT_no_extensions))
ifeq ($(FREERTOS_PORT),RISC-V)
KERNEL_INCLUDES += -include src/riscv/zicsr.h
endif
KERNEL_FLAGS := -std=gnu11 -Isrc $(FREERTOS_DEFINITIONS) -ffile-prefix-map=$(KERNEL)=freertos \
    -DportasmHANDLE_INTERRUPT=freertos_risc_v_application_interrupt_handler
