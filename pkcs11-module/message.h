/*
 * A call of the core, as one flat message there and one back. A message is a row of 64-bit values in the machine's byte order and of byte strings, each
 * a length and the bytes. A request begins with the function's number, a response with its CK_RV.
 */
#ifndef TPMKEY_MESSAGE_H
#define TPMKEY_MESSAGE_H

#include "front.h"

/* What an argument of a host's is, and so what of it goes into the request, and what of the response comes back to it. */
enum shape {
	as_end,
	as_number,    /* a value */
	as_bytes,     /* bytes, which are there */
	as_optional,  /* a pointer that may be NULL, and the bytes that it points to */
	as_arguments, /* CK_C_INITIALIZE_ARGS, or NULL */
	as_mechanism, /* CK_MECHANISM, or NULL */
	as_template,  /* attributes that the host gives */
	as_values,    /* attributes that the host asks for */
	as_room,      /* a buffer and its size, in and out (PKCS #11 v2.40, 5.2) */
	as_list,      /* the same for numbers */
	as_numbers,   /* numbers, as many as the host has room for */
	as_filled,    /* a buffer that is filled */
	as_result,    /* one number */
	as_info,      /* a structure */
};

/* Fields of a structure that the core answers with. */
enum kind { no_field, text_field, count_field, version_field };
struct field {
	enum kind kind;
	unsigned at, size;
};

struct argument {
	void *at;
	union {
		CK_ULONG number; /* the value, or what there is at */
		CK_ULONG *size;
		const struct field *fields;
	};
};

/* The shapes are those of the arguments, and as_end. */
CK_RV tpmkey_exchange(uint64_t function, const unsigned char *shapes, const struct argument *arguments);

/* The request while it is written, then the response while it is read. */
struct message {
	void *bytes;
	size_t size, at; /* of the memory; up to where it is written or read */
	CK_RV rv;        /* not CKR_OK: the request cannot be sent, or the response is not one */
};

/* request.c: answers those of the shapes that the response is for. */
const unsigned char *tpmkey_write_request(struct message *m, uint64_t function, const unsigned char *shapes, const struct argument *arguments);

/* response.c */
void tpmkey_read_response(struct message *m, const unsigned char *shapes, const struct argument *arguments);

void tpmkey_wipe(void *bytes, size_t size);

/* info.c */
extern const struct field tpmkey_CK_INFO[], tpmkey_CK_SLOT_INFO[], tpmkey_CK_TOKEN_INFO[], tpmkey_CK_MECHANISM_INFO[], tpmkey_CK_SESSION_INFO[];

#endif
