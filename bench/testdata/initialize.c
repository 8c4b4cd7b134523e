/*
 * Times the module's own part: C_Initialize in a new process, and calls that answer without the TPM, in this process and with "fork" in a child of it.
 * Prints two or three times in nanoseconds: C_Initialize, and the medians of a call here and there.
 *
 *   initialize MODULE CALLS [fork]
 */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CRYPTOKI_COMPAT 1
#include <p11-kit/pkcs11.h>

#include "timing.h"

static CK_FUNCTION_LIST *f;

/* C_Initialize, and its time. */
static int64_t initialize(void)
{
	int64_t start = now();

	if (f->C_Initialize(NULL) != CKR_OK)
		exit(1);
	return now() - start;
}

static int64_t median_of(int calls)
{
	int64_t *times = calloc(calls, sizeof *times);
	CK_SESSION_HANDLE session;
	CK_SESSION_INFO info;
	CK_SLOT_ID slots[16];
	CK_ULONG count = 16;
	int i;

	if (!times || f->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK || f->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
		exit(1);
	for (i = 0; i < calls; i++) {
		int64_t start = now();

		if (f->C_GetSessionInfo(session, &info) != CKR_OK)
			exit(1);
		times[i] = now() - start;
	}
	return median(times, calls);
}

int main(int argc, char **argv)
{
	void *library = argc == 3 || argc == 4 ? dlopen(argv[1], RTLD_NOW) : NULL;
	CK_RV (*get)(CK_FUNCTION_LIST **) = library ? dlsym(library, "C_GetFunctionList") : NULL;
	int status = -1;

	if (!get || get(&f) != CKR_OK)
		return 1;
	setvbuf(stdout, NULL, _IONBF, 0);
	printf("%lld ", (long long)initialize());
	printf("%lld ", (long long)median_of(atoi(argv[2])));
	if (argc == 3)
		return 0;
	if (fork() == 0) {
		initialize();
		printf("%lld\n", (long long)median_of(atoi(argv[2])));
		_exit(0);
	}
	return wait(&status) < 0 || status != 0;
}
