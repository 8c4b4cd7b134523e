/*
 * The front with this program as its core, which looks at what the front does with a host's arguments. It is linked with the front's own files, for
 * which MOST_BYTES is small, and with free and realloc wrapped.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "../front.h"
#include "host.h"

#define REFUSED (2 * sizeof(uint64_t)) /* bytes of a request of which an argument is bad: the function and the session */

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);
void __real_free(void *memory);
void *__real_realloc(void *memory, size_t size);
void __wrap_free(void *memory);
void *__wrap_realloc(void *memory, size_t size);

static CK_BYTE secret[] = "a PIN that nobody finds";
static int secrets_seen;
static size_t request_size;
static uint64_t request_function;

int tpmkey_started(void) { return 1; }
CK_RV tpmkey_start(void) { return CKR_OK; }
void tpmkey_stop(void) { }

/* Answers CKR_OK, the number of bytes in a secret and a secret, which is more than some functions read. */
CK_RV tpmkey_call(const void *request, size_t size, void **response, size_t *response_size)
{
	const uint64_t head[] = { CKR_OK, sizeof secret, sizeof secret };

	secrets_seen += memmem(request, size, secret, sizeof secret) != NULL;
	request_size = size;
	memcpy(&request_function, request, sizeof request_function);
	*response_size = sizeof head + sizeof secret;
	*response = malloc(*response_size);
	memcpy(*response, head, sizeof head);
	memcpy((char *)*response + sizeof head, secret, sizeof secret);
	return CKR_OK;
}

static void look_for_secrets(const void *memory)
{
	EXPECT(!memory || !memmem(memory, malloc_usable_size((void *)memory), secret, sizeof secret), "memory with a secret was given back");
}

void __wrap_free(void *memory)
{
	look_for_secrets(memory);
	__real_free(memory);
}

/* It may give the memory back, or not. */
void *__wrap_realloc(void *memory, size_t size)
{
	look_for_secrets(memory);
	return __real_realloc(memory, size);
}

/* Neither requests nor responses leave one behind: sent, not sent because of another argument, or moved because more follows. */
static void secrets(void)
{
	CK_BYTE out[64], more[5000] = { 0 };
	CK_ULONG size = sizeof out;
	CK_OBJECT_HANDLE object;
	CK_ATTRIBUTE template[] = { { CKA_PRIME_1, secret, sizeof secret }, { CKA_PRIME_2, more, sizeof more } };

	CHECK(CKR_OK, f->C_Login(0, CKU_USER, secret, sizeof secret));
	CHECK(CKR_OK, f->C_SetPIN(0, secret, sizeof secret, secret, ~0UL));
	EXPECT(request_size == REFUSED, "a request of %zu bytes though an argument is bad", request_size);
	CHECK(CKR_OK, f->C_CreateObject(0, template, 2, &object));
	CHECK(CKR_OK, f->C_Sign(0, secret, sizeof secret, out, &size));
	EXPECT(size == sizeof secret && !memcmp(out, secret, sizeof secret), "the answer did not arrive");
	EXPECT(secrets_seen == 3, "secrets were in %d requests", secrets_seen);
}

/* Whatever a host says that it has, a request stays within its bounds: one value too many, and all of them together. */
static void limits(void)
{
	static const struct {
		CK_ULONG count, size, want;
	} rows[] = {
		{ 4, MOST_BYTES / 4, 4 * (16 + MOST_BYTES / 4) + 24 }, { 1, MOST_BYTES, 16 + MOST_BYTES + 24 },
		{ 1, MOST_BYTES + 1, REFUSED }, { 7, MOST_BYTES / 4, REFUSED }, { 4096, MOST_BYTES, REFUSED }, { 4097, 0, REFUSED }, { ~0UL, 0, REFUSED },
		{ ~0UL / 24 + 2, 0, REFUSED }, { 2, ~0UL, REFUSED }, { 2, ~0UL / 2, REFUSED }, { 3, ~0UL - 16, REFUSED },
	};
	static CK_ATTRIBUTE template[4096];
	static CK_BYTE value[MOST_BYTES];
	size_t row, i;

	for (row = 0; row < sizeof rows / sizeof rows[0]; row++) {
		for (i = 0; i < 4096; i++)
			template[i] = (CK_ATTRIBUTE){ CKA_VALUE, value, rows[row].size };
		CHECK(CKR_OK, f->C_FindObjectsInit(0, template, rows[row].count));
		EXPECT(request_size == rows[row].want, "%lu attributes of %lu bytes: a request of %zu bytes, want %lu", rows[row].count, rows[row].size,
		       request_size, rows[row].want);
		EXPECT((request_function == (fn_FindObjectsInit | TPMKEY_MALFORMED)) == (rows[row].want == REFUSED), "function %llx",
		       (unsigned long long)request_function);
	}
}

static CK_RSA_PKCS_OAEP_PARAMS parameters = { .hashAlg = CKM_SHA_1, .mgf = CKG_MGF1_SHA1 };
static CK_MECHANISM oaep = { CKM_RSA_PKCS_OAEP, &parameters, sizeof parameters };
static CK_ATTRIBUTE attribute = { CKA_ID, secret, sizeof secret };
static atomic_int stop;

/* Takes the pointers away and gives them back. */
static void *change(void *unused)
{
	while (!atomic_load(&stop)) {
		*(void *volatile *)&oaep.pParameter = NULL;
		*(void *volatile *)&attribute.pValue = NULL;
		*(void *volatile *)&oaep.pParameter = &parameters;
		*(void *volatile *)&attribute.pValue = secret;
	}
	return unused;
}

/* Another thread changes a mechanism and a template while they are read: whichever state is sent, no pointer is followed that is not there. */
static void changing(void)
{
	CK_BYTE out[sizeof secret];
	CK_ATTRIBUTE wanted = { CKA_ID, out, sizeof out };
	pthread_t thread;
	int i;

	EXPECT(pthread_create(&thread, NULL, change, NULL) == 0, "no thread");
	for (i = 0; i < 50000; i++) {
		f->C_EncryptInit(0, &oaep, 0);
		f->C_FindObjectsInit(0, &attribute, 1);
		CHECK(CKR_OK, f->C_GetAttributeValue(0, 0, &wanted, 1));
	}
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
}

int main(void)
{
	CHECK(CKR_OK, C_GetFunctionList(&f));
	secrets();
	limits();
	changing();
	return failed;
}
