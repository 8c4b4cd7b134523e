/*
 * The C front of the PKCS #11 module. It checks and copies every pointer and length that a host passes, into one flat message for the Go
 * core, and copies what the core answers back. It decides nothing else.
 */
#ifndef TPMKEY_FRONT_H
#define TPMKEY_FRONT_H

#include <stddef.h>
#include <stdint.h>

#define CRYPTOKI_COMPAT 1
#include <p11-kit/pkcs11.h>

/* The number of each function of functions.h. */
#define FUNCTION(name, ...) fn_##name,
#define OWN(name) fn_##name,
enum tpmkey_function {
	fn_none,
#include "functions.h"
};

/* Added to the number of a function whose pointers cannot be followed; only its first argument comes after it. */
#define TPMKEY_MALFORMED ((uint64_t)1 << 32)

/* start.c: the core, started at the first C_Initialize, and calls of it. A response is in memory from malloc. */
CK_RV tpmkey_start(void);
void tpmkey_stop(void);
int tpmkey_started(void);
int tpmkey_core_is_here(void);
CK_RV tpmkey_call(const void *request, size_t size, void **response, size_t *response_size);

/* wait.c: C_Finalize, as those see it who wait for it. */
unsigned tpmkey_finalizations(void);
void tpmkey_finalized(void);
int tpmkey_await_finalize(unsigned before);

/* core.go: one request in, one response out, in memory from malloc; NULL where there is none. */
extern void tpmkey_core(void *request, size_t size, void **response, size_t *response_size);

void *tpmkey_memory(size_t size);

#endif
