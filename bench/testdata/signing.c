/*
 * A host of a module that signs a SHA-256 digest by CKM_RSA_PKCS, as ssh does, with the only private key of the first token; TPMKEY_BENCH_PIN has its PIN.
 *
 *   signing MODULE THREADS
 *
 * Each number N on standard input is that of the signatures that each thread makes. The answer is a line "MEDIAN ALL CPU": the median time of a signature,
 * the time of all together and the time that the process had of processors, in nanoseconds.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CRYPTOKI_COMPAT 1
#include <p11-kit/pkcs11.h>

#include "timing.h"

#define MOST_THREADS 64

static CK_FUNCTION_LIST *f;

/* DigestInfo of a SHA-256 digest (RFC 8017, 9.2, note 1). */
static CK_BYTE digest_info[51] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };

struct signer {
	pthread_t thread;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	int64_t *times;
	int count;
};

static void need(const char *call, CK_RV rv)
{
	if (rv == CKR_OK)
		return;
	fprintf(stderr, "signing: %s: 0x%lx\n", call, rv);
	exit(1);
}

static void sign_once(struct signer *s)
{
	CK_MECHANISM mechanism = { CKM_RSA_PKCS, NULL, 0 };
	CK_BYTE signature[512];
	CK_ULONG size = sizeof signature;

	need("C_SignInit", f->C_SignInit(s->session, &mechanism, s->key));
	need("C_Sign", f->C_Sign(s->session, digest_info, sizeof digest_info, signature, &size));
}

static void *sign_all(void *argument)
{
	struct signer *s = argument;
	int i;

	for (i = 0; i < s->count; i++) {
		int64_t start = now();

		sign_once(s);
		s->times[i] = now() - start;
	}
	return NULL;
}

static void load(const char *module)
{
	void *library = dlopen(module, RTLD_NOW);
	CK_RV (*get)(CK_FUNCTION_LIST **) = library ? dlsym(library, "C_GetFunctionList") : NULL;
	CK_C_INITIALIZE_ARGS threads = { .flags = CKF_OS_LOCKING_OK };

	need(module, get ? get(&f) : CKR_GENERAL_ERROR);
	need("C_Initialize", f->C_Initialize(&threads));
}

static void open_key(struct signer *s, CK_SLOT_ID slot)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template = { CKA_CLASS, &class, sizeof class };
	const char *pin = getenv("TPMKEY_BENCH_PIN");
	CK_ULONG found;
	CK_RV rv;

	need("C_OpenSession", f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s->session));
	if (pin && *pin && (rv = f->C_Login(s->session, CKU_USER, (CK_BYTE *)pin, strlen(pin))) != CKR_USER_ALREADY_LOGGED_IN)
		need("C_Login", rv);
	need("C_FindObjectsInit", f->C_FindObjectsInit(s->session, &template, 1));
	need("C_FindObjects", f->C_FindObjects(s->session, &s->key, 1, &found));
	need("C_FindObjectsFinal", f->C_FindObjectsFinal(s->session));
	need("a private key", found == 1 ? CKR_OK : CKR_GENERAL_ERROR);
}

static void sign_with(struct signer *signers, int threads, int each)
{
	int64_t *times = calloc((size_t)threads * each, sizeof *times), cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID), start = now();
	int i;

	for (i = 0; i < threads; i++) {
		signers[i].times = times + i * each;
		signers[i].count = each;
		if (pthread_create(&signers[i].thread, NULL, sign_all, &signers[i]) != 0)
			exit(1);
	}
	for (i = 0; i < threads; i++)
		pthread_join(signers[i].thread, NULL);
	start = now() - start;
	cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%lld %lld %lld\n", (long long)median(times, (size_t)threads * each), (long long)start, (long long)cpu);
	fflush(stdout);
	free(times);
}

int main(int argc, char **argv)
{
	static struct signer signers[MOST_THREADS];
	int threads = argc == 3 ? atoi(argv[2]) : 0, each, i;
	CK_SLOT_ID slots[16];
	CK_ULONG count = 16;

	if (threads < 1 || threads > MOST_THREADS)
		return 2;
	load(argv[1]);
	need("C_GetSlotList", f->C_GetSlotList(CK_TRUE, slots, &count));
	for (i = 0; i < threads; i++)
		open_key(&signers[i], slots[0]);
	while (scanf("%d", &each) == 1 && each > 0)
		sign_with(signers, threads, each);
	need("C_Finalize", f->C_Finalize(NULL));
	return 0;
}
