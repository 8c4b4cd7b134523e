/*
 * What hosts of the module in C have in common. Each is called as: HOST MODULE MODE [ARGUMENT]. A mode ends with 0, or with a line on standard error.
 */
#ifndef TPMKEY_HOST_H
#define TPMKEY_HOST_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CRYPTOKI_COMPAT 1
#include <p11-kit/pkcs11.h>

#include "check.h"

static CK_FUNCTION_LIST *f;

static inline void load(const char *module)
{
	void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	CK_RV (*get)(CK_FUNCTION_LIST **) = library ? dlsym(library, "C_GetFunctionList") : NULL;

	if (!get || get(NULL) != CKR_ARGUMENTS_BAD || get(&f) != CKR_OK) {
		fprintf(stderr, "load: %s\n", dlerror());
		exit(1);
	}
}

static inline CK_SESSION_HANDLE open_session(void)
{
	CK_SESSION_HANDLE s = 0;

	CHECK(CKR_OK, f->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
	return s;
}

static inline CK_OBJECT_HANDLE private_key(CK_SESSION_HANDLE s)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template = { CKA_CLASS, &class, sizeof class };
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG found = 0;

	CHECK(CKR_OK, f->C_FindObjectsInit(s, &template, 1));
	CHECK(CKR_OK, f->C_FindObjects(s, &key, 1, &found));
	CHECK(CKR_OK, f->C_FindObjectsFinal(s));
	if (found != 1) {
		fprintf(stderr, "%lu private keys\n", found);
		exit(1);
	}
	return key;
}

static inline void sign(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = { CKM_SHA256_RSA_PKCS, NULL, 0 };
	CK_BYTE data[] = "data", signature[512];
	CK_ULONG size = sizeof signature;

	CHECK(CKR_OK, f->C_SignInit(s, &mechanism, key));
	CHECK(CKR_OK, f->C_Sign(s, data, sizeof data, signature, &size));
	if (size != 256) {
		fprintf(stderr, "a signature of %lu bytes\n", size);
		failed = 1;
	}
}

/* Everything that a host wants of its key, n times. */
static inline void use(int n)
{
	CK_SESSION_HANDLE s = open_session();
	CK_OBJECT_HANDLE key = private_key(s);

	while (n-- > 0)
		sign(s, key);
	CHECK(CKR_OK, f->C_CloseSession(s));
}

struct mode {
	const char *name;
	void (*run)(int argument);
};

static inline int run_mode(const struct mode *modes, size_t count, int argc, char **argv)
{
	size_t i;

	if (argc < 3)
		return 2;
	load(argv[1]);
	for (i = 0; i < count; i++)
		if (!strcmp(modes[i].name, argv[2])) {
			modes[i].run(argc > 3 ? atoi(argv[3]) : 0);
			return failed;
		}
	return 2;
}

#define MAIN(modes)                                                                                                    \
	int main(int argc, char **argv) { return run_mode(modes, sizeof modes / sizeof modes[0], argc, argv); }

#endif
