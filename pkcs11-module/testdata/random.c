/*
 * A host that calls with whatever comes: random functions, handles, mechanisms and templates, each buffer as long as it says and not a byte longer, so
 * that sanitizers see who reads or writes past one. No answer is expected, but that a plain signature works at the end.
 *
 *   random MODULE calls N
 */
#include "host.h"

static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE key;

static unsigned below(unsigned n) { return (unsigned)rand() % n; }

/* Buffers live for one call. */
static void *buffers[256];
static int used;

static void *buffer(size_t size)
{
	unsigned char *b = malloc(size ? size : 1);
	size_t i;

	if (!b || used == 256)
		exit(3);
	for (i = 0; i < size; i++)
		b[i] = (unsigned char)rand();
	buffers[used++] = b;
	return b;
}

static void forget(void)
{
	while (used > 0)
		free(buffers[--used]);
}

static const CK_ULONG sizes[] = { 0, 1, 2, 4, 8, 8, 8, 16, 20, 32, 64, 245, 256, 256, 257, 512, 4096, 70000 };
static CK_ULONG any_size(void) { return sizes[below(sizeof sizes / sizeof *sizes)]; }

static const CK_ATTRIBUTE_TYPE types[] = { CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_APPLICATION, CKA_VALUE, CKA_CERTIFICATE_TYPE, CKA_ISSUER,
	CKA_SERIAL_NUMBER, CKA_KEY_TYPE, CKA_SUBJECT, CKA_ID, CKA_SENSITIVE, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_MODULUS, CKA_MODULUS_BITS,
	CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_EXTRACTABLE, CKA_LOCAL, CKA_MODIFIABLE, CKA_ALWAYS_AUTHENTICATE, CKA_WRAP_TEMPLATE,
	CKA_ALLOWED_MECHANISMS, CKA_VENDOR_DEFINED, ~0UL };

/* Half of the values are numbers and truths that mean something. */
static void fill(CK_ATTRIBUTE *a)
{
	static const CK_ULONG meant[] = { CKO_DATA, CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKK_RSA, 1024, 2048, 65537 };

	a->type = types[below(sizeof types / sizeof *types)];
	a->ulValueLen = any_size();
	a->pValue = below(8) ? buffer(a->ulValueLen) : NULL;
	if (a->pValue && a->ulValueLen == sizeof(CK_ULONG) && below(2))
		memcpy(a->pValue, &meant[below(8)], sizeof(CK_ULONG));
	if (a->pValue && a->ulValueLen == 1)
		*(CK_BBOOL *)a->pValue &= 1;
}

static CK_ATTRIBUTE *any_template(CK_ULONG *count)
{
	CK_ATTRIBUTE *t;
	CK_ULONG i;

	*count = below(8);
	t = buffer(*count * sizeof *t);
	for (i = 0; i < *count; i++)
		fill(&t[i]);
	return below(16) ? t : NULL;
}

static void *inner(CK_ULONG *size)
{
	*size = any_size();
	return buffer(*size);
}

static CK_MECHANISM *any_mechanism(void)
{
	static const CK_MECHANISM_TYPE all[] = { CKM_RSA_PKCS, CKM_RSA_X_509, CKM_RSA_PKCS_PSS, CKM_RSA_PKCS_OAEP, CKM_SHA256_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS,
		CKM_SHA_1, CKM_SHA256, CKM_SHA384, CKM_AES_CBC, ~0UL };
	CK_MECHANISM *m = buffer(sizeof *m);

	m->mechanism = all[below(sizeof all / sizeof *all)];
	m->ulParameterLen = any_size();
	m->pParameter = below(3) ? buffer(m->ulParameterLen) : NULL;
	if (m->mechanism == CKM_RSA_PKCS_OAEP) {
		CK_RSA_PKCS_OAEP_PARAMS *p = m->pParameter = buffer(m->ulParameterLen = sizeof *p);

		p->pSourceData = inner(&p->ulSourceDataLen);
	}
	return m;
}

static CK_SESSION_HANDLE any_session(void) { return below(8) ? session : (CK_SESSION_HANDLE)rand(); }
static CK_OBJECT_HANDLE any_object(void) { return below(2) ? key : below(4); }

enum { CALLS = 26 };

static CK_RV call(unsigned which)
{
	CK_SESSION_HANDLE s = any_session();
	CK_ULONG count, size, other;
	CK_ATTRIBUTE *t = any_template(&count);
	CK_OBJECT_HANDLE *found = buffer(8 * sizeof *found);
	void *in = inner(&size), *out = inner(&other);
	CK_ULONG *length = buffer(sizeof *length);

	if (!below(8))
		in = NULL, size = 0;
	if (!below(8))
		out = NULL;
	*length = other;
	switch (which) {
	case 0: return f->C_FindObjectsInit(s, t, count);
	case 1: return f->C_FindObjects(s, found, below(9), length);
	case 2: return f->C_FindObjectsFinal(s);
	case 3: return f->C_GetAttributeValue(s, any_object(), t, count);
	case 4: return f->C_SetAttributeValue(s, any_object(), t, count);
	case 5: return f->C_CreateObject(s, t, count, found);
	case 6: return f->C_CopyObject(s, any_object(), t, count, found);
	case 7: return f->C_GetObjectSize(s, any_object(), length);
	case 8: return f->C_SignInit(s, any_mechanism(), any_object());
	case 9: return f->C_Sign(s, in, size, out, length);
	case 10: return f->C_SignUpdate(s, in, size);
	case 11: return f->C_SignFinal(s, out, length);
	case 12: return f->C_VerifyInit(s, any_mechanism(), any_object());
	case 13: return f->C_Verify(s, in, size, out, out ? other : 0);
	case 14: return f->C_EncryptInit(s, any_mechanism(), any_object());
	case 15: return f->C_Encrypt(s, in, size, out, length);
	case 16: return f->C_DecryptInit(s, any_mechanism(), any_object());
	case 17: return f->C_Decrypt(s, in, size, out, length);
	case 18: return f->C_DigestInit(s, any_mechanism());
	case 19: return f->C_Digest(s, in, size, out, length);
	case 20: return f->C_DigestUpdate(s, in, size);
	case 21: return f->C_DigestFinal(s, out, length);
	case 22: return f->C_GenerateRandom(s, out, out ? other : 0);
	case 23: return f->C_SeedRandom(s, in, size);
	case 24: return f->C_Login(s, below(4), in, size);
	default: return f->C_GetSlotList(CK_TRUE, (CK_SLOT_ID *)out, (*length = other / sizeof(CK_SLOT_ID), length));
	}
}

static void calls(int n)
{
	int ok = 0, i;

	srand(2026);
	CHECK(CKR_OK, f->C_Initialize(NULL));
	session = open_session();
	key = private_key(session);
	for (i = 0; i < n; i++) {
		ok += call(below(CALLS)) == CKR_OK;
		forget();
	}
	EXPECT(ok > n / 20, "%d of %d calls succeeded: too few get anywhere", ok, n);
	CHECK(CKR_OK, f->C_CloseSession(session));
	use(1);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static const struct mode modes[] = { { "calls", calls } };
MAIN(modes)
