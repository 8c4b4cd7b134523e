/*
 * The front with this program as its core, which answers what the core does not. It is linked with the front's own files and loads no module.
 */
#include <stdint.h>

#include "../front.h"
#include "host.h"

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

static uint64_t answer[64];
static size_t answer_size;

int tpmkey_started(void) { return 1; }
CK_RV tpmkey_start(void) { return CKR_OK; }
void tpmkey_stop(void) { }

/* Answers in memory of just that size, so that sanitizers see who reads past it. */
CK_RV tpmkey_call(const void *request, size_t size, void **response, size_t *response_size)
{
	(void)request, (void)size;
	*response = malloc(answer_size ? answer_size : 1);
	memcpy(*response, answer, answer_size);
	*response_size = answer_size;
	return CKR_OK;
}

static CK_ULONG number, other, numbers[2];
static CK_BYTE bytes[16];
static CK_MECHANISM mechanism = { CKM_RSA_PKCS, NULL, 0 };
static union {
	CK_INFO of_library;
	CK_SLOT_INFO of_slot;
	CK_TOKEN_INFO of_token;
	CK_MECHANISM_INFO of_mechanism;
	CK_SESSION_INFO of_session;
} info;

static CK_RV get_info(void) { return f->C_GetInfo(&info.of_library); }
static CK_RV get_slot_info(void) { return f->C_GetSlotInfo(0, &info.of_slot); }
static CK_RV get_token_info(void) { return f->C_GetTokenInfo(0, &info.of_token); }
static CK_RV get_mechanism_info(void) { return f->C_GetMechanismInfo(0, 0, &info.of_mechanism); }
static CK_RV get_session_info(void) { return f->C_GetSessionInfo(0, &info.of_session); }
static CK_RV get_slot_list(void) { return number = 2, f->C_GetSlotList(0, numbers, &number); }
static CK_RV get_endless_list(void) { return number = ~0UL, f->C_GetSlotList(0, numbers, &number); }
static CK_RV find_objects(void) { return f->C_FindObjects(0, numbers, 2, &number); }
static CK_RV find_all_objects(void) { return f->C_FindObjects(0, numbers, ~0UL, &number); }
static CK_RV open_one(void) { return f->C_OpenSession(0, 0, NULL, NULL, &number); }
static CK_RV generate_key_pair(void) { return f->C_GenerateKeyPair(0, &mechanism, NULL, 0, NULL, 0, &number, &other); }
static CK_RV generate_random(void) { return f->C_GenerateRandom(0, bytes, sizeof bytes); }
static CK_RV sign_nothing(void) { return number = sizeof bytes, f->C_Sign(0, NULL, 0, bytes, &number); }

static CK_RV get_values(void)
{
	CK_ATTRIBUTE wanted[] = { { CKA_ID, bytes, 8 }, { CKA_LABEL, bytes + 8, 8 } };

	return f->C_GetAttributeValue(0, 0, wanted, 2);
}

/* What a whole answer has behind its CKR_OK: n, the number 2; a digit, a string of so many times 8 bytes. */
static const struct row {
	CK_RV (*call)(void);
	const char *name, *whole;
} rows[] = {
	{ get_info, "C_GetInfo", "nn4n4nn" },
	{ get_slot_info, "C_GetSlotInfo", "84nnnnn" },
	{ get_token_info, "C_GetTokenInfo", "4422nnnnnnnnnnnnnnn2" },
	{ get_mechanism_info, "C_GetMechanismInfo", "nnn" },
	{ get_session_info, "C_GetSessionInfo", "nnnn" },
	{ get_slot_list, "C_GetSlotList", "nnnn" },
	{ get_endless_list, "C_GetSlotList with room without end", "nnnn" },
	{ find_objects, "C_FindObjects", "nnnn" },
	{ find_all_objects, "C_FindObjects with room without end", "nnnn" },
	{ open_one, "C_OpenSession", "n" },
	{ generate_key_pair, "C_GenerateKeyPair", "nn" },
	{ generate_random, "C_GenerateRandom", "2" },
	{ sign_nothing, "C_Sign", "n2" },
	{ get_values, "C_GetAttributeValue", "n1n1" },
};
#define ROWS (sizeof rows / sizeof rows[0])

/* Makes the answer, and answers its size. */
static size_t whole(const struct row *r)
{
	const char *c;
	size_t at = 0;

	memset(answer, 0, sizeof answer);
	answer[at++] = CKR_OK;
	for (c = r->whole; *c; c++)
		if (*c == 'n') {
			answer[at++] = 2;
		} else {
			answer[at] = 8 * (uint64_t)(*c - '0');
			at += 1 + (size_t)(*c - '0');
		}
	answer_size = at * sizeof answer[0];
	return answer_size;
}

/* An answer that ends early is an error, wherever it ends. */
static void cut_off(const struct row *r)
{
	CK_RV rv;

	whole(r);
	rv = r->call();
	EXPECT(rv == CKR_OK, "%s: 0x%lx for a whole answer", r->name, rv);
	while (answer_size-- > 0) {
		number = other = 77;
		rv = r->call();
		EXPECT(rv == CKR_GENERAL_ERROR, "%s: 0x%lx for an answer of %zu bytes", r->name, rv, answer_size);
		EXPECT(answer_size >= 16 || number != 0, "%s: a number for the host in an answer of %zu bytes", r->name, answer_size);
	}
}

/* Any length or number may be any other: sanitizers say whether one is believed. */
static void wrong(const struct row *r)
{
	static const uint64_t values[] = { 0, 1, 3, 17, 1 << 20, (uint64_t)1 << 32, ((uint64_t)1 << 32) + 2, (uint64_t)1 << 61, ((uint64_t)1 << 61) + 2,
		(uint64_t)1 << 63, ~(uint64_t)0 - 7, ~(uint64_t)0 };
	size_t count = whole(r) / sizeof answer[0], at, i;

	for (at = 1; at < count; at++)
		for (i = 0; i < sizeof values / sizeof values[0]; i++) {
			CK_RV rv;

			whole(r);
			answer[at] = values[i];
			rv = r->call();
			EXPECT(rv == CKR_OK || rv == CKR_GENERAL_ERROR, "%s: 0x%lx", r->name, rv);
		}
}

/* There is an answer, but nowhere to put it. */
static void nowhere(const struct row *r)
{
	whole(r);
	f->C_GetInfo(NULL);
	f->C_GetTokenInfo(0, NULL);
	f->C_GetSlotList(0, numbers, NULL);
	f->C_FindObjects(0, NULL, 2, &number);
	f->C_FindObjects(0, numbers, 2, NULL);
	f->C_OpenSession(0, 0, NULL, NULL, NULL);
	f->C_GenerateKeyPair(0, &mechanism, NULL, 0, NULL, 0, &number, NULL);
	f->C_GenerateRandom(0, NULL, sizeof bytes);
	f->C_Sign(0, NULL, 0, bytes, NULL);
	f->C_GetAttributeValue(0, 0, NULL, 2);
}

int main(void)
{
	size_t i;

	CHECK(CKR_OK, C_GetFunctionList(&f));
	for (i = 0; i < ROWS; i++) {
		cut_off(&rows[i]);
		wrong(&rows[i]);
		nowhere(&rows[i]);
	}
	return failed;
}
