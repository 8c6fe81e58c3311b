# SPDX-License-Identifier: Apache-2.0
# What a generated project asks of Zephyr's build, and no more, over the drivers of the platform
# baremetal: the tests build the project's own sources with it where there is no Zephyr.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_C_COMPILER ${CROSS_COMPILE}gcc)
set(CMAKE_ASM_COMPILER ${CROSS_COMPILE}gcc)
set(CMAKE_C_COMPILER_FORCED TRUE)
project(Zephyr-Kernel LANGUAGES C ASM)

get_filename_component(ZEPHYR_BASE ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
get_filename_component(baremetal ${ZEPHYR_BASE}/../../../pytest_microtvm/platforms/baremetal/src
                       ABSOLUTE)
if(NOT BOARD STREQUAL "mps2_an385")
  message(FATAL_ERROR "No board named '${BOARD}' found.")
endif()

add_library(compiler INTERFACE)
add_library(zephyr_interface INTERFACE)
add_library(app STATIC)
target_link_libraries(app PRIVATE zephyr_interface)

function(zephyr_compile_options)
  target_compile_options(zephyr_interface INTERFACE ${ARGV})
endfunction()
function(zephyr_compile_definitions)
  target_compile_definitions(zephyr_interface INTERFACE ${ARGV})
endfunction()
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${ARGV})
endfunction()
function(zephyr_link_libraries)
  target_link_libraries(zephyr_interface INTERFACE ${ARGV})
endfunction()
macro(zephyr_library_named name)
  add_library(${name} STATIC)
  target_link_libraries(${name} PRIVATE zephyr_interface)
  set_property(GLOBAL APPEND PROPERTY ZEPHYR_LIBS ${name})
  set(ZEPHYR_CURRENT_LIBRARY ${name})
endmacro()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
endfunction()

# Kconfig: the lines as they stand, as variables and as macros.
set(settings "#define CONFIG_ARM 1\n#define CONFIG_CPU_CORTEX_M 1\n")
string(APPEND settings "#define CONFIG_ARMV7_M_ARMV8_M_MAINLINE 1\n")
string(APPEND settings "#define CONFIG_SYS_CLOCK_TICKS_PER_SEC 100\n")
set(CONFIG_MICROTVM_PLATFORM y)
file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/prj.conf lines REGEX "^CONFIG_")
set(defaults CONFIG_MICROTVM_LINK_INTERRUPTS=y CONFIG_MICROTVM_LINK_BUFFER_BYTES=1024)
foreach(line ${defaults} ${lines} ${MICROTVM_SETTINGS})
  string(REGEX MATCH "^([A-Z0-9_]+)=(.*)$" _ "${line}")
  if(CMAKE_MATCH_2 STREQUAL "y")
    set(${CMAKE_MATCH_1} y)
    string(APPEND settings "#define ${CMAKE_MATCH_1} 1\n")
  elseif(NOT CMAKE_MATCH_2 STREQUAL "n")
    string(APPEND settings "#define ${CMAKE_MATCH_1} ${CMAKE_MATCH_2}\n")
  endif()
endforeach()
set(autoconf ${CMAKE_BINARY_DIR}/zephyr/include/generated/autoconf.h)
file(WRITE ${autoconf} "${settings}")
file(WRITE ${CMAKE_BINARY_DIR}/zephyr/.config "CONFIG_SRAM_SIZE=4096\nCONFIG_FLASH_SIZE=4096\n")

set(cpu -mcpu=cortex-m3 -mthumb)
# -Os, as Zephyr has it: what a project asks for has to come behind it.
zephyr_compile_options(${cpu} -Os -g -ffreestanding -fno-common -ffunction-sections -fdata-sections
                       -fno-strict-aliasing "SHELL:-imacros ${autoconf}")
zephyr_include_directories(${ZEPHYR_BASE}/include)

foreach(module ${ZEPHYR_EXTRA_MODULES})
  add_subdirectory(${module}/zephyr ${CMAKE_BINARY_DIR}/modules/microtvm)
endforeach()

set(drivers ${baremetal}/cortex_m/cpu.c ${baremetal}/cortex_m/start.S
    ${baremetal}/cortex_m/vectors.c ${baremetal}/uart.c ${baremetal}/uart/cmsdk.c ${baremetal}/timer/cmsdk.c)
add_executable(zephyr ${ZEPHYR_BASE}/src/kernel.c ${drivers})
set_target_properties(zephyr PROPERTIES OUTPUT_NAME zephyr SUFFIX .elf
                      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/zephyr)
# A fault goes the way that it has in Zephyr.
set_property(SOURCE ${baremetal}/cortex_m/cpu.c PROPERTY COMPILE_OPTIONS -DMicroTVMFault=StandInFault)
target_include_directories(zephyr BEFORE PRIVATE ${ZEPHYR_BASE}/include/drivers ${baremetal}
                           ${baremetal}/cortex_m)
get_property(libraries GLOBAL PROPERTY ZEPHYR_LIBS)
target_link_libraries(zephyr PRIVATE zephyr_interface)
target_link_options(zephyr PRIVATE ${cpu} -nostdlib -static -T ${baremetal}/firmware.ld
                    -L${ZEPHYR_BASE} -Wl,--gc-sections,--build-id=none)
target_link_libraries(zephyr PRIVATE -Wl,--whole-archive app ${libraries} -Wl,--no-whole-archive
                      -Wl,--start-group -lm -lc -lgcc -Wl,--end-group)
