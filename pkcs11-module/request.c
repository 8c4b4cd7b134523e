/* Requests: what the arguments of a host's put into them. */
#include <stdlib.h>
#include <string.h>

#include "message.h"

/* More than this at once is no honest length, nor is half as much again for a whole request; twice that fits into a size_t of 32 bits. */
#ifndef MOST_BYTES
#define MOST_BYTES ((CK_ULONG)1 << 30)
#endif
#define MOST_OF_REQUEST (MOST_BYTES + MOST_BYTES / 2)
#define MOST_ATTRIBUTES 4096

static void fail(struct message *m, CK_RV rv)
{
	if (m->rv == CKR_OK)
		m->rv = rv;
}

/* Makes room for more, and answers whether there is any. */
static int grow(struct message *m, size_t size)
{
	size_t room = 2 * (m->at + size) + 256;
	void *grown;

	if (size > MOST_OF_REQUEST - m->at)
		fail(m, CKR_ARGUMENTS_BAD);
	if (room > MOST_OF_REQUEST)
		room = MOST_OF_REQUEST;
	grown = m->rv == CKR_OK ? malloc(room) : NULL;
	if (!grown) {
		fail(m, CKR_HOST_MEMORY);
		return 0;
	}
	if (m->at)
		memcpy(grown, m->bytes, m->at);
	tpmkey_wipe(m->bytes, m->at);
	m->bytes = grown;
	m->size = room;
	return 1;
}

static inline void put(struct message *m, const void *bytes, size_t size)
{
	if ((size > m->size - m->at && !grow(m, size)) || !size)
		return;
	memcpy((char *)m->bytes + m->at, bytes, size);
	m->at += size;
}

static void put_number(struct message *m, CK_ULONG value)
{
	uint64_t v = value == (CK_ULONG)-1 ? UINT64_MAX : value;

	put(m, &v, sizeof v);
}

static void put_bytes(struct message *m, const void *bytes, CK_ULONG size)
{
	if ((!bytes && size) || size > MOST_BYTES) {
		fail(m, CKR_ARGUMENTS_BAD);
		return;
	}
	put_number(m, size);
	put(m, bytes, size);
}

/* A pointer that must be there because an answer goes into it. */
static void want(struct message *m, const void *pointer)
{
	if (!pointer)
		fail(m, CKR_ARGUMENTS_BAD);
}

static void put_value(struct message *m, const struct argument *a) { put_number(m, a->number); }
static void put_string(struct message *m, const struct argument *a) { put_bytes(m, a->at, a->number); }
static void put_wanted(struct message *m, const struct argument *a) { want(m, a->at); }

static void put_optional(struct message *m, const struct argument *a)
{
	put_number(m, a->at != NULL);
	put_bytes(m, a->at, a->at ? a->number : 0);
}

static void put_arguments(struct message *m, const struct argument *a)
{
	const CK_C_INITIALIZE_ARGS *args = a->at;

	put_number(m, args != NULL);
	if (!args)
		return;
	put_number(m, !!args->CreateMutex + !!args->DestroyMutex + !!args->LockMutex + !!args->UnlockMutex);
	put_number(m, args->flags);
	put_number(m, args->pReserved != NULL);
}

/*
 * Another thread of the host's may change what a pointer leads to at any time. So everything is read once, and what was looked at is what is used.
 *
 * The parameter of OAEP is the only one of our mechanisms with a pointer inside: its source follows it. Others go as they are.
 */
static void put_mechanism(struct message *m, const struct argument *a)
{
	CK_MECHANISM mechanism;
	CK_RSA_PKCS_OAEP_PARAMS oaep = { 0 };

	put_number(m, a->at != NULL);
	if (!a->at)
		return;
	mechanism = *(const CK_MECHANISM *)a->at;
	put_number(m, mechanism.mechanism);
	put_bytes(m, mechanism.pParameter, mechanism.ulParameterLen);
	if (m->rv == CKR_OK && mechanism.mechanism == CKM_RSA_PKCS_OAEP && mechanism.ulParameterLen == sizeof oaep)
		memcpy(&oaep, (char *)m->bytes + m->at - sizeof oaep, sizeof oaep); /* as it goes to the core */
	put_bytes(m, oaep.pSourceData, oaep.ulSourceDataLen);
}

/* Attributes whose values are templates, with pointers that go nowhere. */
static int is_template(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_WRAP_TEMPLATE || type == CKA_UNWRAP_TEMPLATE || type == (CKF_ARRAY_ATTRIBUTE | 0x213UL); /* CKA_DERIVE_TEMPLATE */
}

static void put_count(struct message *m, const struct argument *a)
{
	if ((!a->at && a->number) || a->number > MOST_ATTRIBUTES)
		fail(m, CKR_ARGUMENTS_BAD);
	put_number(m, a->number);
}

static void put_template(struct message *m, const struct argument *a)
{
	const CK_ATTRIBUTE *t = a->at;
	CK_ULONG i;

	put_count(m, a);
	for (i = 0; m->rv == CKR_OK && i < a->number; i++) {
		const CK_ATTRIBUTE one = t[i];
		int empty = is_template(one.type);

		put_number(m, one.type);
		put_bytes(m, empty ? NULL : one.pValue, empty ? 0 : one.ulValueLen);
	}
}

/* Room for an answer: whether the host wants the bytes or only their number, and how many fit. */
static void put_room_for(struct message *m, const void *to, CK_ULONG size)
{
	put_number(m, to != NULL);
	put_number(m, to ? size : 0);
}

static void put_values(struct message *m, const struct argument *a)
{
	const CK_ATTRIBUTE *t = a->at;
	CK_ULONG i;

	put_count(m, a);
	for (i = 0; m->rv == CKR_OK && i < a->number; i++) {
		const CK_ATTRIBUTE one = t[i];

		put_number(m, one.type);
		put_room_for(m, one.pValue, one.ulValueLen);
	}
}

static void put_room(struct message *m, const struct argument *a)
{
	want(m, a->size);
	if (a->size)
		put_room_for(m, a->at, *a->size);
}

static void put_numbers(struct message *m, const struct argument *a)
{
	if (a->number)
		want(m, a->at);
	put_number(m, a->number);
}

static void put_filled(struct message *m, const struct argument *a)
{
	if (a->number > MOST_BYTES || (a->number && !a->at))
		fail(m, CKR_ARGUMENTS_BAD);
	put_number(m, a->number);
}

static void (*const put_by[])(struct message *m, const struct argument *a) = {
	[as_number] = put_value,
	[as_bytes] = put_string,
	[as_optional] = put_optional,
	[as_arguments] = put_arguments,
	[as_mechanism] = put_mechanism,
	[as_template] = put_template,
	[as_values] = put_values,
	[as_room] = put_room,
	[as_list] = put_room,
	[as_numbers] = put_numbers,
	[as_filled] = put_filled,
	[as_result] = put_wanted,
	[as_info] = put_wanted,
};

static void begin(struct message *m, uint64_t function)
{
	memset(m, 0, sizeof *m);
	put(m, &function, sizeof function);
}

/* Answers what can be answered into. */
const unsigned char *tpmkey_write_request(struct message *m, uint64_t function, const unsigned char *shapes, const struct argument *a)
{
	static const unsigned char nowhere[] = { as_end };
	const struct argument *first = a;
	const unsigned char *s;

	begin(m, function);
	if (!tpmkey_started())
		fail(m, CKR_CRYPTOKI_NOT_INITIALIZED);
	for (s = shapes; *s != as_end; s++, a++)
		put_by[*s](m, a);
	if (m->rv != CKR_ARGUMENTS_BAD)
		return shapes;
	tpmkey_wipe(m->bytes, m->at);
	begin(m, function | TPMKEY_MALFORMED); /* the core says what that means in its state */
	put_number(m, *shapes == as_number ? first->number : 0);
	return nowhere;
}
