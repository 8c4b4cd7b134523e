/* Responses: what comes of them back to the host. */
#include <string.h>

#include "message.h"

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

/* Lengths are given for all attributes, also when some cannot be (PKCS #11 v2.40, 5.7). */
static void get_values(struct message *m, const struct argument *a)
{
	CK_ATTRIBUTE *t = a->at;
	CK_ULONG i;

	for (i = 0; i < a->number; i++)
		get_into(m, t[i].pValue, &t[i].ulValueLen);
}

static void get_list(struct message *m, const struct argument *a)
{
	CK_ULONG room = a->at ? *a->size : 0;

	get_number(m, a->size);
	get_numbers_into(m, a->at, room);
}

static void get_room(struct message *m, const struct argument *a) { get_into(m, a->at, a->size); }
static void get_numbers(struct message *m, const struct argument *a) { get_numbers_into(m, a->at, a->number); }
static void get_filled(struct message *m, const struct argument *a) { get_fixed(m, a->at, a->number); }
static void get_result(struct message *m, const struct argument *a) { get_number(m, a->at); }

static void get_version(struct message *m, CK_VERSION *v)
{
	CK_ULONG major = v->major, minor = v->minor;

	get_number(m, &major);
	get_number(m, &minor);
	v->major = (unsigned char)major;
	v->minor = (unsigned char)minor;
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

static void (*const get_by[])(struct message *m, const struct argument *a) = {
	[as_values] = get_values,
	[as_room] = get_room,
	[as_list] = get_list,
	[as_numbers] = get_numbers,
	[as_filled] = get_filled,
	[as_result] = get_result,
	[as_info] = get_info,
};

void tpmkey_read_response(struct message *m, const unsigned char *shapes, const struct argument *a)
{
	m->at = 0;
	get_number(m, &m->rv);
	if (m->at == m->size && m->rv != CKR_OK)
		return;
	for (; *shapes != as_end; shapes++, a++)
		if (get_by[*shapes])
			get_by[*shapes](m, a);
}
