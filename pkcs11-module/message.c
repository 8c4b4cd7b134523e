#include <stdlib.h>
#include <string.h>

#include "message.h"

/* More than this at once is no honest length, nor is half as much again for a whole request; twice that must fit into a size_t of 32 bits. */
#ifndef MOST_BYTES
#define MOST_BYTES ((CK_ULONG)1 << 30)
#endif
#define MOST_OF_REQUEST (MOST_BYTES + MOST_BYTES / 2)
#define MOST_ATTRIBUTES 4096

/* The request while it is written, then the response while it is read. */
struct message {
	void *bytes;
	size_t size, at; /* of the memory; up to where it is written or read */
	CK_RV rv;        /* not CKR_OK: the request cannot be sent, or the response is not one */
};

static void fail(struct message *m, CK_RV rv)
{
	if (m->rv == CKR_OK)
		m->rv = rv;
}

/* Messages have PINs and plaintexts in them, so that none is freed, nor left behind by realloc, as it is. */
static void wipe(void *bytes, size_t size)
{
	if (bytes)
		explicit_bzero(bytes, size);
	free(bytes);
}

static void grow(struct message *m, size_t size)
{
	size_t room = 2 * (m->at + size) + 256;
	void *grown = malloc(room);

	if (!grown) {
		fail(m, CKR_HOST_MEMORY);
		return;
	}
	if (m->at)
		memcpy(grown, m->bytes, m->at);
	wipe(m->bytes, m->at);
	m->bytes = grown;
	m->size = room;
}

static void put(struct message *m, const void *bytes, size_t size)
{
	if (size > MOST_OF_REQUEST - m->at)
		fail(m, CKR_ARGUMENTS_BAD);
	if (m->rv == CKR_OK && size > m->size - m->at)
		grow(m, size);
	if (m->rv != CKR_OK || !size)
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

/* The response is none that the core gives. */
static void refuse(struct message *m)
{
	m->rv = CKR_GENERAL_ERROR;
	m->at = m->size;
}

/* The next bytes of the response, or NULL: then it ends too early, and nothing more is read. */
static const void *take(struct message *m, uint64_t size)
{
	const char *bytes = (char *)m->bytes + m->at;

	if (size > m->size - m->at)
		refuse(m);
	if (m->rv == CKR_GENERAL_ERROR)
		return NULL;
	m->at += size;
	return bytes;
}

static uint64_t take_number(struct message *m)
{
	const void *bytes = take(m, sizeof(uint64_t));
	uint64_t v = 0;

	if (bytes)
		memcpy(&v, bytes, sizeof v);
	return v;
}

/* As many bytes of the response as it says, in a place for so many. */
static const void *take_bytes(struct message *m, CK_ULONG least, CK_ULONG most, CK_ULONG *size)
{
	uint64_t got = take_number(m);

	if (got < least || got > most)
		refuse(m);
	*size = (CK_ULONG)got;
	return take(m, got);
}

static void get_number(struct message *m, CK_ULONG *to)
{
	uint64_t v = take_number(m);

	if (m->rv != CKR_GENERAL_ERROR)
		*to = v == UINT64_MAX ? (CK_ULONG)-1 : (CK_ULONG)v;
}

/* A text or value of fixed size. */
static void get_fixed(struct message *m, void *to, CK_ULONG size)
{
	const void *bytes = take_bytes(m, size, size, &size);

	if (bytes && size) /* or there may be nowhere to put nothing */
		memcpy(to, bytes, size);
}

/* The number of bytes that there are, and as many as go in. */
static void get_into(struct message *m, void *to, CK_ULONG *size)
{
	CK_ULONG there = 0, got;
	const void *bytes;

	get_number(m, &there);
	bytes = take_bytes(m, 0, to ? *size : 0, &got);
	if (!bytes)
		return;
	*size = there;
	if (got)
		memcpy(to, bytes, got);
}

static void get_numbers_into(struct message *m, CK_ULONG *to, CK_ULONG room)
{
	uint64_t got = take_number(m), i;

	if (got > room || got > (m->size - m->at) / sizeof(uint64_t))
		refuse(m);
	for (i = 0; m->rv != CKR_GENERAL_ERROR && i < got; i++)
		get_number(m, &to[i]);
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

/* Lengths are given for all attributes, also when some cannot be (PKCS #11 v2.40, 5.7). */
static void get_values(struct message *m, const struct argument *a)
{
	CK_ATTRIBUTE *t = a->at;
	CK_ULONG i;

	for (i = 0; i < a->number; i++)
		get_into(m, t[i].pValue, &t[i].ulValueLen);
}

static void put_room(struct message *m, const struct argument *a)
{
	want(m, a->size);
	if (a->size)
		put_room_for(m, a->at, *a->size);
}

static void get_room(struct message *m, const struct argument *a) { get_into(m, a->at, a->size); }

static void get_list(struct message *m, const struct argument *a)
{
	CK_ULONG room = a->at ? *a->size : 0;

	get_number(m, a->size);
	get_numbers_into(m, a->at, room);
}

static void put_numbers(struct message *m, const struct argument *a)
{
	if (a->number)
		want(m, a->at);
	put_number(m, a->number);
}

static void get_numbers(struct message *m, const struct argument *a) { get_numbers_into(m, a->at, a->number); }

static void put_filled(struct message *m, const struct argument *a)
{
	if (a->number > MOST_BYTES || (a->number && !a->at))
		fail(m, CKR_ARGUMENTS_BAD);
	put_number(m, a->number);
}

static void get_filled(struct message *m, const struct argument *a) { get_fixed(m, a->at, a->number); }
static void get_result(struct message *m, const struct argument *a) { get_number(m, a->at); }

static void get_version(struct message *m, CK_VERSION *v)
{
	v->major = (unsigned char)take_number(m);
	v->minor = (unsigned char)take_number(m);
}

static void get_info(struct message *m, const struct argument *a)
{
	const struct field *f;

	for (f = a->fields; f->kind != no_field; f++) {
		void *to = (char *)a->at + f->at;

		if (f->kind == text_field)
			get_fixed(m, to, f->size);
		else if (f->kind == count_field)
			get_number(m, to);
		else
			get_version(m, to);
	}
}

static const struct {
	void (*put)(struct message *m, const struct argument *a);
	void (*get)(struct message *m, const struct argument *a);
} ways[] = {
	[as_number] = { put_value, NULL },
	[as_bytes] = { put_string, NULL },
	[as_optional] = { put_optional, NULL },
	[as_arguments] = { put_arguments, NULL },
	[as_mechanism] = { put_mechanism, NULL },
	[as_template] = { put_template, NULL },
	[as_values] = { put_values, get_values },
	[as_room] = { put_room, get_room },
	[as_list] = { put_room, get_list },
	[as_numbers] = { put_numbers, get_numbers },
	[as_filled] = { put_filled, get_filled },
	[as_result] = { put_wanted, get_result },
	[as_info] = { put_wanted, get_info },
};

static void begin(struct message *m, uint64_t function)
{
	memset(m, 0, sizeof *m);
	put(m, &function, sizeof function);
}

/* Answers what can be answered into. */
static __attribute__((noinline)) const unsigned char *write_request(struct message *m, uint64_t function, const unsigned char *shapes,
	const struct argument *a)
{
	static const unsigned char nowhere[] = { as_end };
	const unsigned char *s;

	begin(m, function);
	if (!tpmkey_started())
		fail(m, CKR_CRYPTOKI_NOT_INITIALIZED);
	for (s = shapes; *s != as_end; s++, a++)
		ways[*s].put(m, a);
	if (m->rv != CKR_ARGUMENTS_BAD)
		return shapes;
	wipe(m->bytes, m->at);
	begin(m, function | TPMKEY_MALFORMED); /* the core says what that means in its state */
	return nowhere;
}

static __attribute__((noinline)) void read_response(struct message *m, const unsigned char *shapes, const struct argument *a)
{
	m->at = 0;
	get_number(m, &m->rv);
	if (m->at == m->size && m->rv != CKR_OK)
		return;
	for (; *shapes != as_end; shapes++, a++)
		if (ways[*shapes].get)
			ways[*shapes].get(m, a);
}

/* These lie below a call of the core on the stack, which may be small. So they are no larger than they must be. */
CK_RV tpmkey_exchange(uint64_t function, const unsigned char *shapes, const struct argument *arguments)
{
	struct message m;
	void *request;

	shapes = write_request(&m, function, shapes, arguments);
	request = m.bytes;
	m.bytes = NULL;
	if (m.rv == CKR_OK)
		m.rv = tpmkey_call(request, m.at, &m.bytes, &m.size);
	wipe(request, m.at);
	if (m.bytes)
		read_response(&m, shapes, arguments);
	wipe(m.bytes, m.size);
	return m.rv;
}
