/* SPDX-License-Identifier: Apache-2.0 */
/* Reads JSON where it stands, without recursion and without memory of its own. Internal to the
 * runtime.
 *
 * A reader is a place in the text; copying it keeps the place. After the first error a reader
 * stands at the end and gives nothing any more, so that loops end and one check afterwards
 * suffices. Values that are skipped are checked for their brackets and strings only.
 */
#ifndef MICROTVM_SRC_JSON_H_
#define MICROTVM_SRC_JSON_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/model.h>

typedef struct {
  MICROTVM_FLASH_POINTER(char) position;
  MICROTVM_FLASH_POINTER(char) end;
  bool failed;
} MicroTVMJson;

/* A string as it stands between its quotes, escapes and all. */
typedef struct {
  MICROTVM_FLASH_POINTER(char) bytes;
  size_t size_bytes;
} MicroTVMJsonString;

void MicroTVMJsonInit(MicroTVMJson *json, MICROTVM_FLASH_POINTER(char) text, size_t size_bytes);

/* Notes an error. */
void MicroTVMJsonFail(MicroTVMJson *json);

/* Whether nothing but white space is left; false after an error. */
bool MicroTVMJsonAtEnd(MicroTVMJson *json);

/* Walks through an array:
 *
 *   bool first = MicroTVMJsonEnter(json, '[');
 *   while (MicroTVMJsonNext(json, &first)) { read or skip one value }
 */
bool MicroTVMJsonEnter(MicroTVMJson *json, char bracket);
bool MicroTVMJsonNext(MicroTVMJson *json, bool *first);

/* Likewise through an object, entered by '{': gives the next member's key, and stands at its
 * value, which must be read or skipped. */
bool MicroTVMJsonNextMember(MicroTVMJson *json, bool *first, MicroTVMJsonString *key);

MicroTVMJsonString MicroTVMJsonReadString(MicroTVMJson *json);

/* Reads an integer of 32 bits; a fraction or an exponent is an error. */
int32_t MicroTVMJsonReadInt(MicroTVMJson *json);

/* Reads such an integer that is written as a string. */
int32_t MicroTVMJsonReadQuotedInt(MicroTVMJson *json);

/* Passes over any value, nested up to 32 deep. */
void MicroTVMJsonSkip(MicroTVMJson *json);

/* Whether a string, its escapes taken off, is this text in UTF-8. */
bool MicroTVMJsonEquals(MicroTVMJsonString string, const char *text);

#endif /* MICROTVM_SRC_JSON_H_ */
