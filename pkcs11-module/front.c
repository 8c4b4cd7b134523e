#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "front.h"

/* More than this at once is no honest length. */
#define MOST_BYTES ((CK_ULONG)1 << 30)
#define MOST_ATTRIBUTES 4096

/* One call: the request while it is written, then the response while it is read. */
struct call {
	unsigned char *bytes;
	size_t size, room, at;
	CK_RV rv; /* not CKR_OK: the request cannot be sent, or the response is not one */
};

static void fail(struct call *c, CK_RV rv)
{
	if (c->rv == CKR_OK)
		c->rv = rv;
}

static void put(struct call *c, const void *bytes, size_t size)
{
	if (c->rv != CKR_OK)
		return;
	if (c->size + size > c->room) {
		size_t room = 2 * (c->size + size) + 256;
		unsigned char *grown = realloc(c->bytes, room);

		if (!grown) {
			fail(c, CKR_HOST_MEMORY);
			return;
		}
		c->bytes = grown;
		c->room = room;
	}
	if (size)
		memcpy(c->bytes + c->size, bytes, size);
	c->size += size;
}

static void put_number(struct call *c, CK_ULONG value)
{
	uint64_t v = value == (CK_ULONG)-1 ? UINT64_MAX : value;

	put(c, &v, sizeof v);
}

/* Bytes from the host. */
static void put_bytes(struct call *c, const void *bytes, CK_ULONG size)
{
	if ((!bytes && size) || size > MOST_BYTES) {
		fail(c, CKR_ARGUMENTS_BAD);
		return;
	}
	put_number(c, size);
	put(c, bytes, size);
}

/* A pointer that may be NULL, and what it points to. */
static void put_optional(struct call *c, const void *bytes, CK_ULONG size)
{
	put_number(c, bytes != NULL);
	put_bytes(c, bytes, bytes ? size : 0);
}

/* Room that the host has for an answer: whether it wants the bytes or only their number, and how many fit. */
static void put_room(struct call *c, const void *bytes, const CK_ULONG *size)
{
	if (!size) {
		fail(c, CKR_ARGUMENTS_BAD);
		return;
	}
	put_number(c, bytes != NULL);
	put_number(c, bytes ? *size : 0);
}

/* A pointer that must be there because an answer goes into it. */
static void want(struct call *c, const void *pointer)
{
	if (!pointer)
		fail(c, CKR_ARGUMENTS_BAD);
}

/*
 * A mechanism that may be NULL. The parameter of OAEP is the only one of our mechanisms with a pointer inside: its source follows it. Others go as
 * they are.
 */
static void put_mechanism(struct call *c, const CK_MECHANISM *m)
{
	put_number(c, m != NULL);
	if (!m)
		return;
	put_number(c, m->mechanism);
	put_bytes(c, m->pParameter, m->ulParameterLen);
	if (c->rv == CKR_OK && m->mechanism == CKM_RSA_PKCS_OAEP && m->ulParameterLen == sizeof(CK_RSA_PKCS_OAEP_PARAMS)) {
		CK_RSA_PKCS_OAEP_PARAMS oaep;

		memcpy(&oaep, m->pParameter, sizeof oaep);
		put_bytes(c, oaep.pSourceData, oaep.ulSourceDataLen);
	} else {
		put_bytes(c, NULL, 0);
	}
}

/* Attributes whose values are templates, with pointers that go nowhere. */
static int is_template(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_WRAP_TEMPLATE || type == CKA_UNWRAP_TEMPLATE || type == (CKF_ARRAY_ATTRIBUTE | 0x213UL); /* CKA_DERIVE_TEMPLATE */
}

/* A template from the host. */
static void put_template(struct call *c, const CK_ATTRIBUTE *t, CK_ULONG count)
{
	CK_ULONG i;

	if ((!t && count) || count > MOST_ATTRIBUTES) {
		fail(c, CKR_ARGUMENTS_BAD);
		return;
	}
	put_number(c, count);
	for (i = 0; i < count; i++) {
		put_number(c, t[i].type);
		put_bytes(c, is_template(t[i].type) ? NULL : t[i].pValue, is_template(t[i].type) ? 0 : t[i].ulValueLen);
	}
}

/* A template that the answer goes into. */
static void put_wanted(struct call *c, const CK_ATTRIBUTE *t, CK_ULONG count)
{
	CK_ULONG i;

	if ((!t && count) || count > MOST_ATTRIBUTES) {
		fail(c, CKR_ARGUMENTS_BAD);
		return;
	}
	put_number(c, count);
	for (i = 0; i < count; i++) {
		put_number(c, t[i].type);
		put_number(c, t[i].pValue != NULL);
		put_number(c, t[i].pValue ? t[i].ulValueLen : 0);
	}
}

static void begin(struct call *c, uint64_t function)
{
	memset(c, 0, sizeof *c);
	put_number(c, function);
}

static CK_ULONG get_number(struct call *c)
{
	uint64_t v;

	if (c->at + sizeof v > c->size) {
		fail(c, CKR_GENERAL_ERROR);
		return 0;
	}
	memcpy(&v, c->bytes + c->at, sizeof v);
	c->at += sizeof v;
	return v == UINT64_MAX ? (CK_ULONG)-1 : (CK_ULONG)v;
}

static const unsigned char *get_bytes(struct call *c, CK_ULONG *size)
{
	const unsigned char *bytes;

	*size = get_number(c);
	if (c->at > c->size || *size > c->size - c->at) {
		fail(c, CKR_GENERAL_ERROR);
		*size = 0;
		return NULL;
	}
	bytes = c->bytes + c->at;
	c->at += *size;
	return bytes;
}

/* A text or value of fixed size. */
static void get_fixed(struct call *c, void *to, CK_ULONG size)
{
	CK_ULONG got;
	const unsigned char *bytes = get_bytes(c, &got);

	if (got != size)
		fail(c, CKR_GENERAL_ERROR);
	else if (size > 0) /* or there may be nowhere to put nothing */
		memcpy(to, bytes, size);
}

/* What was put as room: the number of bytes that there are, and as many as go in. */
static void get_room(struct call *c, void *to, CK_ULONG *size)
{
	CK_ULONG room = to ? *size : 0, got, there = get_number(c);
	const unsigned char *bytes = get_bytes(c, &got);

	if (got > room) {
		fail(c, CKR_GENERAL_ERROR);
		return;
	}
	*size = there;
	if (got)
		memcpy(to, bytes, got);
}

/* The same for a list of numbers. */
static void get_list(struct call *c, CK_ULONG *to, CK_ULONG *count)
{
	CK_ULONG room = to ? *count : 0, got, i;

	*count = get_number(c);
	got = get_number(c);
	if (got > room) {
		fail(c, CKR_GENERAL_ERROR);
		return;
	}
	for (i = 0; i < got; i++)
		to[i] = get_number(c);
}

/*
 * Sends the request and leaves the response to be read. Answers that there is something to read.
 */
static int run(struct call *c)
{
	void *response = NULL;
	CK_RV rv;

	if (!tpmkey_started()) {
		c->rv = CKR_CRYPTOKI_NOT_INITIALIZED;
		return 0;
	}
	if (c->rv == CKR_ARGUMENTS_BAD) {
		uint64_t function;

		memcpy(&function, c->bytes, sizeof function);
		free(c->bytes);
		begin(c, function | TPMKEY_MALFORMED); /* the core says what that means in its state */
	}
	if (c->rv != CKR_OK)
		return 0;
	rv = tpmkey_call(c->bytes, c->size, &response, &c->room);
	explicit_bzero(c->bytes, c->size); /* perhaps a PIN */
	free(c->bytes);
	c->bytes = response;
	c->size = response ? c->room : 0;
	c->rv = rv;
	if (response) {
		rv = get_number(c);
		fail(c, rv);
	}
	return c->at < c->size;
}

static CK_RV end(struct call *c)
{
	if (c->bytes)
		explicit_bzero(c->bytes, c->size);
	free(c->bytes);
	return c->rv;
}

/* A call whose answer is only its CK_RV. */
static CK_RV finish(struct call *c)
{
	run(c);
	return end(c);
}

/* A call whose answer is bytes of varying size. */
static CK_RV finish_room(struct call *c, void *to, CK_ULONG *size)
{
	if (run(c))
		get_room(c, to, size);
	return end(c);
}

static CK_RV finish_list(struct call *c, CK_ULONG *to, CK_ULONG *count)
{
	if (run(c))
		get_list(c, to, count);
	return end(c);
}

static CK_RV finish_number(struct call *c, CK_ULONG *to)
{
	if (run(c))
		*to = get_number(c);
	return end(c);
}

static void get_version(struct call *c, CK_VERSION *v)
{
	v->major = (unsigned char)get_number(c);
	v->minor = (unsigned char)get_number(c);
}

/* Functions of the same form share one body each. */
#define SESSION_ONLY(name) \
	static CK_RV name(CK_SESSION_HANDLE session) \
	{ \
		struct call c; \
		begin(&c, f##name); \
		put_number(&c, session); \
		return finish(&c); \
	}
#define SESSION_BYTES(name) \
	static CK_RV name(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_size) \
	{ \
		struct call c; \
		begin(&c, f##name); \
		put_number(&c, session); \
		put_bytes(&c, in, in_size); \
		return finish(&c); \
	}
#define SESSION_ROOM(name) \
	static CK_RV name(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_size) \
	{ \
		struct call c; \
		begin(&c, f##name); \
		put_number(&c, session); \
		put_room(&c, out, out_size); \
		return finish_room(&c, out, out_size); \
	}
#define SESSION_BYTES_ROOM(name) \
	static CK_RV name(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_size, CK_BYTE_PTR out, CK_ULONG_PTR out_size) \
	{ \
		struct call c; \
		begin(&c, f##name); \
		put_number(&c, session); \
		put_bytes(&c, in, in_size); \
		put_room(&c, out, out_size); \
		return finish_room(&c, out, out_size); \
	}
#define SESSION_MECHANISM_KEY(name) \
	static CK_RV name(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) \
	{ \
		struct call c; \
		begin(&c, f##name); \
		put_number(&c, session); \
		put_mechanism(&c, mechanism); \
		put_number(&c, key); \
		return finish(&c); \
	}

/* The names in this file are n_Sign for C_Sign; the numbers are fn_Sign. */
SESSION_ONLY(n_CloseSession)
SESSION_ONLY(n_Logout)
SESSION_ONLY(n_FindObjectsFinal)
SESSION_ONLY(n_GetFunctionStatus)
SESSION_ONLY(n_CancelFunction)
SESSION_BYTES(n_DigestUpdate)
SESSION_BYTES(n_SignUpdate)
SESSION_BYTES(n_VerifyUpdate)
SESSION_BYTES(n_VerifyFinal)
SESSION_BYTES(n_SeedRandom)
SESSION_BYTES(n_InitPIN)
SESSION_ROOM(n_GetOperationState)
SESSION_ROOM(n_EncryptFinal)
SESSION_ROOM(n_DecryptFinal)
SESSION_ROOM(n_DigestFinal)
SESSION_ROOM(n_SignFinal)
SESSION_BYTES_ROOM(n_Encrypt)
SESSION_BYTES_ROOM(n_EncryptUpdate)
SESSION_BYTES_ROOM(n_Decrypt)
SESSION_BYTES_ROOM(n_DecryptUpdate)
SESSION_BYTES_ROOM(n_Digest)
SESSION_BYTES_ROOM(n_Sign)
SESSION_BYTES_ROOM(n_SignRecover)
SESSION_BYTES_ROOM(n_VerifyRecover)
SESSION_BYTES_ROOM(n_DigestEncryptUpdate)
SESSION_BYTES_ROOM(n_DecryptDigestUpdate)
SESSION_BYTES_ROOM(n_SignEncryptUpdate)
SESSION_BYTES_ROOM(n_DecryptVerifyUpdate)
SESSION_MECHANISM_KEY(n_EncryptInit)
SESSION_MECHANISM_KEY(n_DecryptInit)
SESSION_MECHANISM_KEY(n_SignInit)
SESSION_MECHANISM_KEY(n_SignRecoverInit)
SESSION_MECHANISM_KEY(n_VerifyInit)
SESSION_MECHANISM_KEY(n_VerifyRecoverInit)

static CK_RV n_Initialize(void *init_args)
{
	CK_C_INITIALIZE_ARGS *args = init_args;
	struct call c;
	CK_RV rv;

	rv = tpmkey_start();
	if (rv != CKR_OK)
		return rv;
	begin(&c, fn_Initialize);
	put_number(&c, args != NULL);
	if (args) {
		put_number(&c, !!args->CreateMutex + !!args->DestroyMutex + !!args->LockMutex + !!args->UnlockMutex);
		put_number(&c, args->flags);
		put_number(&c, args->pReserved != NULL);
	}
	return finish(&c);
}

static CK_RV n_Finalize(void *reserved)
{
	struct call c;
	CK_RV rv;

	begin(&c, fn_Finalize);
	put_number(&c, reserved != NULL);
	rv = finish(&c);
	if (rv == CKR_OK)
		tpmkey_stop();
	return rv;
}

/* CK_INFO says the version of the interface that it is asked by. */
static CK_RV get_info(CK_INFO_PTR info, CK_VERSION asked)
{
	struct call c;

	begin(&c, fn_GetInfo);
	put_number(&c, asked.major);
	put_number(&c, asked.minor);
	want(&c, info);
	if (run(&c)) {
		get_version(&c, &info->cryptokiVersion);
		get_fixed(&c, info->manufacturerID, sizeof info->manufacturerID);
		info->flags = get_number(&c);
		get_fixed(&c, info->libraryDescription, sizeof info->libraryDescription);
		get_version(&c, &info->libraryVersion);
	}
	return end(&c);
}

static CK_RV n_GetSlotList(CK_BBOOL token_present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
	struct call c;

	begin(&c, fn_GetSlotList);
	put_number(&c, token_present);
	put_room(&c, list, count);
	return finish_list(&c, list, count);
}

static CK_RV n_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
	struct call c;

	begin(&c, fn_GetSlotInfo);
	put_number(&c, slot);
	want(&c, info);
	if (run(&c)) {
		get_fixed(&c, info->slotDescription, sizeof info->slotDescription);
		get_fixed(&c, info->manufacturerID, sizeof info->manufacturerID);
		info->flags = get_number(&c);
		get_version(&c, &info->hardwareVersion);
		get_version(&c, &info->firmwareVersion);
	}
	return end(&c);
}

static CK_RV n_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	struct call c;

	begin(&c, fn_GetTokenInfo);
	put_number(&c, slot);
	want(&c, info);
	if (run(&c)) {
		get_fixed(&c, info->label, sizeof info->label);
		get_fixed(&c, info->manufacturerID, sizeof info->manufacturerID);
		get_fixed(&c, info->model, sizeof info->model);
		get_fixed(&c, info->serialNumber, sizeof info->serialNumber);
		info->flags = get_number(&c);
		info->ulMaxSessionCount = get_number(&c);
		info->ulSessionCount = get_number(&c);
		info->ulMaxRwSessionCount = get_number(&c);
		info->ulRwSessionCount = get_number(&c);
		info->ulMaxPinLen = get_number(&c);
		info->ulMinPinLen = get_number(&c);
		info->ulTotalPublicMemory = get_number(&c);
		info->ulFreePublicMemory = get_number(&c);
		info->ulTotalPrivateMemory = get_number(&c);
		info->ulFreePrivateMemory = get_number(&c);
		get_version(&c, &info->hardwareVersion);
		get_version(&c, &info->firmwareVersion);
		get_fixed(&c, info->utcTime, sizeof info->utcTime);
	}
	return end(&c);
}

static CK_RV n_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count)
{
	struct call c;

	begin(&c, fn_GetMechanismList);
	put_number(&c, slot);
	put_room(&c, list, count);
	return finish_list(&c, list, count);
}

static CK_RV n_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
	struct call c;

	begin(&c, fn_GetMechanismInfo);
	put_number(&c, slot);
	put_number(&c, type);
	want(&c, info);
	if (run(&c)) {
		info->ulMinKeySize = get_number(&c);
		info->ulMaxKeySize = get_number(&c);
		info->flags = get_number(&c);
	}
	return end(&c);
}

static CK_RV n_InitToken(CK_SLOT_ID slot, CK_BYTE_PTR pin, CK_ULONG pin_size, CK_BYTE_PTR label)
{
	struct call c;

	begin(&c, fn_InitToken);
	put_number(&c, slot);
	put_optional(&c, pin, pin_size);
	want(&c, label);
	put_bytes(&c, label, 32);
	return finish(&c);
}

static CK_RV n_SetPIN(CK_SESSION_HANDLE session, CK_BYTE_PTR old, CK_ULONG old_size, CK_BYTE_PTR new, CK_ULONG new_size)
{
	struct call c;

	begin(&c, fn_SetPIN);
	put_number(&c, session);
	put_optional(&c, old, old_size);
	put_optional(&c, new, new_size);
	return finish(&c);
}

static CK_RV n_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session)
{
	struct call c;

	(void)application; /* never called back */
	(void)notify;
	begin(&c, fn_OpenSession);
	put_number(&c, slot);
	put_number(&c, flags);
	want(&c, session);
	return finish_number(&c, session);
}

static CK_RV n_CloseAllSessions(CK_SLOT_ID slot)
{
	struct call c;

	begin(&c, fn_CloseAllSessions);
	put_number(&c, slot);
	return finish(&c);
}

static CK_RV n_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info)
{
	struct call c;

	begin(&c, fn_GetSessionInfo);
	put_number(&c, session);
	want(&c, info);
	if (run(&c)) {
		info->slotID = get_number(&c);
		info->state = get_number(&c);
		info->flags = get_number(&c);
		info->ulDeviceError = get_number(&c);
	}
	return end(&c);
}

static CK_RV n_SetOperationState(CK_SESSION_HANDLE session, CK_BYTE_PTR state, CK_ULONG size, CK_OBJECT_HANDLE encryption, CK_OBJECT_HANDLE authentication)
{
	struct call c;

	begin(&c, fn_SetOperationState);
	put_number(&c, session);
	put_bytes(&c, state, size);
	put_number(&c, encryption);
	put_number(&c, authentication);
	return finish(&c);
}

static CK_RV n_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE_PTR pin, CK_ULONG pin_size)
{
	struct call c;

	begin(&c, fn_Login);
	put_number(&c, session);
	put_number(&c, user);
	put_optional(&c, pin, pin_size);
	return finish(&c);
}

static CK_RV n_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR object)
{
	struct call c;

	begin(&c, fn_CreateObject);
	put_number(&c, session);
	put_template(&c, template, count);
	want(&c, object);
	return finish_number(&c, object);
}

static CK_RV n_CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE from, CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR object)
{
	struct call c;

	begin(&c, fn_CopyObject);
	put_number(&c, session);
	put_number(&c, from);
	put_template(&c, template, count);
	want(&c, object);
	return finish_number(&c, object);
}

static CK_RV n_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	struct call c;

	begin(&c, fn_DestroyObject);
	put_number(&c, session);
	put_number(&c, object);
	return finish(&c);
}

static CK_RV n_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG_PTR size)
{
	struct call c;

	begin(&c, fn_GetObjectSize);
	put_number(&c, session);
	put_number(&c, object);
	want(&c, size);
	return finish_number(&c, size);
}

/* Lengths are given for all attributes, also when some cannot be (PKCS #11 v2.40, 5.7). */
static CK_RV n_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template, CK_ULONG count)
{
	struct call c;
	CK_ULONG i;

	begin(&c, fn_GetAttributeValue);
	put_number(&c, session);
	put_number(&c, object);
	put_wanted(&c, template, count);
	if (run(&c))
		for (i = 0; i < count; i++)
			get_room(&c, template[i].pValue, &template[i].ulValueLen);
	return end(&c);
}

static CK_RV n_SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template, CK_ULONG count)
{
	struct call c;

	begin(&c, fn_SetAttributeValue);
	put_number(&c, session);
	put_number(&c, object);
	put_template(&c, template, count);
	return finish(&c);
}

static CK_RV n_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count)
{
	struct call c;

	begin(&c, fn_FindObjectsInit);
	put_number(&c, session);
	put_template(&c, template, count);
	return finish(&c);
}

static CK_RV n_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG most, CK_ULONG_PTR count)
{
	struct call c;
	CK_ULONG found = most;

	begin(&c, fn_FindObjects);
	put_number(&c, session);
	put_number(&c, most);
	if (most)
		want(&c, objects);
	want(&c, count);
	if (run(&c)) {
		get_list(&c, objects, &found);
		*count = found;
	}
	return end(&c);
}

static CK_RV n_DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism)
{
	struct call c;

	begin(&c, fn_DigestInit);
	put_number(&c, session);
	put_mechanism(&c, mechanism);
	return finish(&c);
}

static CK_RV n_DigestKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
	struct call c;

	begin(&c, fn_DigestKey);
	put_number(&c, session);
	put_number(&c, key);
	return finish(&c);
}

static CK_RV n_Verify(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR signature, CK_ULONG signature_size)
{
	struct call c;

	begin(&c, fn_Verify);
	put_number(&c, session);
	put_bytes(&c, data, size);
	put_bytes(&c, signature, signature_size);
	return finish(&c);
}

static CK_RV n_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR key)
{
	struct call c;

	begin(&c, fn_GenerateKey);
	put_number(&c, session);
	put_mechanism(&c, mechanism);
	put_template(&c, template, count);
	want(&c, key);
	return finish_number(&c, key);
}

static CK_RV n_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR public, CK_ULONG public_count,
	CK_ATTRIBUTE_PTR private, CK_ULONG private_count, CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key)
{
	struct call c;

	begin(&c, fn_GenerateKeyPair);
	put_number(&c, session);
	put_mechanism(&c, mechanism);
	put_template(&c, public, public_count);
	put_template(&c, private, private_count);
	want(&c, public_key);
	want(&c, private_key);
	if (run(&c)) {
		*public_key = get_number(&c);
		*private_key = get_number(&c);
	}
	return end(&c);
}

static CK_RV n_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key, CK_BYTE_PTR out, CK_ULONG_PTR size)
{
	struct call c;

	begin(&c, fn_WrapKey);
	put_number(&c, session);
	put_mechanism(&c, mechanism);
	put_number(&c, wrapping);
	put_number(&c, key);
	put_room(&c, out, size);
	return finish_room(&c, out, size);
}

static CK_RV n_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE unwrapping, CK_BYTE_PTR wrapped, CK_ULONG size,
	CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR key)
{
	struct call c;

	begin(&c, fn_UnwrapKey);
	put_number(&c, session);
	put_mechanism(&c, mechanism);
	put_number(&c, unwrapping);
	put_bytes(&c, wrapped, size);
	put_template(&c, template, count);
	want(&c, key);
	return finish_number(&c, key);
}

static CK_RV n_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE base, CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR key)
{
	struct call c;

	begin(&c, fn_DeriveKey);
	put_number(&c, session);
	put_mechanism(&c, mechanism);
	put_number(&c, base);
	put_template(&c, template, count);
	want(&c, key);
	return finish_number(&c, key);
}

static CK_RV n_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG size)
{
	struct call c;

	begin(&c, fn_GenerateRandom);
	put_number(&c, session);
	if (size > MOST_BYTES || (size && !out))
		fail(&c, CKR_ARGUMENTS_BAD);
	put_number(&c, size);
	if (run(&c))
		get_fixed(&c, out, size);
	return end(&c);
}

static CK_RV n_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR slot, void *reserved)
{
	struct call c;

	begin(&c, fn_WaitForSlotEvent);
	put_number(&c, flags);
	put_number(&c, reserved != NULL);
	want(&c, slot);
	return finish_number(&c, slot);
}

static CK_RV n_LoginUser(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE_PTR pin, CK_ULONG pin_size, CK_BYTE_PTR name, CK_ULONG name_size)
{
	struct call c;

	begin(&c, fn_LoginUser);
	put_number(&c, session);
	put_number(&c, user);
	put_optional(&c, pin, pin_size);
	put_optional(&c, name, name_size);
	return finish(&c);
}

static CK_RV n_SessionCancel(CK_SESSION_HANDLE session, CK_FLAGS flags)
{
	struct call c;

	begin(&c, fn_SessionCancel);
	put_number(&c, session);
	put_number(&c, flags);
	return finish(&c);
}

/* Messages (PKCS #11 v3.0, 5.9): none of our mechanisms takes any, so that only the session goes to the core. */
static CK_RV message(uint64_t function, CK_SESSION_HANDLE session)
{
	struct call c;

	begin(&c, function);
	put_number(&c, session);
	return finish(&c);
}

#define MESSAGE_INIT(name) \
	static CK_RV name(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) \
	{ \
		(void)mechanism, (void)key; \
		return message(f##name, session); \
	}
#define MESSAGE_FINAL(name) \
	static CK_RV name(CK_SESSION_HANDLE session) { return message(f##name, session); }
#define MESSAGE_CRYPT(name) \
	static CK_RV name(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_size, CK_BYTE_PTR associated, CK_ULONG associated_size, \
		CK_BYTE_PTR in, CK_ULONG in_size, CK_BYTE_PTR out, CK_ULONG_PTR out_size) \
	{ \
		(void)parameter, (void)parameter_size, (void)associated, (void)associated_size; \
		(void)in, (void)in_size, (void)out, (void)out_size; \
		return message(f##name, session); \
	}
#define MESSAGE_CRYPT_BEGIN(name) \
	static CK_RV name(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_size, CK_BYTE_PTR associated, CK_ULONG associated_size) \
	{ \
		(void)parameter, (void)parameter_size, (void)associated, (void)associated_size; \
		return message(f##name, session); \
	}
#define MESSAGE_CRYPT_NEXT(name) \
	static CK_RV name(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_size, CK_BYTE_PTR in, CK_ULONG in_size, \
		CK_BYTE_PTR out, CK_ULONG_PTR out_size, CK_FLAGS flags) \
	{ \
		(void)parameter, (void)parameter_size, (void)in, (void)in_size, (void)out, (void)out_size, (void)flags; \
		return message(f##name, session); \
	}
#define MESSAGE_SIGN(name, size_type) \
	static CK_RV name(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_size, CK_BYTE_PTR data, CK_ULONG size, \
		CK_BYTE_PTR signature, size_type signature_size) \
	{ \
		(void)parameter, (void)parameter_size, (void)data, (void)size, (void)signature, (void)signature_size; \
		return message(f##name, session); \
	}
#define MESSAGE_SIGN_BEGIN(name) \
	static CK_RV name(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_size) \
	{ \
		(void)parameter, (void)parameter_size; \
		return message(f##name, session); \
	}

MESSAGE_INIT(n_MessageEncryptInit)
MESSAGE_CRYPT(n_EncryptMessage)
MESSAGE_CRYPT_BEGIN(n_EncryptMessageBegin)
MESSAGE_CRYPT_NEXT(n_EncryptMessageNext)
MESSAGE_FINAL(n_MessageEncryptFinal)
MESSAGE_INIT(n_MessageDecryptInit)
MESSAGE_CRYPT(n_DecryptMessage)
MESSAGE_CRYPT_BEGIN(n_DecryptMessageBegin)
MESSAGE_CRYPT_NEXT(n_DecryptMessageNext)
MESSAGE_FINAL(n_MessageDecryptFinal)
MESSAGE_INIT(n_MessageSignInit)
MESSAGE_SIGN(n_SignMessage, CK_ULONG_PTR)
MESSAGE_SIGN_BEGIN(n_SignMessageBegin)
MESSAGE_SIGN(n_SignMessageNext, CK_ULONG_PTR)
MESSAGE_FINAL(n_MessageSignFinal)
MESSAGE_INIT(n_MessageVerifyInit)
MESSAGE_SIGN(n_VerifyMessage, CK_ULONG)
MESSAGE_SIGN_BEGIN(n_VerifyMessageBegin)
MESSAGE_SIGN(n_VerifyMessageNext, CK_ULONG)
MESSAGE_FINAL(n_MessageVerifyFinal)

/* CK_INTERFACE (PKCS #11 v3.0, 3.4), which p11-kit's header of Debian 12 does not have; nor CK_FUNCTION_LIST_3_0. */
struct interface {
	char *name;
	void *functions;
	CK_FLAGS flags;
};

#define EXPORTED __attribute__((visibility("default")))

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);
EXPORTED CK_RV C_GetInterfaceList(struct interface *list, CK_ULONG *count);
EXPORTED CK_RV C_GetInterface(CK_BYTE_PTR name, const CK_VERSION *version, struct interface **interface, CK_FLAGS flags);

static const CK_VERSION version_2_40 = { 2, 40 }, version_3_0 = { 3, 0 };

static CK_RV n_GetInfo(CK_INFO_PTR info) { return get_info(info, version_2_40); }
static CK_RV n_GetInfo_3_0(CK_INFO_PTR info) { return get_info(info, version_3_0); }
static CK_RV n_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) { return C_GetFunctionList(list); }
static CK_RV n_GetInterfaceList(struct interface *list, CK_ULONG *count) { return C_GetInterfaceList(list, count); }
static CK_RV n_GetInterface(CK_BYTE_PTR name, const CK_VERSION *version, struct interface **interface, CK_FLAGS flags)
{
	return C_GetInterface(name, version, interface, flags);
}

#define TPMKEY_POINTER(name) n_##name,
#define TPMKEY_DECLARE(name) __typeof__(n_##name) *C_##name;
static CK_FUNCTION_LIST functions = { { 2, 40 }, TPMKEY_FUNCTIONS(TPMKEY_POINTER) };
#define n_GetInfo n_GetInfo_3_0 /* the one pointer that differs */
static struct function_list_3_0 {
	CK_VERSION version;
	TPMKEY_FUNCTIONS(TPMKEY_DECLARE)
	TPMKEY_FUNCTIONS_3_0(TPMKEY_DECLARE)
} functions_3_0 = { { 3, 0 }, TPMKEY_FUNCTIONS(TPMKEY_POINTER) TPMKEY_FUNCTIONS_3_0(TPMKEY_POINTER) };
#undef n_GetInfo

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	if (!list)
		return CKR_ARGUMENTS_BAD;
	*list = &functions;
	return CKR_OK;
}

/* The first is the default. Each begins with its version. */
static char interface_name[] = "PKCS 11";
static struct interface interfaces[] = { { interface_name, &functions_3_0, 0 }, { interface_name, &functions, 0 } };
#define INTERFACES (sizeof interfaces / sizeof interfaces[0])

CK_RV C_GetInterfaceList(struct interface *list, CK_ULONG *count)
{
	CK_ULONG room;

	if (!count)
		return CKR_ARGUMENTS_BAD;
	room = *count;
	*count = INTERFACES;
	if (!list)
		return CKR_OK;
	if (room < INTERFACES)
		return CKR_BUFFER_TOO_SMALL;
	memcpy(list, interfaces, sizeof interfaces);
	return CKR_OK;
}

static int is_interface(const struct interface *i, const char *name, const CK_VERSION *version, CK_FLAGS flags)
{
	const CK_VERSION *its = i->functions;

	return (!name || !strcmp(name, i->name)) && (!version || (version->major == its->major && version->minor == its->minor)) &&
	       (i->flags & flags) == flags;
}

CK_RV C_GetInterface(CK_BYTE_PTR name, const CK_VERSION *version, struct interface **interface, CK_FLAGS flags)
{
	size_t i;

	if (!interface)
		return CKR_ARGUMENTS_BAD;
	for (i = 0; i < INTERFACES; i++)
		if (is_interface(&interfaces[i], (const char *)name, version, flags)) {
			*interface = &interfaces[i];
			return CKR_OK;
		}
	return CKR_FUNCTION_FAILED;
}
