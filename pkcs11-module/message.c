#include <stdlib.h>
#include <string.h>

#include "message.h"

/* Messages have PINs and plaintexts in them, so that none is freed, nor left behind by realloc, as it is. */
void tpmkey_wipe(void *bytes, size_t size)
{
	if (bytes)
		explicit_bzero(bytes, size);
	free(bytes);
}

/* These lie below a call of the core on the stack, which may be small. So they are no larger than they must be. */
CK_RV tpmkey_exchange(uint64_t function, const unsigned char *shapes, const struct argument *arguments)
{
	struct message m;
	void *request;

	shapes = tpmkey_write_request(&m, function, shapes, arguments);
	request = m.bytes;
	m.bytes = NULL;
	if (m.rv == CKR_OK)
		m.rv = tpmkey_call(request, m.at, &m.bytes, &m.size);
	tpmkey_wipe(request, m.at);
	if (m.bytes)
		tpmkey_read_response(&m, shapes, arguments);
	tpmkey_wipe(m.bytes, m.size);
	return m.rv;
}
